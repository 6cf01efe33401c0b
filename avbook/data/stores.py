"""Feature arrays on disk: one row per clip, read in batches, never held twice, never as float64.

A store has `read(indices)`, which returns float32, and `blocks()`, which yields the rows in order.
Nothing stays open between reads, so a store may be pickled, forked, or used from several threads,
and the kernel's page cache does not count as this process's memory."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from avbook.data.npy_files import read_header, read_npy
from avbook.errors import AvbookError

__all__ = [
    "BLOCK_BYTES",
    "ArrayStore",
    "RawStore",
    "H5Store",
    "NpyFolderStore",
    "open_npy",
    "file_stamp",
    "folder_stamps",
    "row_numbers",
    "not_finite",
    "native",
    "checked_block",
]

BLOCK_BYTES = 16 * 2**20  # most bytes of one read: the size of every scratch buffer


def row_numbers(
    indices,  # an int, a slice, a list, a range, a boolean mask, a NumPy array or a torch tensor
    length: int,  # the number of rows
) -> np.ndarray:
    """The rows that `indices` selects, as a 1-d int64 array without negative numbers; IndexError if
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
    """For each row of the block, whether it holds a NaN or an infinity; float16 is tested by its
    bits, which is fast."""
    flat = block.reshape(len(block), -1)
    if flat.dtype == np.float16:
        bits = native(flat).view(np.uint16)
        return ((bits & 0x7C00) == 0x7C00).any(1)
    return ~np.isfinite(flat).all(1)


class ArrayStore:
    """A store of clips: `shape` (N, ...), `dtype` as on disk, `path` for messages. Subclasses
    define how a run of rows is read."""

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
        """The number of rows in a block of at most BLOCK_BYTES (at least one)."""
        return max(1, BLOCK_BYTES // max(1, self.row_bytes))

    @property
    def in_memory(self) -> bool:
        """Whether a read needs no file and no network."""
        return False

    def row_name(self, row: int) -> str:
        """The name of a row in messages."""
        return f"row {row}"

    def where(self, row: int) -> str:
        """The name of a row and its file in messages."""
        return f"{self.path}: row {row} of {len(self)}"

    def source_stamp(self) -> tuple[object, int]:
        """An identifier that changes with the files of the rows, and the time of their last change
        (ns)."""
        stamp = file_stamp(os.stat(self.path))
        return stamp, max(stamp[1:])

    @contextmanager
    def _opened(self):
        """The source from which `_run` takes rows; open only during a read."""
        yield None

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        """Rows start..stop-1 in their dtype on disk, in their own memory."""
        raise NotImplementedError

    def read(
        self,
        indices,  # as for `row_numbers`; may be repeated and unsorted
    ):
        """These rows as a float32 CPU tensor (B, ...), in the given order.

        Each row is read once, in the order of the file; neighbouring rows are read together.
        Besides the result there is one scratch buffer."""
        import torch

        rows = row_numbers(indices, len(self))
        out = torch.empty((len(rows), *self.shape[1:]), dtype=torch.float32)
        if not len(rows):
            return out
        order = np.argsort(rows, kind="stable")  # order[k]: position of the k-th smallest row
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


def native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order (unchanged where it is already)."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def file_stamp(
    found: os.stat_result,
) -> tuple[int, int, int]:
    """Size and times of a file, which reveal a change: a program can set the modification time of a
    file, but not the time of its last status change."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def folder_stamps(
    folder: Path,
) -> dict[str, tuple[int, int, int]]:
    """The stamp of each entry of the folder, by name; size -1 for inaccessible entries, such as
    broken links. Raises OSError without such a folder."""
    stamps = {}
    for entry in os.scandir(folder):
        try:
            stamps[entry.name] = file_stamp(entry.stat())
        except OSError:
            stamps[entry.name] = (-1, 0, 0)
    return stamps


def _check_unchanged(path: Path, stamp: tuple[int, int, int]) -> None:
    """AvbookError if the file is gone or differs from its stamp."""
    try:
        same = file_stamp(os.stat(path)) == stamp
    except OSError:
        same = False
    if not same:
        raise AvbookError(
            f"{path}: was removed, replaced or modified since it was opened; start again"
        )


class RawStore(ArrayStore):
    """Rows stored one after the other in a file from `offset` on: a .npy file, or an h5 dataset
    that is not chunked. A read raises `AvbookError` if the file has changed."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.offset = Path(path), int(offset)
        self.shape, self.dtype = tuple(map(int, shape)), np.dtype(dtype)
        self.stamp = file_stamp(os.stat(self.path))

    @contextmanager
    def _opened(self):
        _check_unchanged(self.path, self.stamp)
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise AvbookError(f"{self.path}: cannot be read ({error.strerror})") from None
        with file:
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
    """Rows of an h5 dataset that needs h5py (chunked or compressed). A read raises `AvbookError` if
    the file has changed."""

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.name = Path(path), name
        self.shape, self.dtype = tuple(map(int, shape)), np.dtype(dtype)
        self.stamp = file_stamp(os.stat(self.path))

    @contextmanager
    def _opened(self):
        import h5py

        _check_unchanged(self.path, self.stamp)
        try:
            file = h5py.File(self.path, "r")
        except OSError as error:
            raise AvbookError(
                f"{self.path}: cannot be opened again ({' '.join(str(error).split())[:200]})"
            ) from None
        with file:
            yield file[self.name]

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        try:
            return source[start:stop]
        except Exception as error:  # noqa: BLE001  # OSError, RuntimeError, ValueError, …
            raise AvbookError(
                f"{self.path}: rows {start}-{stop - 1} of '{self.name}' cannot be read"
                f" ({' '.join(str(error).split())[:200]}); get the file again"
            ) from None


