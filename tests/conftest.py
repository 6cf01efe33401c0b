"""Where the real annotations and the golden arrays are: named by the environment, never committed."""
import os
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under `nohup make test &`: what the tests start would inherit it and never notice a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
