"""A whole folder of each task, for a test to spoil."""

import pytest
from made_folders import write_ave, write_llp


@pytest.fixture
def ave(tmp_path):
    return write_ave(tmp_path / "ave")[0]


@pytest.fixture
def llp(tmp_path):
    return write_llp(tmp_path / "llp")[0]
