"""Checks of a data folder: issues that say the file, what was found, expected, and what to do.

The loaders and `avbook data check` share these: a loader stops at the first error, the command
prints everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from avbook.data.annotations import read_categories
from avbook.data.stores import ArrayStore, RawStore, not_finite, open_npy
from avbook.errors import AvbookError

__all__ = [
    "Issue",
    "ValidationReport",
    "PACK_FILE",
    "PACK_VERSION",
    "FolderDescription",
    "describe_folder",
    "check_orders",
    "check_values",
    "read_manifest",
    "open_packed",
    "open_features",
    "check_pack",
    "listed",
    "read_world",
]

PACK_FILE, PACK_VERSION = "pack.json", 1
MOST_FAULTS = 20  # of one annotation file that a report names one by one


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong (`error`) or worth knowing (`note`) about a file of a data folder."""

    level: str  # "error" or "note"
    file: str  # the file's name in the folder
    message: str  # what was found, what was expected, what to do

    def __str__(self) -> str:
        return f"{self.level}: {self.file}: {self.message}"


class ValidationReport:
    """The findings about one folder, in the order they were made."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.findings: list[Issue] = []
        if not self.folder.is_dir():
            raise AvbookError(
                f"{folder}: no such folder; expected one with the official files, a world, or a"
                " pack"
            )

    def error(self, file: str, message: str) -> None:
        """Add an error: the folder cannot be used as it is."""
        self.findings.append(Issue("error", str(file), message))

    def note(self, file: str, message: str) -> None:
        """Add a note: true, worth knowing, no reason to stop."""
        self.findings.append(Issue("note", str(file), message))

    def errors(self) -> list[Issue]:
        """The errors alone."""
        return [finding for finding in self.findings if finding.level == "error"]

    def attempt(self, file: str, action: Callable, *args):
        """What `action(*args)` gives, or None after its AvbookError became an error about the
        file."""
        try:
            return action(*args)
        except AvbookError as error:
            self.error(file, str(error).removeprefix(f"{self.folder / file}: "))
            return None

    def read_rows(self, file: str, reader: Callable, *args) -> list | None:
        """The rows that a reader of `avbook.data.annotations` finds in the file, or None after all
        of its faults became errors; lines with the same fault are one error."""
        lines_of: dict[str, list[int]] = {}

        def note(path: Path, line: int, message: str) -> None:
            lines_of.setdefault(message, []).append(line)

        def read() -> list:
            return reader(self.folder / file, *args, on_fault=note)

        rows = self.attempt(file, read)
        for message, lines in list(lines_of.items())[:MOST_FAULTS]:
            self.error(file, f"line {listed(lines)}: {message}")
        if len(lines_of) > MOST_FAULTS:
            self.error(
                file, f"{len(lines_of) - MOST_FAULTS} more faults of its lines; mend these first"
            )
        return None if lines_of else rows

    def stop_on_errors(self) -> None:
        """Raise the first error, shortened to a line, as AvbookError; say how many more there
        are."""
        errors = self.errors()
        if not errors:
            return
        text, more = errors[0].message, ""
        if len(text) > 300:
            text = text[:300] + " …"
        if len(errors) > 1:
            more = f" (and {len(errors) - 1} more)"
        if more or text != errors[0].message:
            more += f": `avbook data check {self.folder}` lists all"
        raise AvbookError(f"{self.folder / errors[0].file}: {text}{more}")


def listed(
    items,  # anything that prints
    limit: int | None = 5,  # how many to name; None: all
) -> str:
    """The items as a comma list, the rest counted."""
    items = [str(item) for item in items]
    text = ", ".join(items[:limit])
    if limit is not None and len(items) > limit:
        text += f" and {len(items) - limit} more"
    return text


@dataclass
class FolderDescription:
    """What the small files of a data folder say about the whole of it."""

    categories: tuple[str, ...]  # C names: those of `categories.txt`, else the data set's own
    manifest: dict | None  # a pack's description
    world: dict | None  # the world's own description

    def packed(self, name: str) -> dict | None:
        """What a pack says of the features of that name; None for the official files."""
        return None if self.manifest is None else self.manifest["arrays"].get(name)


def describe_folder(
    report: ValidationReport,  # where the findings go
    own: tuple[str, ...],  # the class list of the data set it is the layout of
) -> FolderDescription:
    """What `categories.txt`, `pack.json` and `world.json` say; a file that cannot be used is an
    error in the report, and counts as missing."""
    folder = report.folder
    manifest = report.attempt(PACK_FILE, read_manifest, folder)
    categories = report.attempt("categories.txt", read_categories, folder, own)
    world = report.attempt("world.json", read_world, folder)
    return FolderDescription(categories or own, manifest, world)


def check_orders(
    report: ValidationReport,  # where the findings go
    orders: dict[str, np.ndarray],  # split -> its row numbers
    files: Mapping[str, str],  # split -> the file they come from
    count: int,  # rows there are
) -> None:
    """Errors for indices out of range, repeated, or in two splits; a note for rows that no split
    uses."""
    for split, rows in orders.items():
        outside = rows[(rows < 0) | (rows >= count)]
        if len(outside):
            report.error(
                files[split],
                f"index {listed(outside)} is out of range: there are {count} clips, numbered"
                " from 0",
            )
        if len(np.unique(rows)) < len(rows):
            values, times = np.unique(rows, return_counts=True)
            report.error(
                files[split],
                f"{listed(values[times > 1])} is there more than once; every clip belongs into a"
                " split once",
            )
    names = list(orders)
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            both = np.intersect1d(orders[first], orders[second])
            if len(both):
                report.error(
                    files[second],
                    f"{len(both)} clips are also in {files[first]} (such as {listed(both)}): the"
                    " splits overlap, so scores would be too good; make them again",
                )
    if not orders or report.errors():
        return
    unused = count - len(np.unique(np.concatenate(list(orders.values()))))
    if unused > 0:
        report.note(files[names[0]], f"{unused} of {count} clips are in no split")


def check_values(report: ValidationReport, file: str, rows: ArrayStore, limit: int) -> None:
    """An error when a sample of the store (about `limit` bytes, all of it when smaller) holds NaN
    or infinity."""
    bad = []
    try:
        for first, block in rows.sample(limit):
            bad += (first + np.flatnonzero(not_finite(block))).tolist()
    except AvbookError as error:
        report.error(file, str(error).removeprefix(f"{report.folder / file}: "))
    if bad:
        names = [rows.row_name(row) for row in bad]
        report.error(file, f"{listed(names)}: NaN or infinity; extract these clips again")


# -------------------------------------------------------------------------------------------- packs
def read_manifest(
    folder: Path,  # a data folder
) -> dict | None:
    """The contents of its `pack.json`, or None when it is no pack; AvbookError for an unfinished
    pack and another version."""
    folder = Path(folder)
    path = folder / PACK_FILE
    if not path.is_file():
        if (folder / "progress.jsonl").is_file():
            raise AvbookError(
                f"{folder}: an unfinished pack; run the same `avbook data pack` command again, it"
                " continues"
            )
        return None
    broken = AvbookError(f"{path}: not a pack's description; pack the official folder again")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
    except (ValueError, KeyError, TypeError):
        raise broken from None
    if version != PACK_VERSION:
        raise AvbookError(
            f"{path}: a pack of version {version}; this avbook reads version {PACK_VERSION}: pack"
            " the official folder again"
        )
    if not _is_description(manifest):
        raise broken
    return manifest


def _is_description(manifest: dict) -> bool:
    """Whether arrays and files are described as `pack_folder` does, with bare names for files."""
    arrays, files = manifest.get("arrays"), manifest.get("files")
    if not isinstance(arrays, dict) or not isinstance(files, dict):
        return False
    for entry in arrays.values():
        if not isinstance(entry, dict) or not {"file", "shape", "block_rows", "crc32"} <= set(
            entry
        ):
            return False
    names = [entry["file"] for entry in arrays.values()] + list(files)
    return all(isinstance(name, str) and name and Path(name).name == name for name in names)


def open_packed(
    folder: Path,  # a pack
    entry: dict,  # what its description says about one array
) -> RawStore:
    """The array as a store; AvbookError when the file is not as described."""
    rows = open_npy(Path(folder) / entry["file"])
    if list(rows.shape) != entry["shape"] or rows.dtype != np.float16:
        raise AvbookError(
            f"{rows.path}: {rows.dtype} {rows.shape}, but {PACK_FILE} says float16"
            f" {tuple(entry['shape'])}; pack again"
        )
    return rows


def open_features(
    report: ValidationReport,  # where the findings go
    description: FolderDescription,  # with what a pack says of the features
    files: Mapping[str, str],  # name of the features -> official file or folder
    # gives the store of an official file or folder, or None where there is none
    open_official: Callable[[str], ArrayStore | None],
    required: bool = True,  # whether a pack has to have them
) -> dict[str, ArrayStore]:
    """Name -> store of the features that are there and can be read, from a pack or from the
    official files; errors in the report for the others."""
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
                report.error(PACK_FILE, f"says nothing of {name}; pack the official folder again")
        if rows is not None:
            stores[name] = rows
    return stores


def check_pack(report: ValidationReport, manifest: dict) -> None:
    """Errors for every block and every small file of a pack whose checksum is not the one noted
    when it was written."""
    for name, entry in manifest["files"].items():
        path = report.folder / name
        if not path.is_file():
            report.error(name, "no such file, though the pack was made with it; pack again")
        elif crc32(path.read_bytes()) != entry["crc32"]:
            report.error(
                name,
                "not what was packed (checksum); copy it again from the official folder, or pack"
                " again",
            )
    for entry in manifest["arrays"].values():
        rows = report.attempt(entry["file"], open_packed, report.folder, entry)
        if rows is None:
            continue
        with rows._opened() as source:
            for number, first in enumerate(range(0, len(rows), entry["block_rows"])):
                stop = min(first + entry["block_rows"], len(rows))
                block = rows._run(source, first, stop)
                if crc32(block.reshape(-1).view(np.uint8)) != entry["crc32"][number]:
                    report.error(
                        entry["file"],
                        f"rows {first}-{stop - 1} are not what was packed (checksum); pack again",
                    )


def read_world(folder: Path) -> dict | None:
    """The contents of the folder's world.json, or None where there is none."""
    path = Path(folder) / "world.json"
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise AvbookError(f"{path}: not JSON; write the world again") from None
