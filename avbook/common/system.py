"""What the machine offers: cores, memory, locks and a cache folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from avbook.common.messages import one_line
from avbook.errors import AvbookError

__all__ = ["cores", "lacks_memory", "lock", "cache_folder"]


def cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def lacks_memory(
    error: BaseException,
) -> bool:
    """Whether the exception means out of memory: Python's, NumPy's, or torch's RuntimeError."""
    words = one_line(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in words or "can't allocate memory" in words)
    )


# ------------------------------------------------------------------------------------------- locks
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def lock(
    path: str | os.PathLike,  # path of the lock file; its folder is made
    busy: str | None = None,  # message of the error if another process holds it; None: wait
    remove: bool = False,  # whether to remove the file at the end
) -> Iterator[None]:
    """A lock between processes, held while the block runs; the system frees it if the process dies.

    Raises `AvbookError` if the filesystem has no locks, or with `busy` if the lock is held."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path)
    try:
        held.acquire(timeout=-1 if busy is None else 0)
        while not _is_at(held, path):  # the previous holder removed the locked file
            held.release()
            held.acquire(timeout=-1 if busy is None else 0)
    except Timeout:
        raise AvbookError(str(busy)) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        raise AvbookError(
            f"{path.parent}: its filesystem has no locks between processes ({error}); choose a"
            " folder on one that has, such as a local disk (AVBOOK_CACHE is the cache's, --out a"
            " run's)"
        ) from None
    try:
        yield
    finally:
        if remove:  # before the release; later it might be another's lock
            with suppress(OSError):  # Windows does not remove open files
                path.unlink()
        with suppress(OSError):  # the file may be gone with its folder
            held.release()


def _is_at(held: FileLock, path: Path) -> bool:
    """Whether the lock is on the file that now exists at the path."""
    descriptor = getattr(getattr(held, "_context", None), "lock_file_fd", None)
    if not isinstance(descriptor, int) or os.name != "posix":
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def cache_folder(
    given: str | os.PathLike | None = None,  # None: $AVBOOK_CACHE, else the user's cache folder
) -> Path:
    """The folder for cached worlds and hashes; it need not exist yet. Raises `AvbookError` if the
    system knows no home folder of this user."""
    folder = Path(given or os.environ.get("AVBOOK_CACHE") or user_cache_path("avbook"))
    try:
        return folder.expanduser().absolute()
    except RuntimeError:
        raise AvbookError(
            f"{folder}: this user has no home folder; set AVBOOK_CACHE to a folder that can be"
            " written to"
        ) from None
