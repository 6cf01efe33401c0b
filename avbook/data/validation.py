"""Checks of a data folder: findings with file, found value, expected value, and advice.

The loaders and `avbook data check` share these: a loader stops at the first error, the command
prints all findings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avbook.data.annotations import read_categories
from avbook.data.description import (
    FEATURES_FILE,
    PACK_FILE,
    WORLD_FILE,
    read_features,
    read_manifest,
    read_world,
)
from avbook.data.layout import locate
from avbook.data.scan import Rows, Scan
from avbook.data.spec import DatasetSpec
from avbook.data.stores import ArrayStore, NpyFolderStore
from avbook.errors import AvbookError

__all__ = [
    "Issue",
    "ValidationReport",
    "FolderDescription",
    "describe_folder",
    "check_described",
    "lacks_labels",
    "check_orders",
    "check_scans",
    "counted",
    "listed",
]

# where faults of one kind differ: quoted words, ids of clips, numbers
VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\S{11}_[\d.]+_[\d.]+|\d+")


@dataclass(frozen=True)
class Issue:
    """One finding about a file of a data folder: wrong (`error`), probably wrong (`warning`), or
    worth knowing (`note`)."""

    level: str  # "error", "warning" or "note"
    file: str  # the file's name in the folder
    message: str  # what was found, what was expected, what to do

    def __str__(self) -> str:
        return f"{self.level}: {self.file}: {self.message}"


class ValidationReport:
    """The findings about one folder, in the order in which they were made."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.findings: list[Issue] = []
        if self.folder.is_file():
            raise AvbookError(f"{folder}: is a file; give its folder")
        if not self.folder.is_dir():
            raise AvbookError(
                f"{folder}: no such folder; expected one with the official files, a world, or a"
                " pack"
            )

    def error(self, file: str, message: str) -> None:
        """Adds an error: the folder cannot be used as it is."""
        self.findings.append(Issue("error", str(file), message))

    def warn(self, file: str, message: str) -> None:
        """Adds a warning: the folder can be used, but something in it is probably a mistake."""
        self.findings.append(Issue("warning", str(file), message))

    def note(self, file: str, message: str) -> None:
        """Adds a note: worth knowing, no reason to stop."""
        self.findings.append(Issue("note", str(file), message))

    def path(self, file: str) -> Path:
        """The path of the file or folder of that name: at the top, or where the released archives
        have it."""
        return locate(self.folder, file)

    def has(self, file: str) -> bool:
        """Whether an entry of that name exists; a broken link counts, so that it is reported."""
        return os.path.lexists(self.path(file))

    def errors(self) -> list[Issue]:
        """The errors only."""
        return [finding for finding in self.findings if finding.level == "error"]

    def attempt(self, file: str, action: Callable, *args):
        """The result of `action(*args)`, or None after its AvbookError was added as an error of the
        file."""
        try:
            return action(*args)
        except AvbookError as error:
            message = str(error)
            for path in (self.path(file), self.folder / file, self.folder):
                message = message.removeprefix(f"{path}: ")
            self.error(file, message)
            return None

    def read_rows(self, file: str, reader: Callable, *args) -> list | None:
        """The rows that a reader of `avbook.data.annotations` finds in the file, or None after its
        faults were added as errors; lines with the same kind of fault become one error, with the
        message of the first."""
        faults: dict[str, dict[int, str]] = {}  # kind -> line -> message

        def note(path: Path, line: int, message: str) -> None:
            faults.setdefault(VALUES.sub("#", message), {})[line] = message

        def read() -> list:
            return reader(self.path(file), *args, on_fault=note)

        rows = self.attempt(file, read)
        for messages in faults.values():
            first = next(iter(messages.values()))
            others = len(set(messages.values())) - 1
            more = f" (and {others} more such)" if others else ""
            self.error(file, f"{counted(len(messages), messages, 'line')}: {first}{more}")
        return None if faults else rows

    def stop_on_errors(self) -> None:
        """Raises the first error, shortened to a line, as AvbookError, with the number of further
        ones."""
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


NAMED = 3  # items that a message names


def listed(
    items: Collection,  # any printable objects
) -> str:
    """The first items as a comma-separated list, and the number of the others."""
    return counted(len(items), items)


def counted(
    count: int,  # number of all items
    first: Collection,  # some or all of them: any printable objects
    kind: str = "",  # kind of the items, such as "line"
) -> str:
    """ "row 3, row 7, row 9 and 90 more": the first three by name, and the number of the others."""
    names = [str(item) for item in first][:NAMED]
    text = ", ".join(names)
    if count > len(names):
        text += f" and {count - len(names)} more"
    return f"{kind} {text}" if kind else text


@dataclass
class FolderDescription:
    """The descriptions of a data folder in its small files."""

    categories: tuple[str, ...]  # C names: those of `categories.txt`, else the data set's own
    manifest: dict | None  # description of a pack
    world: dict | None  # description of a world
    features: dict | None = None  # the extractors of features made from videos

    def packed(self, name: str) -> dict | None:
        """A pack's entry for the features of that name; None for the official files."""
        return None if self.manifest is None else self.manifest["arrays"].get(name)


