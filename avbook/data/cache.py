"""Features held in memory or on a device, in their precision on disk; joined stores."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from avbook.data.scan import BlockSums
from avbook.data.stores import ArrayStore, checked_block, native, row_numbers
from avbook.errors import AvbookError

__all__ = ["JoinedStore", "CachedStore", "load_store", "store_to_device"]


class JoinedStore(ArrayStore):
    """Two stores end to end: the clips of a data set, followed by the background clips."""

    def __init__(self, first: ArrayStore, second: ArrayStore):
        self.parts, self.path = (first, second), first.path
        self.shape = (len(first) + len(second), *first.shape[1:])
        self.dtype = np.result_type(first.dtype, second.dtype)

    @property
    def in_memory(self) -> bool:
        return all(part.in_memory for part in self.parts)

    def read(self, indices):
        """These rows as a float32 tensor, each from its own store."""
        import torch

        rows = row_numbers(indices, len(self))
        split = len(self.parts[0])
        behind = rows >= split
        if not behind.any():
            return self.parts[0].read(rows)
        out = torch.empty((len(rows), *self.shape[1:]), dtype=torch.float32)
        for part, where, base in ((self.parts[0], ~behind, 0), (self.parts[1], behind, split)):
            if where.any():
                got = part.read(rows[where] - base)
                out = out.to(got.device)
                out[torch.from_numpy(np.flatnonzero(where)).to(got.device)] = got
        return out

    def to(self, device):
        """The same two stores on a device."""
        return JoinedStore(*(store_to_device(part, device) for part in self.parts))


class CachedStore(ArrayStore):
    """Rows held in memory (or on a device) in their stored precision, float64 as float32.

    A pickle holds no data, only its path: a spawned worker process reads from disk."""

    def __init__(self, origin: ArrayStore, tensor):
        self.origin, self.tensor = origin, tensor
        self.path, self.shape = origin.path, tuple(tensor.shape)
        self.dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))

    @property
    def in_memory(self) -> bool:
        return True

    def read(self, indices):
        """These rows as a float32 tensor on the device of the store."""
        import torch

        rows = torch.from_numpy(row_numbers(indices, len(self))).to(self.tensor.device)
        return self.tensor.index_select(0, rows).float()

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        return self.tensor[start:stop].cpu().numpy()

    def to(self, device):
        """The same store on a device."""
        return CachedStore(self.origin, self.tensor.to(device))

    def __reduce__(self):
        return _again, (self.origin,)


def _again(origin: ArrayStore) -> ArrayStore:
    return origin


def load_store(
    rows: ArrayStore,  # a store on disk
    sums: BlockSums | None = None,  # checksums of a pack, if known
    device="cpu",  # device of the values
) -> CachedStore:
    """The store held in memory, read and checked block by block; AvbookError for NaN, infinity or a
    wrong checksum."""
    import torch

    if isinstance(rows, CachedStore):
        return rows.to(device)
    tensor = torch.empty(
        rows.shape,
        dtype=torch.float16 if rows.dtype == np.float16 else torch.float32,
        device=device,
    )
    with rows._opened() as source:
        step = sums.rows if sums else rows.block_rows
        for number, first in enumerate(range(0, len(rows), step)):
            block = rows._run(source, first, min(first + step, len(rows)))
            if sums and crc32(block.reshape(-1).view(np.uint8)) != sums.crc32[number]:
                raise AvbookError(
                    f"{rows.path}: rows {first}-{first + len(block) - 1} are not what was packed"
                    " (checksum); pack again"
                )
            tensor[first : first + len(block)] = torch.from_numpy(
                native(checked_block(rows, first, block))
            )
    return CachedStore(rows, tensor)


def store_to_device(rows: ArrayStore, device) -> ArrayStore:
    """The store with its values on a device, in their stored precision."""
    if isinstance(rows, (CachedStore, JoinedStore)):
        return rows.to(device)
    return load_store(rows, device=device)
