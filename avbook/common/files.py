"""Files and folders written whole or not at all: text, bytes, arrays, or any content."""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

from avbook.errors import AvbookError

__all__ = [
    "os_fault",
    "check_regular",
    "check_writable",
    "read_bytes",
    "checksum",
    "written_whole",
    "folder_written_whole",
    "remove_unfinished",
    "remove_unfinished_files",
    "write_text",
    "write_bytes",
]


KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


NO_SPACE = "free some space, or choose another folder"
NOT_ALLOWED = "change its permissions, or choose another place"
OCCUPIED = "something is there already: choose another name, or remove it first"
ADVICE = {
    errno.ENOSPC: NO_SPACE,
    errno.EDQUOT: NO_SPACE,
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOTEMPTY: OCCUPIED,
    errno.EEXIST: OCCUPIED,
    errno.ENOENT: "it does not exist, or its folder does not: was it removed or moved?",
    errno.ENOTDIR: "a part of its path is a file: choose another folder",
    errno.EISDIR: "expected a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "the file system or a limit allows no file of this size: choose another folder",
    errno.ELOOP: "its links form a circle: correct them",
    errno.EMFILE: "raise `ulimit -n`, or run fewer at once",
    errno.ENFILE: "close other programs, or run fewer at once",
    errno.ENOMEM: "free some memory, or run fewer at once",
    errno.EIO: "the disk or the network reports a fault: check it, then try again",
    errno.ESTALE: "the network folder is gone: mount it again",
    errno.EBUSY: "another program uses it: close that first",
    errno.ETXTBSY: "another program uses it: close that first",
}


def os_fault(
    path: str | os.PathLike | None,  # the file read or written; None: the file that the error names
    error: OSError,
) -> AvbookError:
    """The error in one line: the file, the system's message, and what to do."""
    where = path or error.filename2 or error.filename or "writing"
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    number = error.errno
    hidden = re.search(r"errno = (\d+)", str(error))  # in HDF5's own message
    if not number and hidden:
        number = int(hidden[1])
    told = os.strerror(number) if number else str(error) or type(error).__name__
    advice = ADVICE.get(number or 0, "check that the path is right and the disk works")
    return AvbookError(f"{where}: {told}; {advice}")


def check_regular(
    path: str | os.PathLike,  # links are followed
) -> os.stat_result:
    """Size and times of a regular file. Raises `AvbookError` if the path is missing, a broken link,
    a folder, a pipe, a device (which would never end), or not accessible."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            target = os.readlink(os.fspath(path))
            raise AvbookError(
                f"{path}: a link to {target}, which does not exist; correct the link"
            ) from None
        raise AvbookError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        number = error.errno if isinstance(error, OSError) else None
        told = os.strerror(number) if number else error
        advice = f"; {ADVICE[number]}" if number in ADVICE else ""
        raise AvbookError(f"{path}: cannot be accessed ({told}){advice}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise AvbookError(f"{path}: is {kind}; expected a file")
    return found


def check_writable(
    folder: str | os.PathLike,  # need not exist yet
) -> None:
    """Raises `AvbookError` if the folder is a file, or if it (or the folder in which it would be
    made) is not writable. Leaves nothing behind."""
    folder = Path(folder)
    try:
        while not _stands(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            kind = "a link to nothing" if folder.is_symlink() else "a file"
            raise AvbookError(f"{folder}: is {kind}; expected a folder: choose another")
        with tempfile.TemporaryFile(dir=folder):  # nameless, if the system can do that
            pass
    except OSError as error:
        raise os_fault(folder, error) from None


def _stands(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_bytes(
    path: str | os.PathLike,
    most: int = 2**30,  # bytes
) -> bytes:
    """The file's contents. Raises `AvbookError` as `check_regular` does, for a file larger than
    `most`, and for one that may not be read."""
    size = check_regular(path).st_size
    if size > most:
        raise AvbookError(f"{path}: {size:,} bytes; expected at most {most:,}; is it another file?")
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise AvbookError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > most:  # such as a file of /proc, whose size is 0
        raise AvbookError(f"{path}: longer than {most:,} bytes; is it another file?")
    return data


def checksum(
    path: str | os.PathLike,
) -> int:
    """The CRC-32 of a file's contents, of any length. Raises `AvbookError` as `check_regular` does,
    and for a file that may not be read."""
    check_regular(path)
    found = 0
    try:
        with open(path, "rb") as file:
            while part := file.read(2**20):
                found = crc32(part, found)
    except OSError as error:
        raise AvbookError(f"{path}: cannot be read ({error.strerror or error})") from None
    return found


@contextmanager
def written_whole(
    path: str | os.PathLike,
) -> Iterator[Path]:
    """A path beside `path`, with the same suffix, to write to. The file gets its final name when
    the block ends, and is removed if the block fails.

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
    """A new folder beside `path` to fill. It gets its final name when the block ends, and is
    removed if the block fails.

    Makes the parent folder. Raises OSError if `path` is not empty."""
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
    path: str | os.PathLike,  # as given to `folder_written_whole`; must not be in use by a writer
) -> None:
    """Removes what killed processes left of the folder."""
    path = Path(path)
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


UNFINISHED = r"\.[0-9a-f]{8}\."  # prefix of files that `written_whole` has not finished


def remove_unfinished_files(
    path: str
    | os.PathLike,  # a file as given to `written_whole`, or a folder: all files directly in it
) -> None:
    """Removes what killed processes left of files that were written whole. Only for a caller that
    holds the lock of the writers: no process may be writing now."""
    path = Path(path)
    folder, name = (path, ".+") if path.is_dir() else (path.parent, re.escape(path.name))
    try:
        found = [entry for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)]
    except OSError:  # no such folder, so nothing is left in it
        return
    for entry in found:
        if re.fullmatch(f"({UNFINISHED})+{name}", entry.name):  # a prefix may have a prefix
            with suppress(OSError):
                os.unlink(entry.path)


def write_text(
    path: str | os.PathLike,
    text: str,
) -> None:
    """Writes a text file (UTF-8) whole or not at all, and makes its folder."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(
    path: str | os.PathLike,
    content: bytes,
) -> None:
    """Writes a file whole or not at all, and makes its folder."""
    with written_whole(path) as partial:
        partial.write_bytes(content)
