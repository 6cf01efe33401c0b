"""What every test stands on: the real files, the same chance in any order, and how tests are dealt
to processes."""

import json
import os
import random
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: several processes share the cores

import numpy as np
import pytest
import torch
from browser import Browser, executable
from hypothesis import settings

HERE = Path(__file__).parent
# seconds, roughly: what takes long starts early
HEAVY = {
    "world.test_build": 120,
    "test_cli": 60,
    "features.test_extractors": 53,
    "world.test_corpus": 40,
    "features.test_official": 28,
    "features.test_decode": 18,
    "features.test_folder": 45,
    "pages.test_site": 40,
    "common.test_system": 40,
    "training.test_two_processes": 40,
    "world.test_clips": 35,
    "test_parity": 24,
    "test_package": 21,
    "unsupervised.test_neighbours": 18,
    "pages.test_readme": 17,
    "training.test_loop": 14,
    "parsing.test_ma": 11,
    "faults.test_mutations": 25,
    "faults.test_full_disk": 20,
    "faults.test_kills": 15,
    "world.test_videos": 20,
}
SEED = int(os.environ.get("AVBOOK_TEST_SEED", "0"))  # `make soak` tries others

# no deadline, since a slow machine is no fault; the same examples each time, so that a change is
# what turns a test red
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("soak", deadline=None)
settings.load_profile("soak" if SEED else "same")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as under `nohup make test &`: what the tests start would inherit it and never notice a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


# ------------------------------------------------------------------------------------------ browser
@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, one a process."""
    from playwright.sync_api import sync_playwright

    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium, tmp_path):
    """Opens pages; at the end no page has logged an error or asked another host."""
    opened = Browser(chromium, tmp_path)
    yield opened
    opened.close()


# --------------------------------------------------------------------------------------- real files
def folder_named_by(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(
            f"{variable} is not set: this test needs files that are not part of the repository"
        )
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"{variable}={value}: no such folder")
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `ave/` and `llp/`, the real annotations and splits."""
    return folder_named_by("AVBOOK_DATA")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The folder with the arrays that the released code computed."""
    return folder_named_by("AVBOOK_GOLDEN")


# --------------------------------------------------------------------------------- order and chance
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Every test, its fixtures included, draws the same numbers whatever ran before it in its
    process."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def pytest_itemcollected(item):
    """A module's tests go to one process, which makes their fixtures once; pages go one by one, and
    a marked test goes where its group goes.

    Here and not where the order is made, since pytest-xdist may have read the groups by then.
    """
    if not item.get_closest_marker("xdist_group"):
        page = item.get_closest_marker("page_run")
        item.add_marker(
            pytest.mark.xdist_group(
                item.callspec.params["path"].relative_to("nbs").as_posix()
                if page
                else item.module.__name__
            )
        )


def pytest_collection_modifyitems(items):
    """What is heavy and stands alone is dealt out first."""
    seconds = HEAVY | json.loads((HERE / "page_seconds.json").read_text(encoding="utf-8"))
    groups = {item: item.get_closest_marker("xdist_group").args[0] for item in items}
    items.sort(
        key=lambda item: -seconds.get(groups[item], 0.0)
    )  # stable: otherwise in the order of the files


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    if node.config.getoption("dist") == "loadgroup" and ids and "@" not in ids[0]:
        pytest.exit(
            f"pytest {pytest.__version__} hides the groups from this pytest-xdist, and a module's"
            " tests would fall where they may: install the versions of constraints.txt",
            4,
        )