class NpyFolderStore(ArrayStore):
    """Rows stored in a folder as ID.npy, one file per clip, all of one shape and type. A read
    raises `AvbookError` if a file has changed since its stamp was taken."""

    def __init__(
        self,
        folder: Path,
        ids,
        row_shape: tuple[int, ...],
        dtype: np.dtype,
        stamps: dict[str, tuple[int, int, int]] | None = None,  # by file; None: not checked
    ):
        self.path, self.ids = Path(folder), np.asarray(ids)
        self.shape, self.dtype = (len(self.ids), *map(int, row_shape)), np.dtype(dtype)
        self.stamps = stamps or {}

    def row_name(self, row: int) -> str:
        return f"{self.ids[row]}.npy"

    def where(self, row: int) -> str:
        return str(self.path / self.row_name(row))

    def source_stamp(self) -> tuple[object, int]:
        digest, newest = hashlib.blake2b(digest_size=16), 0
        stamps = folder_stamps(self.path)
        for name in self.ids:
            stamp = stamps.get(f"{name}.npy", (-1, 0, 0))
            digest.update(f"{name} {stamp}\n".encode())
            newest = max(newest, *stamp[1:])
        return digest.hexdigest(), newest

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        block = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for at, name in enumerate(self.ids[start:stop]):
            block[at] = self.one(str(name))
        return block

    def one(self, name: str) -> np.ndarray:
        """The array of one clip, its shape checked."""
        path = self.path / f"{name}.npy"
        stamp = self.stamps.get(path.name)
        if stamp is not None and stamp[0] >= 0:
            _check_unchanged(path, stamp)
        array = read_npy(path)
        if array.dtype.itemsize > self.dtype.itemsize:
            raise AvbookError(
                f"{path}: {array.dtype}, but most clips are {self.dtype}; write all in one type"
            )
        if array.shape != self.shape[1:]:
            raise AvbookError(
                f"{path}: {array.dtype} {array.shape}, but most clips have {self.shape[1:]};"
                " extract it again"
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
            " neighbouring rows); extract that clip again or remove it from the lists"
        )
    return block


def open_npy(
    path: Path,  # a .npy file
) -> RawStore:
    """The array as a store. AvbookError for a file that is missing, cut short, or not an array of
    floats in C order."""
    path = Path(path)
    shape, dtype, fortran, offset = read_header(path)
    if fortran or len(shape) < 2:
        raise AvbookError(
            f"{path}: {dtype} {shape}{' in Fortran order' if fortran else ''}, expected floats, one"
            " row per clip"
        )
    return RawStore(path, offset, shape, dtype)
