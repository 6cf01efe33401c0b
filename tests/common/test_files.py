"""Files and folders are written whole or not at all."""

import errno
import os

import pytest

from avbook.common import files
from avbook.common.files import (
    check_writable,
    folder_written_whole,
    os_fault,
    remove_unfinished,
    remove_unfinished_files,
    write_bytes,
    write_text,
    written_whole,
)
from avbook.errors import AvbookError


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
    write_bytes(tmp_path / "a.npz", b"whole")
    with pytest.raises(trouble):
        with written_whole(tmp_path / "a.npz") as partial:
            assert partial.suffix == ".npz" and partial.parent == tmp_path
            partial.write_bytes(b"half")
            raise trouble
    assert names(tmp_path) == ["a.npz"] and (tmp_path / "a.npz").read_bytes() == b"whole"


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


def test_what_killed_processes_left_of_files_goes_and_nothing_else(tmp_path):
    with written_whole(tmp_path / "a[1].json") as partial:
        partial.write_text("x")
        for name in (".0123abcd.a[1].json", ".0123abcd.b.json"):
            (tmp_path / name).write_text("half")
        (tmp_path / ".git").mkdir()
        for name in (".hidden.json", "0123abcd.a", ".0123abcd-a", ".0123abcd.folder"):
            (tmp_path / name).mkdir() if "folder" in name else (tmp_path / name).touch()
    remove_unfinished_files(tmp_path / "a[1].json")
    assert ".0123abcd.a[1].json" not in names(tmp_path) and ".0123abcd.b.json" in names(tmp_path)
    remove_unfinished_files(tmp_path)
    kept = [".0123abcd-a", ".0123abcd.folder", ".git", ".hidden.json", "0123abcd.a", "a[1].json"]
    assert names(tmp_path) == kept
    remove_unfinished_files(tmp_path / "no such" / "folder")


@pytest.mark.parametrize(
    "code, advice",
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "can be written to"),
        (errno.ENOTEMPTY, "something is there already"),
        (errno.EEXIST, "something is there already"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.ENOENT, "it does not exist"),
        (errno.EMFILE, "ulimit"),
        (errno.ENOTTY, "check that the path is right"),
    ],
)
def test_the_advice_fits_the_fault(code, advice):
    told = str(os_fault("here", OSError(code, os.strerror(code), "elsewhere")))
    assert told.startswith(f"here: {os.strerror(code)}; ") and advice in told
    for other, text in files.ADVICE.items():
        assert text == files.ADVICE.get(code) or text not in told, other


def test_the_file_is_the_errors_own_where_none_is_named():
    assert str(os_fault(None, OSError(errno.EIO, "", b"a"))).startswith("a: ")
    assert str(os_fault(None, OSError(errno.EIO, "", "a", None, "b"))).startswith("b: ")
    hdf5 = OSError("Can't write data (file write failed: errno = 28, error message = '...')")
    assert "free some space" in str(os_fault("a.h5", hdf5))
    assert str(os_fault("a", OSError("as it says"))).startswith("a: as it says; ")


def test_a_folder_that_could_be_made_is_writable_and_is_not_made(tmp_path):
    for path in (tmp_path, tmp_path / "new" / "folder"):
        check_writable(path)
    assert names(tmp_path) == []
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name, said in (("file", "is a file"), ("file/x", "is a file"), ("link", "link to nothing")):
        with pytest.raises(AvbookError, match=said):
            check_writable(tmp_path / name)
    with pytest.raises(AvbookError, match="shorter name"):
        check_writable(tmp_path / ("a" * 300))


def test_a_folder_that_may_not_be_written_to_is_one_line(tmp_path, monkeypatch):
    def refused(**options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refused)
    with pytest.raises(AvbookError, match="Permission denied; change its permissions"):
        check_writable(tmp_path / "new")
