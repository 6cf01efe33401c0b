"""Batches of a split on a device, from lists of rows, without drawing random numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avbook.data.base import Split as StoredSplit, identity_collate
from avbook.training.protocols import Split

__all__ = ["BatchDataset", "batches_of", "read_ahead", "DeviceSplit", "source_of"]


class BatchDataset(Dataset):
    """A split as a list of batches: entry k is the batch of the k-th list of rows."""

    def __init__(self, split: Split, batches: list):
        self.split, self.batches = split, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, k: int) -> dict[str, Any]:
        return self.split.batch([int(i) for i in self.batches[k]])


def batches_of(
    split: Split,
    batches: list,  # lists of rows
    device: torch.device,
    workers: int = 0,  # processes that read ahead
) -> Iterator[dict[str, Any]]:
    """The batches one by one, on the device; no global random number is drawn. From a disk or a
    network a thread reads the next batch while the caller uses this one."""
    loader = DataLoader(
        BatchDataset(split, batches),
        batch_size=None,
        collate_fn=identity_collate,
        num_workers=workers,
        pin_memory=device.type == "cuda" and not isinstance(split, DeviceSplit),
        generator=torch.Generator(),
    )
    waits = not workers and isinstance(split, StoredSplit) and not split.in_memory
    for batch in read_ahead(loader) if waits else loader:
        yield {
            name: part.to(device, non_blocking=True) if isinstance(part, Tensor) else part
            for name, part in batch.items()
        }


END: Any = object()


def read_ahead(
    items: Iterable,
) -> Iterator:
    """The items; a thread fetches the next one meanwhile. Its exception is raised in its turn."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, "read ahead") as reader:
        following = reader.submit(next, iterator, END)
        while (item := following.result()) is not END:
            following = reader.submit(next, iterator, END)
            yield item


class DeviceSplit:
    """A split's tensors on one device; `batch(indices)` as for the split itself."""

    def __init__(self, split: Split, device: torch.device, chunk: int = 256):
        self.rows, self.tensors, self.device = len(split), {}, device
        for start in range(0, self.rows, chunk):
            stop = min(start + chunk, self.rows)
            for name, part in split.batch(list(range(start, stop))).items():
                if start == 0:
                    self.tensors[name] = torch.empty(
                        (self.rows, *part.shape[1:]), dtype=part.dtype, device=device
                    )
                self.tensors[name][start:stop] = part.to(device)

    def __len__(self) -> int:
        return self.rows

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        index = torch.as_tensor(indices, device=self.device)
        return {name: tensor[index] for name, tensor in self.tensors.items()}


def source_of(
    split: Split,
    device: torch.device,
    # whether to hold all of it on the device; None: on a CUDA card if it fits in a quarter of the
    # free memory
    keep: bool | None = None,
) -> Split:
    """The source of this split's batches: the split itself, or a `DeviceSplit` copy on the
    device."""
    if keep is None and device.type == "cuda":
        row = sum(part.nbytes for part in split.batch([0]).values() if isinstance(part, Tensor))
        keep = row * len(split) < torch.cuda.mem_get_info(device)[0] / 4
    return DeviceSplit(split, device) if keep else split
