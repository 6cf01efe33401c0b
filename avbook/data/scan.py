"""One look at every value of a folder's features: a hash of what they are, and what is odd.

The hash is of the values as float16, so that a pack has that of what it was packed from. Hash and
findings are kept beside the files with their sizes and times, so that the next start only looks at
those; `SCAN_FILE` may be removed at any time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from avbook.common.files import write_text
from avbook.common.schema import Schema, read_json
from avbook.common.system import cache_folder
from avbook.data.stores import ArrayStore, NpyFolderStore, native
from avbook.errors import AvbookError

__all__ = ["SCAN_FILE", "Scan", "Rows", "BlockSums", "scan_features"]

SCAN_FILE = ".avbook-scan.json"
VERSION = 1  # of what a scan finds, and of its file
SETTLED = 2 * 10**9  # ns: a file that changed later than this before a scan may change unseen
LARGEST = float(np.finfo(np.float16).max)  # 65504
SMALLEST = float(np.finfo(np.float16).tiny)  # 6.1e-05: below it float16 loses digits
LARGEST_ARRAY = 10**12  # bytes; a file with holes may claim any number
SLOW = 2**30  # bytes that are worth a progress bar
NAMED = 3  # rows that are remembered by number


class Rows(Schema):
    """Rows of which one thing is true: how many, and the first of them."""

    count: int = 0
    first: list[int] = []

    def add(self, row: int) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(row)


class Scan(Schema):
    """What one array of features is, and what is odd about its rows."""

    digest: str  # of the values as float16, row by row
    rows: int
    distinct: int  # rows that differ from each other
    not_finite: Rows  # a NaN or an infinity in them
    constant: Rows  # one value throughout
    repeated: Rows  # the same values as a row before
    damaged: dict[str, Rows] = {}  # by message: rows that cannot be read
    other_sums: Rows = Rows()  # first rows of a pack's blocks that are not as their checksums say


class BlockSums(NamedTuple):
    """The checksums that a pack's description holds of one array."""

    crc32: list[int]
    rows: int  # to a block


class _Kept(Schema):
    """One entry of `SCAN_FILE`: a scan and the files it is of."""

    source: str
    scan: Scan


class _File(Schema):
    features: dict[str, _Kept]


def scan_features(
    folder: Path,  # where the scan is kept, if it can be written to
    stores: dict[str, ArrayStore],  # by name: features on disk
    sums: dict[str, BlockSums] | None = None,  # by name: of a pack
    fresh: bool = False,  # look at every value again, whatever was kept
) -> dict[str, Scan]:
    """By name, what the features are: read from the disk where that was kept and no file has
    changed, else found by reading every value once.

    Raises `AvbookError` where a file changes meanwhile, or is too large to be features."""
    for rows in stores.values():
        if rows.nbytes > LARGEST_ARRAY:
            raise AvbookError(
                f"{rows.path}: {rows.dtype} {rows.shape}, {rows.nbytes / 1e12:.1f} TB; expected at"
                " most 1: is it the right file?"
            )
    kept = {} if fresh else _read_kept(folder)
    sources = {name: _source(rows) for name, rows in stores.items()}
    scans = {
        name: kept[name, source].scan
        for name, (source, _) in sources.items()
        if (name, source) in kept
    }
    missing = [name for name in stores if name not in scans]
    settled = True
    with _bar(sum(stores[name].nbytes for name in missing)) as bar:
        for name in missing:
            started, rows, (source, newest) = time.time_ns(), stores[name], sources[name]
            scans[name] = scan_rows(rows, (sums or {}).get(name), bar.update)
            if _source(rows)[0] != source:
                raise AvbookError(
                    f"{rows.path}: was written to while it was read; wait for the other program,"
                    " then start again"
                )
            settled &= newest < started - SETTLED and not _broken(scans[name])
    if missing and settled:
        _keep(folder, {n: _Kept(source=sources[n][0], scan=scans[n]) for n in stores})
    return {name: scans[name] for name in stores}


def _broken(scan: Scan) -> bool:
    """Whether something is to be mended that may not show in sizes and times: a link, a right."""
    return bool(scan.damaged or scan.other_sums.count)


# ------------------------------------------------------------------------------------ a single scan
def scan_rows(
    rows: ArrayStore,
    sums: BlockSums | None = None,
    advance: Callable[[int], object] = lambda count: None,  # told of the bytes that were read
) -> Scan:
    """What the array is, found by reading it once, a block at a time."""
    total = hashlib.blake2b(json.dumps([VERSION, list(rows.shape[1:])]).encode(), digest_size=32)
    seen: set[bytes] = set()
    scan = Scan(
        digest="",
        rows=len(rows),
        distinct=0,
        not_finite=Rows(),
        constant=Rows(),
        repeated=Rows(),
        other_sums=Rows(),
    )
    for first, block in _blocks(rows, scan, sums):
        finite, constant, digests = _look_at(block)
        for at, digest in enumerate(digests):
            row = first + at
            total.update(digest)
            if not finite[at]:
                scan.not_finite.add(row)
            elif constant[at]:
                scan.constant.add(row)
            elif digest in seen:
                scan.repeated.add(row)
            seen.add(digest)
        advance(block.nbytes)
    scan.digest, scan.distinct = total.hexdigest(), len(seen)
    return scan


