"""Files and folders written whole or not at all: text, arrays, or whatever a function writes."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avbook.errors import AvbookError

__all__ = [
    "check_regular",
    "read_bytes",
    "written_whole",
    "folder_written_whole",
    "remove_unfinished",
    "write_text",
    "write_arrays",
]


KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_regular(
    path: str | os.PathLike,  # links are followed
) -> os.stat_result:
    """Size and times of a regular file. Raises `AvbookError` where there is none: nothing, a link
    to nothing, a folder, a pipe, a device (which would never end), or what may not be looked at."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            target = os.readlink(os.fspath(path))
            raise AvbookError(
                f"{path}: a link to {target}, which is not there; mend the link"
            ) from None
        raise AvbookError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        told = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise AvbookError(f"{path}: cannot be looked at ({told})") from None
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise AvbookError(f"{path}: is {kind}; expected a file")
    return found


def read_bytes(
    path: str | os.PathLike,
    most: int = 2**30,  # bytes
) -> bytes:
    """The file's contents. Raises `AvbookError` as `check_regular` does, for a file larger than
    `most`, and for one that may not be read."""
    size = check_regular(path).st_size
    if size > most:
        raise AvbookError(f"{path}: {size:,} bytes; expected at most {most:,}: is it another file?")
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise AvbookError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > most:  # such as a file of /proc, which has no size
        raise AvbookError(f"{path}: longer than {most:,} bytes; is it another file?")
    return data


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
