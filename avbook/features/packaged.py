"""Weight files inside other packages: their paths, and whether they are the right files."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from avbook.common.files import read_bytes
from avbook.errors import AvbookError

__all__ = ["packaged_file", "checked_bytes"]


def packaged_file(
    package: str,  # import name; it is looked up, never imported
    file: str,  # path inside the package
    install: str,  # the command that installs it
) -> Path:
    """The path of a file inside an installed package. Raises `AvbookError` with the install command
    if the package is missing; does not check that the file exists."""
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
    sha256: str,  # the 64 expected hexadecimal digits
    source: str,  # where to get the right file
) -> bytes:
    """The file's contents. Raises `AvbookError` if the file is missing, or, with both hashes, if it
    is another or a damaged one."""
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
