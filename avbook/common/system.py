"""What the machine gives a process: its cores, a lock between processes, a folder for caches."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import BaseFileLock, FileLock
from platformdirs import user_cache_path

__all__ = ["cores", "lock", "cache_folder"]


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def lock(
    path: str | os.PathLike,  # of the lock's own file; its folder is made
) -> BaseFileLock:
    """A lock between processes, held in a `with` block; the system frees it if the process dies."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def cache_folder(
    given: str | os.PathLike | None = None,  # None: $AVBOOK_CACHE, else the user's cache folder
) -> Path:
    """The folder in which worlds and hashes are kept; it need not exist yet."""
    return (
        Path(given or os.environ.get("AVBOOK_CACHE") or user_cache_path("avbook"))
        .expanduser()
        .absolute()
    )