def _look_at(block: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    """For each row: whether it is finite, whether it is constant, and a digest of its float16, or
    of its float32 where float16 cannot hold its size."""
    import torch

    # as they are read: a float64 may be larger than any float32
    single = torch.from_numpy(native(block)).reshape(len(block), -1).float()
    low, high = (end.numpy() for end in torch.aminmax(single, dim=1))  # NaN where one is
    half = single.half().numpy().astype("<f2", copy=False)
    largest = np.maximum(-low, high)
    # float16 would make infinities of the ones, and zeros of the others
    beyond = (largest > LARGEST) | ((largest < SMALLEST) & (largest > 0))
    digests = []
    for at in range(len(block)):
        row = single[at].numpy().astype("<f4", copy=False) if beyond[at] else half[at]
        digests.append(hashlib.blake2b(row.view(np.uint8), digest_size=16).digest())
    return np.isfinite(low) & np.isfinite(high), low == high, digests


def _blocks(
    rows: ArrayStore, scan: Scan, sums: BlockSums | None
) -> Iterator[tuple[int, np.ndarray]]:
    """First row and values of each block; rows that cannot be read, or are not as their checksum
    says, are noted in the scan."""
    if isinstance(rows, NpyFolderStore):
        yield from _clips(rows, scan)
        return
    step = sums.rows if sums else rows.block_rows
    with rows._opened() as source:
        for number, first in enumerate(range(0, len(rows), step)):
            stop = min(first + step, len(rows))
            block = rows._run(source, first, stop)
            if sums and crc32(block.reshape(-1).view(np.uint8)) != sums.crc32[number]:
                scan.other_sums.add(first)
            yield first, block


def _clips(rows: NpyFolderStore, scan: Scan) -> Iterator[tuple[int, np.ndarray]]:
    """The blocks of one file a clip; faults of the same kind are noted together."""
    kinds: dict[str, str] = {}  # message without its numbers -> as it was first met
    for first in range(0, len(rows), rows.block_rows):
        stop = min(first + rows.block_rows, len(rows))
        block = np.zeros((stop - first, *rows.shape[1:]), rows.dtype)
        for at in range(stop - first):
            name = str(rows.ids[first + at])
            try:
                block[at] = rows.one(name)
            except AvbookError as error:
                message = str(error).removeprefix(f"{rows.path / name}.npy: ")
                kind = kinds.setdefault(re.sub(r"[\d,]+", "#", message), message)
                scan.damaged.setdefault(kind, Rows()).add(first + at)
        yield first, block


# ------------------------------------------------------------------------------------ what was kept
def _source(rows: ArrayStore) -> tuple[str, int]:
    """What identifies the files that the rows lie in, and when the last of them changed (ns)."""
    stamps, newest = rows.source_stamp()
    about = [VERSION, str(rows.dtype), list(rows.shape), getattr(rows, "offset", None), stamps]
    return json.dumps(about), newest


def _places(folder: Path) -> list[Path]:
    """Where a scan is kept: beside the files, or in the cache where that cannot be."""
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=12).hexdigest()
    return [folder / SCAN_FILE, cache_folder() / "scans" / f"{name}.json"]


def _read_kept(folder: Path) -> dict[tuple[str, str], _Kept]:
    """By name and source: what was kept in either place."""
    kept: dict[tuple[str, str], _Kept] = {}
    for path in _places(folder):
        with suppress(AvbookError):  # what is no scan is made again
            found = _File.model_validate(read_json(path, _File, "a scan", "remove it"))
            kept |= {(name, entry.source): entry for name, entry in found.features.items()}
    return kept


def _keep(folder: Path, entries: dict[str, _Kept]) -> None:
    text = _File(features=entries).model_dump_json(indent=1) + "\n"
    for path in _places(folder):
        with suppress(OSError):  # read-only, or full: the next place, or none
            write_text(path, text)
            return


def _bar(size: int):
    """A bar that is told of bytes; it shows on a terminal, where there are many."""
    from tqdm import tqdm

    return tqdm(
        total=size,
        unit="B",
        unit_scale=True,
        desc="looking at the features (once)",
        disable=size < SLOW or not sys.stderr.isatty(),
    )
