"""Files and folders are written whole or not at all."""

import errno
import os

import numpy as np
import pytest

from avbook.common import files
from avbook.common.files import (
    folder_written_whole,
    remove_unfinished,
    write_arrays,
    write_text,
    written_whole,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "record.json"
    write_text(path, "first")
    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError):
        write_text(path, "second")
    assert path.read_text() == "first" and names(path.parent) == ["record.json"]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, RuntimeError])
def test_a_file_that_is_given_up_leaves_the_old_one(tmp_path, trouble):
    write_arrays(tmp_path / "a.npz", {"x": np.arange(3)})
    with pytest.raises(trouble):
        with written_whole(tmp_path / "a.npz") as partial:
            assert partial.suffix == ".npz" and partial.parent == tmp_path
            partial.write_bytes(b"half")
            raise trouble
    assert names(tmp_path) == ["a.npz"] and np.load(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]


def test_two_writers_of_one_process_have_a_file_each(tmp_path):
    with written_whole(tmp_path / "a") as first, written_whole(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "first"  # it ends last


def test_a_folder_has_its_name_when_it_is_whole(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        with folder_written_whole(tmp_path / name) as partial:
            (partial / "file").write_text("x")
            assert not (tmp_path / name / "file").exists()
    assert names(tmp_path) == ["empty", "new"] and names(tmp_path / "empty") == ["file"]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, RuntimeError])
def test_a_folder_that_is_given_up_goes(tmp_path, trouble):
    with pytest.raises(trouble):
        with folder_written_whole(tmp_path / "above" / "w") as partial:
            (partial / "half").write_text("x")
            raise trouble
    assert names(tmp_path / "above") == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(OSError):
        with folder_written_whole(tmp_path / "mine") as partial:
            (partial / "file").write_text("x")
    assert names(tmp_path) == ["mine"] and names(tmp_path / "mine") == ["thesis.txt"]


def test_what_killed_processes_left_goes_and_nothing_else(tmp_path):
    with folder_written_whole(tmp_path / "w[1]") as partial:
        (tmp_path / ".w[1].0123abcd.partial" / "inside").mkdir(parents=True)
        (tmp_path / ".w1.0123abcd.partial").mkdir()
    remove_unfinished(tmp_path / "w[1]")
    assert not partial.exists() and names(tmp_path) == [".w1.0123abcd.partial", "w[1]"]
