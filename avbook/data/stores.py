"""Feature arrays on disk: one row per clip, read in batches, never held twice, never as float64.

A store answers `read(indices)` with float32 and `blocks()` with the rows in order. Nothing stays
open between reads, so a store may be pickled, forked, or used from several threads, and the
kernel's page cache is not counted as ours."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from avbook.errors import AvbookError

__all__ = [
    "BLOCK_BYTES",
    "ArrayStore",
    "RawStore",
    "H5Store",
    "NpyFolderStore",
    "open_h5",
    "read_h5",
    "open_npy",
    "read_npy",
    "row_numbers",
    "not_finite",
    "native",
    "checked_block",
]

BLOCK_BYTES = 16 * 2**20  # the most that is read at one go: the size of every scratch buffer
FLOATS = ("float16", "float32", "float64")


def row_numbers(
    indices,  # an int, a slice, a list, a range, a boolean mask, a NumPy array or a torch tensor
    length: int,  # the number of rows there are
) -> np.ndarray:
    """The rows that `indices` names, as a 1-d int64 array without negative numbers; IndexError when
    one is out of range."""
    if isinstance(indices, slice):
        return np.arange(length)[indices]
    rows = np.asarray(indices)
    if rows.dtype == bool:
        if rows.shape != (length,):
            raise IndexError(f"a mask of shape {rows.shape} for {length} rows")
        return np.flatnonzero(rows)
    if rows.size == 0:
        return np.zeros(0, np.int64)
    if rows.dtype.kind not in "iu":
        raise IndexError(f"indices must be whole numbers, not {rows.dtype}")
    rows = rows.reshape(-1).astype(np.int64)
    low, high = rows.min(), rows.max()
    if low < -length or high >= length:
        raise IndexError(
            f"index {low if low < -length else high} is out of range for {length} rows"
        )
    return np.where(rows < 0, rows + length, rows)


def not_finite(
    block: np.ndarray,  # float16, float32 or float64, any shape
) -> np.ndarray:
    """For each row of the block, whether it holds a NaN or an infinity; float16 is judged by its
    bits, which is quick."""
    flat = block.reshape(len(block), -1)
    if flat.dtype == np.float16:
        bits = native(flat).view(np.uint16)
        return ((bits & 0x7C00) == 0x7C00).any(1)
    return ~np.isfinite(flat).all(1)


class ArrayStore:
    """A store of clips: `shape` (N, ...), `dtype` as on disk, `path` for messages. Subclasses say
    how a run of rows is got."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """The bytes of one row on disk."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of the whole array on disk."""
        return len(self) * self.row_bytes

    @property
    def block_rows(self) -> int:
        """How many rows make a block of at most BLOCK_BYTES (at least one)."""
        return max(1, BLOCK_BYTES // max(1, self.row_bytes))

    def row_name(self, row: int) -> str:
        """What a message calls a row."""
        return f"row {row}"

    def where(self, row: int) -> str:
        """What a message calls a row and the file it lies in."""
        return f"{self.path}: row {row} of {len(self)}"

    @contextmanager
    def _opened(self):
        """Something from which `_run` takes rows; open only while a read lasts."""
        yield None

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        """Rows start..stop-1 in the dtype they have on disk, in memory of their own."""
        raise NotImplementedError

    def read(
        self,
        indices,  # what `row_numbers` takes; repeated and unsorted ones too
    ):
        """Those rows as a float32 CPU tensor (B, ...), in the order asked for.

        Each row that is asked for is read once, in the order of the file; neighbours are read
        together. Besides the result there is one scratch block."""
        import torch

        rows = row_numbers(indices, len(self))
        out = torch.empty((len(rows), *self.shape[1:]), dtype=torch.float32)
        if not len(rows):
            return out
        order = np.argsort(rows, kind="stable")  # order[k]: where the k-th smallest row goes
        ranked = rows[order]
        distinct = np.unique(ranked)
        cuts = np.flatnonzero(np.diff(distinct) > 1) + 1
        with self._opened() as source:
            for run in np.split(distinct, cuts):
                for first in range(int(run[0]), int(run[-1]) + 1, self.block_rows):
                    stop = min(first + self.block_rows, int(run[-1]) + 1)
                    block = torch.from_numpy(native(self._run(source, first, stop)))
                    low, high = np.searchsorted(ranked, (first, stop))
                    for at, row in zip(order[low:high], ranked[low:high] - first):
                        out[at] = block[row]  # converts to float32 as it copies
        return out

    def blocks(
        self,
        start: int = 0,  # the first row
    ):
        """Pairs (first row, block) over the whole array in order, each in the dtype on disk and at
        most BLOCK_BYTES long."""
        with self._opened() as source:
            for first in range(start, len(self), self.block_rows):
                yield first, self._run(source, first, min(first + self.block_rows, len(self)))

    def sample(
        self,
        limit: int = 64 * 2**20,  # about how many bytes to look at
    ):
        """Pairs (first row, block) spread evenly over the array, all of it when it is smaller
        than `limit`."""
        if self.nbytes <= limit:
            yield from self.blocks()
            return
        rows = min(self.block_rows, max(1, int(2**20 // self.row_bytes)))
        count = max(2, int(limit // (rows * self.row_bytes)))
        with self._opened() as source:
            for first in np.unique(np.linspace(0, len(self) - rows, count).astype(int)):
                yield int(first), self._run(source, int(first), int(first) + rows)


def native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order (unchanged where it is already)."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


class RawStore(ArrayStore):
    """Rows that lie one after the other in a file from `offset` on: a .npy file, or an h5 dataset
    that is not chunked."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.offset = Path(path), int(offset)
        self.shape, self.dtype = tuple(map(int, shape)), np.dtype(dtype)

    @contextmanager
    def _opened(self):
        with open(self.path, "rb", buffering=0) as file:
            yield file

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        block = np.empty((stop - start, *self.shape[1:]), self.dtype)
        view = memoryview(block.reshape(-1).view(np.uint8))
        source.seek(self.offset + start * self.row_bytes)
        got = 0
        while got < len(view):
            count = source.readinto(view[got:])
            if not count:
                raise AvbookError(
                    f"{self.path}: ends inside row {start + got // self.row_bytes} of {len(self)}; "
                    "it was cut short after it was opened: write it again"
                )
            got += count
        return block


class H5Store(ArrayStore):
    """Rows of an h5 dataset that has to go through h5py (chunked or compressed)."""

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.name = Path(path), name
        self.shape, self.dtype = tuple(map(int, shape)), np.dtype(dtype)

    @contextmanager
    def _opened(self):
        import h5py

        with h5py.File(self.path, "r") as file:
            yield file[self.name]

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        try:
            return source[start:stop]
        except OSError as error:
            raise AvbookError(
                f"{self.path}: rows {start}-{stop - 1} of '{self.name}' cannot be read "
                f"({str(error).splitlines()[0]}); get the file again"
            ) from None


class NpyFolderStore(ArrayStore):
    """Rows that lie in a folder as ID.npy, one file per clip, all of one shape and type."""

    def __init__(self, folder: Path, ids, row_shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.ids = Path(folder), np.asarray(ids)
        self.shape, self.dtype = (len(self.ids), *map(int, row_shape)), np.dtype(dtype)

    def row_name(self, row: int) -> str:
        return f"{self.ids[row]}.npy"

    def where(self, row: int) -> str:
        return str(self.path / self.row_name(row))

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        block = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for at, name in enumerate(self.ids[start:stop]):
            block[at] = self.one(str(name))
        return block

    def one(self, name: str) -> np.ndarray:
        """The array of one clip, its shape checked."""
        path = self.path / f"{name}.npy"
        array = read_npy(path)
        if array.shape != self.shape[1:]:
            raise AvbookError(
                f"{path}: {array.dtype} {array.shape}, but the other clips have {self.shape[1:]}"
                " floats"
            )
        return array


def checked_block(
    rows: ArrayStore,  # the store it is from
    first: int,  # its first row
    block: np.ndarray,  # the rows themselves
) -> np.ndarray:
    """The block itself; AvbookError for a NaN or an infinity in it."""
    bad = np.flatnonzero(not_finite(block))
    if len(bad):
        raise AvbookError(
            f"{rows.where(first + int(bad[0]))} holds NaN or infinity ({len(bad)} such among the"
            " rows beside it); extract that clip again or take it out of the lists"
        )
    return block


def _h5_fault(path: Path, error: OSError) -> AvbookError:
    """What HDF5 said of a file that cannot be read, in one line: cut short, with its sizes, or no
    HDF5 file at all."""
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    cut = re.search(r"truncated file.*stored_eof = (\d+)", str(error), re.S)
    what = (
        f"cut short: {size:,} of {int(cut[1]):,} bytes"
        if cut
        else f"not an HDF5 file, or a damaged one ({size:,} bytes)"
    )
    return AvbookError(f"{path}: {what}; get it again")


@contextmanager
def _h5_dataset(path: Path, name: str):
    """The dataset of an h5 file, open. AvbookError for a file that is cut short, not HDF5, or
    without that dataset."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if name not in file or not isinstance(file[name], h5py.Dataset):
                raise AvbookError(
                    f"{path}: holds {', '.join(map(repr, file)) or 'nothing'}, expected a dataset"
                    f" '{name}'; is it the right file?"
                )
            yield file[name]
    except OSError as error:
        raise _h5_fault(path, error) from None


def open_h5(
    path: Path,  # an h5 file
    name: str,  # the dataset in it
) -> ArrayStore:
    """The dataset as a store. AvbookError for a file that is missing, cut short, not HDF5, without
    that dataset, or not of floats."""
    path = Path(path)
    if not path.is_file():
        raise AvbookError(f"{path}: no such file; expected the features there, dataset '{name}'")
    with _h5_dataset(path, name) as data:
        if data.dtype.name not in FLOATS or data.ndim < 2:
            raise AvbookError(
                f"{path}: '{name}' is {data.dtype} {data.shape}, expected floats, one row per clip"
            )
        shape, dtype = data.shape, data.dtype
        offset = data.id.get_offset() if data.chunks is None and not data.external else None
        first = data[:1] if len(data) else None
    if offset is not None and first is not None:
        raw = RawStore(path, offset, shape, dtype)
        if offset + raw.nbytes <= os.path.getsize(path):
            with raw._opened() as source:  # trust the offset only after it gave the same first row
                if raw._run(source, 0, 1).tobytes() == first.tobytes():
                    return raw
    return H5Store(path, name, shape, dtype)


def read_h5(
    path: Path,  # an h5 file small enough to read whole
    name: str,  # the dataset in it
) -> np.ndarray:
    """The dataset as an array. AvbookError for a file that is missing, cut short, not HDF5, without
    that dataset, or not of numbers."""
    path = Path(path)
    if not path.is_file():
        raise AvbookError(f"{path}: no such file")
    with _h5_dataset(path, name) as data:
        if data.dtype.kind not in "iuf":
            raise AvbookError(f"{path}: '{name}' is of type {data.dtype}, expected numbers")
        return data[()]


def open_npy(
    path: Path,  # a .npy file
) -> RawStore:
    """The array as a store. AvbookError for a file that is missing, cut short, or not an array of
    floats in C order."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            else:
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
            offset = file.tell()
    except FileNotFoundError:
        raise AvbookError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise AvbookError(f"{path}: not a .npy array ({str(error).splitlines()[0]})") from None
    if fortran or dtype.name not in FLOATS or len(shape) < 2:
        raise AvbookError(
            f"{path}: {dtype} {shape}{' in Fortran order' if fortran else ''}, expected floats, one"
            " row per clip"
        )
    rows = RawStore(path, offset, shape, dtype)
    if offset + rows.nbytes != os.path.getsize(path):
        raise AvbookError(
            f"{path}: {os.path.getsize(path):,} bytes, expected {offset + rows.nbytes:,}; it was"
            " cut short: make it again"
        )
    return rows


def read_npy(
    path: Path,  # ID.npy, the features of one clip
) -> np.ndarray:
    """The array. AvbookError for a file that is missing, damaged, pickled, or not of floats."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise AvbookError(f"{path}: no such file; every clip of the lists needs one") from None
    except (ValueError, OSError, EOFError) as error:
        raise AvbookError(
            f"{path}: not a .npy array of numbers ({str(error).splitlines()[0]}); extract it again"
        ) from None
    if array.dtype.name not in FLOATS:
        raise AvbookError(f"{path}: {array.dtype} {array.shape}, expected floats; extract it again")
    return array
