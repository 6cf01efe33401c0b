"""Single .npy files of features: the header is checked before anything is allocated or read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from avbook.common.files import check_regular
from avbook.errors import AvbookError

__all__ = ["FLOATS", "NpyHeader", "parse_header", "read_header", "read_npy"]

FLOATS = ("float16", "float32", "float64")
ZIP = b"PK\x03\x04"  # first bytes of an .npz


class NpyHeader(NamedTuple):
    """The content of a .npy file's header."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool  # the first axis varies fastest
    offset: int  # first byte of the values


def read_header(
    path: Path,  # a .npy file
) -> NpyHeader:
    """The header of an array of floats. Raises `AvbookError` if the file is missing, not a regular
    file, not .npy, not of floats, or not as long as its header says."""
    size = check_regular(path).st_size
    try:
        with open(path, "rb") as file:
            return parse_header(path, file, size)
    except OSError as error:
        raise _fault(path, error) from None


def _fault(where, error: Exception) -> AvbookError:
    told = "not a .npy array" if isinstance(error, ValueError) else "cannot be read as .npy"
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return AvbookError(f"{where}: {told} ({reason}); extract it again")


READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def parse_header(
    path,  # for messages
    file: BinaryIO,  # positioned at its first byte
    size: int,  # bytes of the whole file
) -> NpyHeader:
    """The header at the start of the file; raises `AvbookError` as `read_header` does."""
    try:
        if file.read(4) == ZIP:
            raise ValueError("it is an .npz archive: save the array in it with numpy.save")
        file.seek(0)
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = READERS[version](file)
        offset = file.tell()
    except Exception as error:  # noqa: BLE001  # NumPy's parser raises exceptions of any type
        raise _fault(path, error) from None
    if dtype.name not in FLOATS:
        raise AvbookError(f"{path}: {dtype} {shape}, expected floats; extract it again")
    expected = offset + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != expected:
        raise AvbookError(
            f"{path}: {size:,} bytes, expected {expected:,} for {dtype} {shape}; it was cut short:"
            " make it again"
        )
    return NpyHeader(tuple(shape), dtype, fortran, offset)


def read_npy(
    path: Path,  # ID.npy, the features of one clip
) -> np.ndarray:
    """The array of floats; raises `AvbookError` as `read_header` does."""
    shape, dtype, fortran, offset = read_header(path)
    try:
        values = np.fromfile(path, dtype, math.prod(shape), offset=offset)
        return values.reshape(shape, order="F" if fortran else "C")
    except (OSError, ValueError) as error:  # changed since its header was read
        raise AvbookError(f"{path}: cannot be read ({error}); extract it again") from None
