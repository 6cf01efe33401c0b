"""Locks between processes, and where the cache is."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import PATIENCE, ROOT, wait_for

from avbook.common import system
from avbook.common.system import cache_folder, lock
from avbook.errors import AvbookError

# ---- locks

HOLDER = """
import sys, time
from pathlib import Path
from avbook.common.system import lock

here = Path(sys.argv[1])
with lock(here / "new" / "lock"):
    (here / "held").touch()
    while not (here / "let go").exists(): time.sleep(0.01)
    (here / "done").touch()
"""


def test_a_lock_waits_or_says_so(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT) as holder:
        try:
            wait_for((tmp_path / "held").exists, holder)
            with pytest.raises(AvbookError, match="^busy with it$"):
                with lock(tmp_path / "new" / "lock", busy="busy with it"):
                    pass
        finally:
            (tmp_path / "let go").touch()
        with lock(tmp_path / "new" / "lock"):
            assert (tmp_path / "done").exists()
    with lock(tmp_path / "new" / "lock", busy="busy with it"):
        pass


def test_the_lock_of_a_process_that_died_is_free(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT)
    wait_for((tmp_path / "held").exists, holder)
    holder.kill()
    holder.wait()
    with lock(tmp_path / "new" / "lock", busy="held by the dead"):
        pass


def test_the_file_of_a_lock_goes_with_it_where_asked(tmp_path):
    with lock(tmp_path / "lock", remove=True):
        assert (tmp_path / "lock").exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no file that is open is removed there")
def test_the_lock_of_a_file_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    acquire, came = system.FileLock.acquire, []

    def late(self, *args, **kwargs):
        acquire(self, *args, **kwargs)
        came.append(1)
        if len(came) == 1:  # the one before lets go, and another begins
            (tmp_path / "lock").unlink()
        elif len(came) == 2:
            (tmp_path / "lock").unlink()
            (tmp_path / "lock").touch()

    monkeypatch.setattr(system.FileLock, "acquire", late)
    with lock(tmp_path / "lock", remove=True):
        assert len(came) == 3


CROWD = """
import os, sys
from pathlib import Path
from avbook.common.system import lock

here = Path(sys.argv[1])
for _ in range(40):
    with lock(here / "lock", remove=True):
        os.close(os.open(here / "inside", os.O_CREAT | os.O_EXCL))
        os.unlink(here / "inside")
"""


def test_a_lock_that_is_removed_still_lets_one_in_at_a_time(tmp_path):
    crowd = [
        subprocess.Popen([sys.executable, "-c", CROWD, str(tmp_path)], cwd=ROOT) for _ in range(3)
    ]
    assert [process.wait(PATIENCE) for process in crowd] == [0, 0, 0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_filesystem_without_locks_is_one_line(tmp_path, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl")

    def refused(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(AvbookError, match="has no locks between processes") as caught:
        with lock(tmp_path / "lock"):
            pytest.fail("taken for held")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_trouble_with_a_lock_is_the_callers(tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", "lock")

    monkeypatch.setattr(system.FileLock, "acquire", denied)
    with pytest.raises(PermissionError):
        with lock(tmp_path / "lock"):
            pass


# ---- the cache


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("AVBOOK_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path and cache_folder("~/x") == Path.home() / "x"
    monkeypatch.delenv("AVBOOK_CACHE")
    assert cache_folder().name == "avbook"
