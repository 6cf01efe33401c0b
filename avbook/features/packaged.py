"""Weight files that other packages carry: where they are, and whether they are the right ones."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from avbook.common.files import read_bytes
from avbook.errors import AvbookError

__all__ = ["packaged_file", "checked_bytes"]


def packaged_file(
    package: str,  # its import name; it is looked up and never imported
    file: str,  # path inside the package
    install: str,  # the command that brings it
) -> Path:
    """The path of a file that an installed package carries. Raises `AvbookError` with the command
    where the package is missing; whether the file is there is left to the reader."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise AvbookError(f"the package {package} is not installed: run `{install}`")
    return Path(folders[0]) / file


def checked_bytes(
    path: str | os.PathLike,
    sha256: str,  # the 64 hexadecimal digits that are expected
    source: str,  # where the right file comes from: what to do
) -> bytes:
    """The file's contents. Raises `AvbookError` where there is no such file, or where it is another
    one or a damaged one, with both hashes."""
    try:
        data = read_bytes(path)
    except AvbookError as error:
        raise AvbookError(f"{error}; {source}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise AvbookError(
            f"{path}: found sha256 {found[:8]}…, {len(data):,} bytes; expected {sha256[:8]}…: it is"
            f" damaged or another file; {source}"
        )
    return data
