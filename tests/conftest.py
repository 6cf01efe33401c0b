"""What every test stands on: the real files, the same chance in any order, and how tests are dealt to processes."""
import json
import os
import random
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: several processes share the cores

import numpy as np
import pytest
import torch
from hypothesis import settings

HERE = Path(__file__).parent
HEAVY = {"test_world": 75, "test_cli": 60, "test_features": 45, "test_site": 40, "test_training": 30, "test_neighbours": 25, "test_scripts": 25,
         "test_parity": 20, "test_package": 20, "test_two_processes": 15, "test_readme": 15}  # seconds, roughly: what takes long starts early
SEED = int(os.environ.get("AVBOOK_TEST_SEED", "0"))  # `make soak` tries others

# no deadline, since a slow machine is no fault; the same examples each time, so that a change is what turns a test red
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("soak", deadline=None)
settings.load_profile("soak" if SEED else "same")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under `nohup make test &`: what the tests start would inherit it and never notice a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


# ------------------------------------------------------------------------------------------------------ real files
def folder_named_by(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: this test needs files that are not part of the repository")
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


# ------------------------------------------------------------------------------------------------- order and chance
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Every test, its fixtures included, draws the same numbers whatever ran before it in its process."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """A module's tests go to one process, which makes their fixtures once; what is heavy and stands alone is dealt out first.

    A test that says `@pytest.mark.xdist_group(name)` goes where that group goes. Pages go one by one.
    """
    seconds = json.loads((HERE / "page_seconds.json").read_text(encoding="utf-8"))

    weights = {}
    for item in items:
        page = item.callspec.params["path"].relative_to("nbs").as_posix() if item.get_closest_marker("page_run") else None
        marked = item.get_closest_marker("xdist_group")
        group = marked.args[0] if marked else page or item.module.__name__
        if not marked:
            item.add_marker(pytest.mark.xdist_group(group))
        weights[item] = seconds.get(page, 30.0) if page else HEAVY.get(group, 0.0)
    items.sort(key=weights.get, reverse=True)  # stable: otherwise in the order of the files