def describe_folder(
    report: ValidationReport,  # collects the findings
    spec: DatasetSpec,  # spec of the layout
) -> FolderDescription:
    """The content of `categories.txt`, `pack.json`, `world.json` and `features.json`; an unusable
    file is an error in the report, and counts as missing."""
    folder, own = report.folder, spec.categories
    manifest = report.attempt(PACK_FILE, read_manifest, folder)
    categories = report.attempt("categories.txt", read_categories, folder, own)
    world = report.attempt(WORLD_FILE, read_world, folder)
    features = report.attempt(FEATURES_FILE, read_features, folder)
    for file, told in ((PACK_FILE, manifest), (WORLD_FILE, world), (FEATURES_FILE, features)):
        task = (told or {}).get("task")
        if task not in (None, spec.task):
            report.error(
                file, f"says task {task!r}; expected {spec.task!r} for {spec.name}'s files"
            )
    return FolderDescription(categories or own, manifest, world, features)


def check_described(
    report: ValidationReport,  # collects the findings
    description: FolderDescription,
    stores: Mapping[str, ArrayStore],  # readable features, by name
) -> None:
    """Reports errors for features whose width or seconds differ from their description."""
    told = description.features
    if told is None:
        return
    for name, extractor in told["extractors"].items():
        rows = stores.get(name)
        if rows is not None and rows.shape[-1] != extractor["dim"]:
            report.error(
                FEATURES_FILE,
                f"says that {name} has {extractor['dim']} numbers of {extractor['name']}, but"
                f" {rows.path.name} has {rows.shape[-1]}: files of two extractions are mixed; run"
                " `avbook features` again",
            )
    audio = stores.get("audio")
    if audio is not None and len(audio.shape) > 1 and audio.shape[1] != told["seconds"]:
        report.error(
            FEATURES_FILE,
            f"says {told['seconds']} seconds, but {audio.path.name} has {audio.shape[1]}: files of"
            " two extractions are mixed; run `avbook features` again",
        )


def lacks_labels(
    report: ValidationReport,  # collects the finding
    description: FolderDescription,
    files: Collection[str],  # files of labels and splits
) -> bool:
    """Whether the folder has features made from videos but no labels yet; then one error in the
    report says so, instead of one for each file."""
    if description.features is None or any(report.has(file) for file in files):
        return False
    report.error(
        FEATURES_FILE,
        "the features are there, labels and splits are not: `avbook label` makes them from a table"
        " of events and their times",
    )
    return True


def check_orders(
    report: ValidationReport,  # collects the findings
    orders: dict[str, np.ndarray],  # split -> its row numbers
    files: Mapping[str, str],  # split -> its file
    count: int,  # number of rows
) -> None:
    """Reports errors for indices out of range, repeated, or in two splits, and a note for rows that
    no split uses."""
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
                f"{listed(values[times > 1])} occurs more than once; every clip belongs in one"
                " split, once",
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


def check_scans(
    report: ValidationReport,  # collects the findings
    stores: dict[str, ArrayStore],  # features, by name
    scans: Mapping[str, Scan],  # their scans, by name
) -> None:
    """Reports errors for features that cannot be read, are not finite, or are all the same,
    warnings for constant rows, and a note for repeated ones."""
    for name, scan in scans.items():
        rows, file = stores[name], stores[name].path.name
        for message, found in scan.damaged.items():
            report.error(*_of_rows(rows, found, message))
        if scan.other_sums.count:
            first = scan.other_sums.first[0]
            report.error(
                file,
                f"blocks that are not what was packed (checksum): {scan.other_sums.count}, the"
                f" first from row {first} on; pack again",
            )
        if scan.not_finite.count:
            fault = "NaN or infinity; extract it again"
            report.error(*_of_rows(rows, scan.not_finite, fault))
        if scan.damaged:
            continue
        if scan.distinct == 1 and scan.rows > 1:
            what = "one value throughout" if scan.constant.count else "the same values"
            report.error(
                file,
                f"all {scan.rows} clips hold {what}: the features were never written to this file",
            )
            continue
        if scan.constant.count:
            fault = "one value throughout, such as zeros; was it extracted?"
            report.warn(*_of_rows(rows, scan.constant, fault))
        if scan.repeated.count:
            report.note(*_of_rows(rows, scan.repeated, "the same features as a clip before"))


def _of_rows(rows: ArrayStore, found: Rows, message: str) -> tuple[str, str]:
    """The file and the text of a finding about some rows; a single clip with its own file is named
    by that file."""
    names = [rows.row_name(row) for row in found.first]
    if found.count == 1 and isinstance(rows, NpyFolderStore):
        return f"{rows.path.name}/{names[0]}", message
    return rows.path.name, f"{counted(found.count, names)}: {message}"
