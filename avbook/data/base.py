"""Data sets and their splits: batches of float32 tensors by index, or through a DataLoader."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avbook.data.cache import load_store, store_to_device
from avbook.data.pack_files import block_sums
from avbook.data.scan import BlockSums, Scan
from avbook.data.spec import SPLITS, DatasetSpec
from avbook.data.stores import ArrayStore, row_numbers
from avbook.data.validation import FolderDescription, ValidationReport
from avbook.errors import AvbookError

__all__ = [
    "Batch",
    "Split",
    "Dataset",
    "identity_collate",
    "cache_small",
    "folder_name",
    "content_hash",
]


class Batch(dict):
    """A dict of tensors, one entry per field; an integer key raises an error with advice on
    DataLoaders."""

    def __missing__(self, key):
        if isinstance(key, int):
            raise AvbookError(
                "a split returns whole batches, found a DataLoader that collates them again;"
                " expected DataLoader(split, collate_fn=avbook.data.base.identity_collate), or"
                " split.loader(...)"
            )
        raise KeyError(key)


def identity_collate(batch):
    """The batch unchanged: the `collate_fn` of a DataLoader over a split, whose batches are already
    collated."""
    return batch


def cache_small(
    stores: dict[str, ArrayStore],  # stores on disk
    limit: float,  # bytes that may be held in memory in total
    sums: dict[str, BlockSums] | None = None,  # checksums of a pack, by name
) -> dict[str, ArrayStore]:
    """The stores; the smallest ones that fit the limit together are held in memory, the others stay
    on disk."""
    held, sums = {}, sums or {}
    for name in sorted(stores, key=lambda name: stores[name].nbytes):
        rows = stores[name]
        size = rows.nbytes if rows.dtype == np.float16 else int(np.prod(rows.shape)) * 4
        if size <= limit:
            held[name] = load_store(rows, sums.get(name))
            limit -= size
    return {**stores, **held}


class Split:
    """A split of a data set: its clips' ids and labels, and their features in batches.

    `batch(indices)` returns a dict of float32 tensors for any indices: a list, a slice, a mask,
    repeated, unsorted. In a DataLoader it reads whole batches at once (`__getitems__`):
    `split.loader(32, shuffle=True)`."""

    def __init__(
        self,
        name: str,  # "train", "val" or "test"
        ids,  # the clips' ids, in the order of the split
        rows,  # rows of the clips in the stores, (n,) integers
        stores: dict[str, ArrayStore],  # field -> features of the whole data set
        arrays: dict[str, np.ndarray],  # field -> labels of this split, one row per clip
        device="cpu",  # device of the batches
    ):
        self.name, self.ids, self.rows = name, np.asarray(ids), np.asarray(rows, np.int64)
        self.stores, self.arrays, self.device = stores, arrays, torch.device(device)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        shapes = {key: (len(self), *rows.shape[1:]) for key, rows in self.stores.items()}
        shapes |= {key: array.shape for key, array in self.arrays.items()}
        fields = ", ".join(f"{key} {tuple(shape)}" for key, shape in shapes.items())
        return f"{type(self).__name__}({self.name}: {len(self)} clips; {fields})"

    @property
    def in_memory(self) -> bool:
        """Whether reading a batch needs no file and no network."""
        return all(rows.in_memory for rows in self.stores.values())

    def batch(
        self,
        indices,  # an int, a slice, a list, a boolean mask, a NumPy array or a torch tensor
    ) -> Batch:
        """The features and labels of these clips of the split, in the given order; IndexError if
        one is out of range."""
        at = row_numbers(indices, len(self))
        batch = Batch((key, rows.read(self.rows[at])) for key, rows in self.stores.items())
        batch.update((key, torch.from_numpy(array[at])) for key, array in self.arrays.items())
        if self.device.type != "cpu":
            batch = Batch((key, value.to(self.device)) for key, value in batch.items())
        return batch

    __getitems__ = batch

    def __getitem__(self, index):
        """One clip as a dict without the batch axis for an integer; a batch for anything else."""
        if np.ndim(index) or isinstance(index, slice):
            return self.batch(index)
        return {key: value[0] for key, value in self.batch([int(index)]).items()}

    def subset(
        self,
        indices,  # clips of this split
    ) -> Split:
        """A split of these clips only, in this order; it shares the features with this one."""
        at = row_numbers(indices, len(self))
        return type(self)(
            self.name,
            self.ids[at],
            self.rows[at],
            self.stores,
            {k: a[at] for k, a in self.arrays.items()},
            self.device,
        )

    def loader(
        self,
        batch_size: int = 32,  # clips per batch
        shuffle: bool = False,  # a new order every epoch
        seed: int | None = None,  # seed of the order; None: torch's global generator
        **options,  # for torch's DataLoader, such as num_workers
    ):
        """A DataLoader over the split that reads each batch in one call."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return torch.utils.data.DataLoader(
            self,  # type: ignore[arg-type]  # has what torch needs of a dataset: len and indexing
            batch_size=batch_size,
            shuffle=shuffle,
            generator=generator,
            collate_fn=identity_collate,
            **options,
        )


