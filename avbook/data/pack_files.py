"""A pack's arrays and small files, opened and compared with its description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from avbook.common.files import checksum
from avbook.data.description import PACK_FILE
from avbook.data.remote import remote_array
from avbook.data.scan import BlockSums, Scan, scan_features
from avbook.data.stores import ArrayStore, open_npy
from avbook.data.validation import FolderDescription, ValidationReport, check_described, check_scans
from avbook.errors import AvbookError

__all__ = ["open_packed", "open_features", "block_sums", "judge_features"]


def open_packed(
    folder: Path,  # a pack
    entry: dict,  # one array's entry in its description
) -> ArrayStore:
    """The array as a store; AvbookError if the file is not as described."""
    rows = remote_array(folder, entry["file"]) or open_npy(Path(folder) / entry["file"])
    if list(rows.shape) != entry["shape"] or rows.dtype != np.float16:
        raise AvbookError(
            f"{rows.path}: {rows.dtype} {rows.shape}, but {PACK_FILE} says float16"
            f" {tuple(entry['shape'])}; pack again"
        )
    return rows


def open_features(
    report: ValidationReport,  # collects the findings
    description: FolderDescription,  # with a pack's description of the features
    files: Mapping[str, str],  # name of the features -> official file or folder
    # returns the store of an official file or folder, or None if there is none
    open_official: Callable[[str], ArrayStore | None],
    required: bool = True,  # whether a pack must have them
) -> dict[str, ArrayStore]:
    """Name -> store of the readable features, from a pack or from the official files; errors in the
    report for the others."""
    stores = {}
    for name, file in files.items():
        entry = description.packed(name)
        if description.manifest is None:
            rows = open_official(file)
        elif entry is not None:
            rows = report.attempt(entry["file"], open_packed, report.folder, entry)
        else:
            rows = None
            if required:
                report.error(PACK_FILE, f"has no entry for {name}; pack the official folder again")
        if rows is not None:
            stores[name] = rows
    return stores


def block_sums(
    description: FolderDescription,
) -> dict[str, BlockSums]:
    """The checksums of a pack's arrays by name; empty for the official files."""
    if description.manifest is None:
        return {}
    return {
        name: BlockSums(entry["crc32"], entry["block_rows"])
        for name, entry in description.manifest["arrays"].items()
    }


def judge_features(
    report: ValidationReport,  # collects the findings
    description: FolderDescription,
    stores: dict[str, ArrayStore],  # readable features, by name
    fresh: bool = False,  # read every value again, ignoring earlier scans
) -> dict[str, Scan]:
    """The scan of each kind of features, by name; errors in them, or in a pack's small files, go to
    the report."""
    if description.manifest is not None:
        _check_copies(report, description.manifest)
    check_described(report, description, stores)
    try:
        scans = scan_features(report.folder, stores, block_sums(description), fresh)
    except (AvbookError, OSError) as error:  # changed while they were read
        file, _, message = str(error).removeprefix(f"{report.folder}/").partition(": ")
        report.error(file, message)
        return {}
    check_scans(report, stores, scans)
    return scans


def _check_copies(report: ValidationReport, manifest: dict) -> None:
    """Reports an error for every small file of a pack that differs from what was packed."""
    for name, entry in manifest["files"].items():
        found = report.attempt(name, checksum, report.folder / name)
        if found is not None and found != entry["crc32"]:
            report.error(
                name,
                "not what was packed (checksum); copy it again from the official folder, or pack"
                " again",
            )
