"""HDF5 files of features, labels and orders, checked from the header before any large read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from avbook.common.files import check_regular
from avbook.data.npy_files import FLOATS
from avbook.data.stores import ArrayStore, H5Store, RawStore
from avbook.errors import AvbookError

__all__ = ["open_h5", "read_h5"]

LARGEST_READ = 2**30  # bytes of a dataset read as a whole: labels and orders
LARGEST_PIECE = 2**30  # bytes of one row, or of one chunk
MOST_SQUEEZED = 2000  # largest compression ratio; zeros reach less


def open_h5(
    path: Path,  # an h5 file
    name: str,  # the dataset in it
) -> ArrayStore:
    """The dataset as a store. AvbookError for a file that is missing, locked, cut short or not
    HDF5, and for a dataset that is missing, not of floats, or larger than its file can hold."""
    path = Path(path)
    with _dataset(path, name) as data:
        if data.dtype.name not in FLOATS or data.ndim < 2:
            raise AvbookError(
                f"{path}: '{name}' is {data.dtype} {data.shape}, expected floats, one row per clip"
            )
        shape, dtype = data.shape, data.dtype
        if math.prod(shape[1:]) * dtype.itemsize > LARGEST_PIECE:
            raise AvbookError(f"{path}: '{name}' {shape}: one row is larger than 1 GiB")
        offset = data.id.get_offset() if data.chunks is None else None
        first = data[:1] if len(data) else None
    if offset is not None and first is not None:
        raw = RawStore(path, offset, shape, dtype)
        if offset + raw.nbytes <= os.path.getsize(path):
            with raw._opened() as source:  # trusted only if the first row agrees
                if raw._run(source, 0, 1).tobytes() == first.tobytes():
                    return raw
    return H5Store(path, name, shape, dtype)


def read_h5(
    path: Path,  # an h5 file small enough to read whole
    name: str,  # the dataset in it
    dtype: type | None = None,  # type to convert to; None: unchanged
) -> np.ndarray:
    """The dataset as an array of numbers. AvbookError as in `open_h5`, and for more than 1 GiB."""
    path = Path(path)
    with _dataset(path, name) as data:
        if data.dtype.kind not in "biuf":
            raise AvbookError(f"{path}: '{name}' is of type {data.dtype}, expected numbers")
        if math.prod(data.shape) * data.dtype.itemsize > LARGEST_READ:
            raise AvbookError(
                f"{path}: '{name}' is {data.dtype} {data.shape}, more than 1 GiB; expected labels"
                " or row numbers: is it the right file?"
            )
        return np.asarray((data if dtype is None else data.astype(dtype))[()])


@contextmanager
def _dataset(path: Path, name: str) -> Iterator[Any]:
    """The open dataset of an h5 file; any exception of h5py about the file becomes one line."""
    import h5py

    check_regular(path)
    try:
        with h5py.File(path, "r") as file:
            data = _found(file, path, name)
            _check_size(path, name, data)
            yield data
    except AvbookError:
        raise
    except Exception as error:  # noqa: BLE001  # OSError, RuntimeError, KeyError, TypeError, …
        raise _fault(path, error) from None


def _found(file: Any, path: Path, name: str) -> Any:
    """The dataset of that name in the open file; AvbookError if there is none."""
    import h5py

    links, key = file.id.links, name.encode()
    if not links.exists(key):
        there = sorted(file)
        names = ", ".join(map(repr, there[:5])) + (" …" if len(there) > 5 else "")
        raise AvbookError(
            f"{path}: holds {names or 'nothing'}, expected a dataset '{name}'; is it the right"
            " file?"
        )
    kind = links.get_info(key).type
    if kind == h5py.h5l.TYPE_EXTERNAL:
        target = os.fsdecode(links.get_val(key)[0])
        raise AvbookError(
            f"{path}: '{name}' is a link into another file ({target}); copy the dataset into this"
            " file, or give that file this one's name"
        )
    try:
        data = file[name]
    except (KeyError, RuntimeError, OSError):
        raise AvbookError(f"{path}: '{name}' is a broken link; write the dataset again") from None
    if not isinstance(data, h5py.Dataset):
        raise AvbookError(f"{path}: '{name}' is a group, expected a dataset; is it the right file?")
    return data


def _check_size(path: Path, name: str, data: Any) -> None:
    """AvbookError for a dataset without values, with values in other files, or with more than its
    file can hold, read from the header, before anything is allocated."""
    if data.shape is None:
        raise AvbookError(f"{path}: '{name}' is an empty dataset; write it again")
    if data.is_virtual or data.external:
        raise AvbookError(
            f"{path}: '{name}' has its values in other files; copy them into this one (h5repack"
            " does)"
        )
    needed, there = math.prod(data.shape) * data.dtype.itemsize, os.path.getsize(path)
    filtered = data.id.get_create_plist().get_nfilters() > 0
    if needed > there * (MOST_SQUEEZED if filtered else 1):
        raise AvbookError(
            f"{path}: '{name}' is {data.dtype} {data.shape}, {needed:,} bytes, in a file of"
            f" {there:,}: most of it was never written; write it again"
        )
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > LARGEST_PIECE:
        raise AvbookError(
            f"{path}: '{name}' lies in chunks of {data.chunks}, larger than 1 GiB; write it with"
            " smaller ones"
        )


def _fault(path: Path, error: Exception) -> AvbookError:
    """An error for a file that HDF5 cannot read: HDF5's message and what to do, in one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    cut = re.search(r"truncated file.*stored_eof = (\d+)", said)
    if cut:
        what = f"cut short: {size:,} of {int(cut[1]):,} bytes; get it again"
    elif re.search("unable to lock file|file is already open", said):
        what = (
            "is locked: another program has it open for writing, or its filesystem has no locks;"
            " close it there, or set HDF5_USE_FILE_LOCKING=FALSE in the environment"
        )
    elif re.search("file signature not found|not an HDF5 file", said):
        what = f"not an HDF5 file, or a damaged one ({size:,} bytes); get it again"
    elif re.search("Permission denied", said):
        what = "may not be read (permission denied); change its permissions"
    elif re.search("filter|plugin", said):
        what = f"is compressed in a way this HDF5 cannot undo ({said[:200]}); repack it (h5repack)"
    else:
        what = f"a damaged HDF5 file ({size:,} bytes; HDF5 says: {said[:200]}); get it again"
    return AvbookError(f"{path}: {what}")