class Dataset:
    """The common base of AVE and LLP: a checked folder, three splits over shared features, a name
    and a hash for records."""

    split_type = Split
    spec: DatasetSpec

    folder: Path
    categories: tuple[str, ...]
    stores: dict[str, ArrayStore]
    train: Split
    val: Split
    test: Split

    def _keep(
        self,
        description: FolderDescription,  # the folder's own description
        contents: list[np.ndarray],  # labels, names and row numbers, in a fixed order
        features: dict[str, ArrayStore],  # as stored in the folder, by name
        scans: Mapping[str, Scan],  # their scans, by name
        options: list[str] | None = None,  # loader options that leave clips out
    ) -> None:
        """Stores what `kind`, `name` and `hash` are computed from; the hash covers all of the
        data."""
        self.categories, self._description = description.categories, description
        self._origins = {name: features[name] for name in self.spec.feature_files}
        words = [self.spec.name, self.categories, self.filters, *(options or [])]
        self._content = content_hash(words, contents, scans)

    def _keep_splits(self) -> None:
        """Remembers the splits as they were made: others give another hash."""
        self._made = self._split_digest()

    def _split_digest(self) -> str:
        digest = hashlib.sha256()
        for name, split in self.splits.items():
            digest.update(f"{name} {len(split)}".encode())
            for array in (split.rows, *(split.arrays[key] for key in sorted(split.arrays))):
                digest.update(np.ascontiguousarray(array).reshape(-1))
        return digest.hexdigest()

    @property
    def hash(self) -> str:
        """Twelve characters for everything that training reads, the same for a folder and its pack;
        they change if a split was replaced or its labels were changed in memory."""
        digest = self._split_digest()
        if digest == self._made:
            return self._content
        return hashlib.sha256(f"{self._content} {digest}".encode()).hexdigest()[:12]

    @hash.setter
    def hash(self, told: str) -> None:  # by code that changed the splits
        self._content, self._made = told, self._split_digest()

    @property
    def kind(self) -> str:
        """ "world" for generated data, "official" for the published features of all clips, "folder"
        for anything else."""
        if self._description.world is not None:
            return "world"
        made = self._description.features is not None  # from videos: not the published ones
        if made or self.categories != self.spec.categories:
            return "folder"
        for feature in self.spec.features:
            shape = self._origins[feature.name].shape
            if (shape[0], shape[-1]) != (self.spec.clips, feature.channels):
                return "folder"
        return "official"

    @property
    def filters(self) -> dict[str, Any] | None:
        """The extractors of the features. For features made from videos: what `features.json` says
        of each kind (name, version, weights, seed, dim). For a world with trained filters:
        "filters" and "weights" of `world.json`. None for a world with random filters and for other
        data."""
        if self._description.features is not None:
            return self._description.features["extractors"]
        return (self._description.world or {}).get("features")

    @property
    def name(self) -> str:
        """A short name, usable as a file name."""
        if self.kind == "official":
            return self.spec.name
        return folder_name(self.folder, self._description)

    def _hold(
        self,
        report: ValidationReport,  # on the whole folder
        description: FolderDescription,
        stores: dict[str, ArrayStore],
        cache_mb: float,
    ) -> dict[str, ArrayStore]:
        """The stores, small ones in memory. Raises the report's first error; its warnings become
        Python warnings."""
        report.stop_on_errors()
        for finding in report.findings:
            if finding.level == "warning":
                warnings.warn(f"{self.folder / finding.file}: {finding.message}", stacklevel=3)
        return cache_small(stores, cache_mb * 1e6, block_sums(description))

    @property
    def splits(self) -> dict[str, Split]:
        """Name -> split, for "train", "val" and "test"."""
        return {name: getattr(self, name) for name in SPLITS}

    def to(self, device) -> Dataset:
        """This data set with its features on a device, in their stored precision; batches come from
        there."""
        self.stores = {name: store_to_device(rows, device) for name, rows in self.stores.items()}
        for name, split in self.splits.items():
            setattr(
                self,
                name,
                self.split_type(name, split.ids, split.rows, self.stores, split.arrays, device),
            )
        return self

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(split)} {name}" for name, split in self.splits.items())
        return (
            f"{type(self).__name__}({self.name}, {self.kind}: {sizes}; {len(self.categories)}"
            " categories)"
        )


def folder_name(
    folder: Path,
    description: FolderDescription,  # the folder's own description
) -> str:
    """A short name for run records and paths: for a world its size and seed, for a pack the folder
    it was made from, else the folder's own name."""
    world, manifest = description.world, description.manifest
    if world is not None:
        parts = [str(world[key]) for key in ("task", "size", "seed") if world.get(key) is not None]
        if world.get("scripts") == "annotations":
            parts.append("annotations")
        if world.get("features"):
            parts.append(world["features"]["filters"])
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(["world", *parts]))
    name = (manifest or {}).get("source") or Path(folder).resolve().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "folder"


HASHED = 2**20  # values hashed at once


def content_hash(
    words: list,  # JSON values: the kind of data, class names
    arrays: list[np.ndarray],  # labels, names, row numbers
    scans: Mapping[str, Scan],  # scans of the features, by name
) -> str:
    """Twelve hexadecimal characters that change with any of these: words, labels, shapes, and every
    feature value as float16."""
    digests = {name: [scans[name].rows, scans[name].digest] for name in sorted(scans)}
    digest = hashlib.sha256(json.dumps([words, digests]).encode())
    for array in arrays:
        whole = array.dtype.kind in "iu"
        digest.update(json.dumps(["i" if whole else array.dtype.kind, array.shape]).encode())
        values = array.reshape(-1)
        if array.dtype.kind == "U":
            digest.update("\n".join(values).encode())
            continue
        for start in range(0, len(values), HASHED):
            part = values[start : start + HASHED]
            digest.update(part.astype("<i8") if whole else np.ascontiguousarray(part))
    return digest.hexdigest()[:12]
