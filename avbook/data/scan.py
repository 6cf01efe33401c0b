"""A scan of a folder's features: one pass over every value, for a hash and a list of oddities.

The hash is of the values as float16, so that a pack has the hash of its source. Hash and findings
are stored beside the files with the files' sizes and times; the next start only compares those.
`SCAN_FILE` may be removed at any time."""

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
VERSION = 1  # of a scan's content and file format
SETTLED = 2 * 10**9  # ns: a file changed within this time before a scan may change again unnoticed
LARGEST = float(np.finfo(np.float16).max)  # 65504
SMALLEST = float(np.finfo(np.float16).tiny)  # 6.1e-05: below it float16 loses digits
LARGEST_ARRAY = 10**12  # bytes; a sparse file may claim any size
SLOW = 2**30  # bytes from which a progress bar is shown
NAMED = 3  # rows kept by number


class Rows(Schema):
    """Rows with one property: how many, and the first of them."""

    count: int = 0
    first: list[int] = []

    def add(self, row: int) -> None:
        """Counts one more row."""
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(row)


class Scan(Schema):
    """The hash of one array of features, and the oddities of its rows."""

    digest: str  # hash of the values as float16, row by row
    rows: int
    distinct: int  # distinct rows
    not_finite: Rows  # rows with a NaN or an infinity
    constant: Rows  # rows of one constant value
    repeated: Rows  # rows equal to an earlier row
    damaged: dict[str, Rows] = {}  # by message: rows that cannot be read
    other_sums: Rows = Rows()  # first rows of a pack's blocks with a wrong checksum


class BlockSums(NamedTuple):
    """The checksums of one array in a pack's description."""

    crc32: list[int]
    rows: int  # rows per block


class _Kept(Schema):
    """One entry of `SCAN_FILE`: a scan and its files."""

    source: str
    scan: Scan


class _File(Schema):
    features: dict[str, _Kept]


def scan_features(
    folder: Path,  # keeps the scan, if it is writable
    stores: dict[str, ArrayStore],  # features on disk, by name
    sums: dict[str, BlockSums] | None = None,  # checksums of a pack, by name
    fresh: bool = False,  # read every value again, ignoring the stored scan
) -> dict[str, Scan]:
    """The scan of each kind of features, by name: read from the disk if it is stored there and no
    file has changed, else made by reading every value once.

    Raises `AvbookError` if a file changes during the scan, or is too large to be features."""
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
                    f"{rows.path}: was modified while it was read; wait for the other program,"
                    " then start again"
                )
            settled &= newest < started - SETTLED and not _broken(scans[name])
    if missing and settled:
        _keep(folder, {n: _Kept(source=sources[n][0], scan=scans[n]) for n in stores})
    return {name: scans[name] for name in stores}


def _broken(scan: Scan) -> bool:
    """Whether the scan has faults that may be fixed without a change of sizes and times: a link, a
    permission."""
    return bool(scan.damaged or scan.other_sums.count)


# ------------------------------------------------------------------------------------ a single scan
def scan_rows(
    rows: ArrayStore,
    sums: BlockSums | None = None,
    advance: Callable[[int], object] = lambda count: None,  # called with the number of bytes read
) -> Scan:
    """Scans the array in one pass, a block at a time."""
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
    """For each row: whether it is finite, whether it is constant, and a digest of its float16
    values, or of its float32 values if they exceed float16's range."""
    import torch

    # as in training: a float64 may exceed the range of float32
    single = torch.from_numpy(native(block)).reshape(len(block), -1).float()
    low, high = (end.numpy() for end in torch.aminmax(single, dim=1))  # NaN if one value is
    half = single.half().numpy().astype("<f2", copy=False)
    largest = np.maximum(-low, high)
    # float16 would turn large values into infinities, small ones into zeros
    beyond = (largest > LARGEST) | ((largest < SMALLEST) & (largest > 0))
    digests = []
    for at in range(len(block)):
        row = single[at].numpy().astype("<f4", copy=False) if beyond[at] else half[at]
        digests.append(hashlib.blake2b(row.view(np.uint8), digest_size=16).digest())
    return np.isfinite(low) & np.isfinite(high), low == high, digests


def _blocks(
    rows: ArrayStore, scan: Scan, sums: BlockSums | None
) -> Iterator[tuple[int, np.ndarray]]:
    """First row and values of each block; unreadable rows and wrong checksums are noted in the
    scan."""
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
    """The blocks of one file per clip; faults of the same kind are noted together."""
    kinds: dict[str, str] = {}  # message without its numbers -> its first occurrence
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
    """An identifier of the files that the rows lie in, and the time of their last change (ns)."""
    stamps, newest = rows.source_stamp()
    about = [VERSION, str(rows.dtype), list(rows.shape), getattr(rows, "offset", None), stamps]
    return json.dumps(about), newest


def _places(folder: Path) -> list[Path]:
    """The places for a scan: beside the files, or in the cache if those are read-only."""
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=12).hexdigest()
    return [folder / SCAN_FILE, cache_folder() / "scans" / f"{name}.json"]


def _read_kept(folder: Path) -> dict[tuple[str, str], _Kept]:
    """The stored scans of both places, by name and source."""
    kept: dict[tuple[str, str], _Kept] = {}
    for path in _places(folder):
        with suppress(AvbookError):  # an invalid scan is made again
            found = _File.model_validate(read_json(path, _File, "a scan", "remove it"))
            kept |= {(name, entry.source): entry for name, entry in found.features.items()}
    return kept


def _keep(folder: Path, entries: dict[str, _Kept]) -> None:
    text = _File(features=entries).model_dump_json(indent=1) + "\n"
    for path in _places(folder):
        with suppress(OSError):  # read-only or full: try the next place
            write_text(path, text)
            return


def _bar(size: int):
    """A progress bar for bytes; it shows on a terminal, for large sizes."""
    from tqdm import tqdm

    return tqdm(
        total=size,
        unit="B",
        unit_scale=True,
        desc="scanning the features (once)",
        disable=size < SLOW or not sys.stderr.isatty(),
    )
