"""Files and folders written whole or not at all: text, arrays, or whatever a function writes."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "written_whole",
    "folder_written_whole",
    "remove_unfinished",
    "write_text",
    "write_arrays",
]


@contextmanager
def written_whole(
    path: str | os.PathLike,
) -> Iterator[Path]:
    """A path beside `path` to write to, of the same suffix: it takes the name when the block ends,
    and goes when it fails.

    Makes the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(
    path: str | os.PathLike,  # must not exist, or be an empty folder
) -> Iterator[Path]:
    """A new folder beside `path` to fill: it takes the name when the block ends, and goes when it
    fails.

    Makes the folder above. Raises OSError where `path` has something in it."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            path.rmdir()
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_unfinished(
    path: str | os.PathLike,  # as `folder_written_whole` took it; nobody may be writing it now
) -> None:
    """Removes what processes that were killed left of the folder."""
    path = Path(path)
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def write_text(
    path: str | os.PathLike,
    text: str,
) -> None:
    """Writes a text file (UTF-8) whole or not at all, making its folder."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_arrays(
    path: str | os.PathLike,  # ends in .npz
    arrays: dict,  # name -> array
) -> None:
    """Writes arrays to a compressed .npz file whole or not at all, making its folder."""
    import numpy as np

    with written_whole(path) as partial:
        np.savez_compressed(partial, **arrays)
