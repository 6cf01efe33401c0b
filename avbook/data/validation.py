"""What is wrong with a data folder: findings that name the file, what is there, what was expected
and what to do.

The loaders and `avbook data check` share these: a loader stops at the first error, the command
prints everything."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from avbook.data.stores import ArrayStore, NpyFolderStore, RawStore, h5_fault, not_finite, open_npy
from avbook.errors import AvbookError

__all__ = [
    "Issue",
    "ValidationReport",
    "SPLITS",
    "PACK_FILE",
    "PACK_VERSION",
    "read_lines",
    "read_categories",
    "read_small_h5",
    "check_ids",
    "check_orders",
    "check_values",
    "read_manifest",
    "open_packed",
    "check_pack",
    "listed",
    "read_world",
    "folder_name",
    "content_hash",
]

SPLITS = ("train", "val", "test")
PACK_FILE, PACK_VERSION = "pack.json", 1
VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")


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
        self.folder, self.findings = Path(folder), []
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

    def attempt(self, file: str, action, *args):
        """What `action(*args)` gives, or None after its AvbookError became an error about the
        file."""
        try:
            return action(*args)
        except AvbookError as error:
            self.error(file, str(error).removeprefix(f"{self.folder / file}: "))

    def stop_on_errors(self) -> None:
        """Raise the first error, shortened to a line, as AvbookError; say how many more there
        are."""
        errors = self.errors()
        if not errors:
            return
        text = (
            errors[0].message if len(errors[0].message) <= 300 else errors[0].message[:300] + " …"
        )
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        more += (
            f": `avbook data check {self.folder}` lists all"
            if more or text != errors[0].message
            else ""
        )
        raise AvbookError(f"{self.folder / errors[0].file}: {text}{more}")


def listed(
    items,  # anything that prints
    limit: int | None = 5,  # how many to name; None: all
) -> str:
    """The items as a comma list, the rest counted."""
    items = [str(item) for item in items]
    shown = items[:limit]
    return ", ".join(shown) + (
        f" and {len(items) - len(shown)} more" if len(items) > len(shown) else ""
    )


def read_lines(
    path: Path,  # a text file
) -> list[str]:
    """Its lines without line ends; AvbookError when it is missing, empty, or not UTF-8 text."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise AvbookError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise AvbookError(f"{path}: not a text file in UTF-8") from None
    if not any(line.strip() for line in lines):
        raise AvbookError(f"{path}: is empty")
    return lines


def read_categories(
    folder: Path,  # a data folder
    own: tuple[str, ...],  # the class list of the data set it is the layout of
) -> tuple[str, ...]:
    """The class names: those of `categories.txt` where it is there, one a line, else the data
    set's own."""
    path = Path(folder) / "categories.txt"
    if not path.is_file():
        return tuple(own)
    names = [line.strip() for line in read_lines(path) if line.strip()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AvbookError(
            f"{path}: {listed(map(repr, twice))} is there twice; every class needs a name of"
            " its own"
        )
    return tuple(names)


def read_small_h5(
    path: Path,  # an h5 file small enough to read whole
    name: str,  # the dataset in it
) -> np.ndarray:
    """The dataset as an array; AvbookError for a file that is missing, cut short, without that
    dataset, or not of numbers."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if name not in file or not isinstance(file[name], h5py.Dataset):
                raise AvbookError(
                    f"{path}: holds {listed(map(repr, file)) or 'nothing'}, expected a dataset"
                    f" '{name}'; is it the right file?"
                )
            if file[name].dtype.kind not in "iuf":
                raise AvbookError(
                    f"{path}: '{name}' is of type {file[name].dtype}, expected numbers"
                )
            return file[name][()]
    except FileNotFoundError:
        raise AvbookError(f"{path}: no such file") from None
    except OSError as error:
        raise h5_fault(path, error) from None


def check_ids(report: ValidationReport, file: str, names) -> None:
    """An error unless every name is the 11 characters of a video id: ids become file names, so
    nothing else may pass."""
    bad = [name for name in names if not VIDEO_ID.fullmatch(name)]
    if bad:
        report.error(
            file,
            f"{listed(map(repr, bad))}: not a video id; expected 11 of the characters A-Z a-z 0-9 _"
            " - and nothing else",
        )


def check_orders(
    report: ValidationReport,  # where the findings go
    orders: dict[str, np.ndarray],  # split -> its row numbers
    files: dict[str, str],  # split -> the file they come from
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
    unused = count - len(np.unique(np.concatenate(list(orders.values())))) if orders else 0
    if unused > 0 and not report.errors():
        report.note(files[names[0]], f"{unused} of {count} clips are in no split")


def check_values(report: ValidationReport, file: str, rows: ArrayStore, limit: int) -> None:
    """An error when a sample of the store (about `limit` bytes, all of it when smaller) holds NaN
    or infinity."""
    bad = []
    try:
        for first, block in rows.sample(limit):
            bad += (first + np.flatnonzero(not_finite(block))).tolist()
    except AvbookError as error:
        return report.error(file, str(error).removeprefix(f"{report.folder / file}: "))
    if bad:
        names = (
            [f"{rows.ids[row]}.npy" for row in bad]
            if isinstance(rows, NpyFolderStore)
            else [f"row {row}" for row in bad]
        )
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
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, arrays, files = manifest["version"], manifest["arrays"], manifest["files"]
        complete = all(
            {"file", "shape", "block_rows", "crc32"} <= entry.keys() for entry in arrays.values()
        ) and isinstance(files, dict)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AvbookError(
            f"{path}: not a pack's description; pack the official folder again"
        ) from None
    if version != PACK_VERSION:
        raise AvbookError(
            f"{path}: a pack of version {version}; this avbook reads version {PACK_VERSION}: pack"
            " the official folder again"
        )
    names = [entry["file"] for entry in arrays.values()] + list(files)
    if not complete or any(
        not isinstance(name, str) or not name or Path(name).name != name for name in names
    ):
        raise AvbookError(f"{path}: not a pack's description; pack the official folder again")
    return manifest


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
                if (
                    crc32(rows._run(source, first, stop).reshape(-1).view(np.uint8))
                    != entry["crc32"][number]
                ):
                    report.error(
                        entry["file"],
                        f"rows {first}-{stop - 1} are not what was packed (checksum); pack again",
                    )


def folder_name(
    folder: Path, world: dict | None, manifest: dict | None, official: str | None
) -> str:
    """A short name for run records and paths: of the world by size and seed, of the official data
    by its own, else the folder's."""
    if world is not None:
        name = "-".join(
            str(world[key]) for key in ("task", "size", "seed") if world.get(key) is not None
        )
        name += "-annotations" if world.get("scripts") == "annotations" else ""
        return "world-" + re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    if official is not None:
        return official
    name = (manifest or {}).get("source") or Path(folder).resolve().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "folder"


def read_world(folder: Path) -> dict | None:
    """The contents of the folder's world.json, or None where there is none."""
    path = Path(folder) / "world.json"
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise AvbookError(f"{path}: not JSON; write the world again") from None


def content_hash(
    words: list[str],  # what kind of data it is, class names
    arrays: list[np.ndarray],  # labels, ids, row numbers
    stores: list[ArrayStore],  # features, of which 16 clips are looked at
) -> str:
    """Twelve hexadecimal characters; features enter as float16, so that a pack has the hash of what
    it was packed from."""
    digest = hashlib.sha256(json.dumps([words, [list(rows.shape) for rows in stores]]).encode())
    for array in arrays:
        digest.update(
            np.ascontiguousarray(
                array if array.dtype.kind != "i" else array.astype("<i8")
            ).tobytes()
        )
    for rows in stores:
        some = np.unique(np.linspace(0, len(rows) - 1, 16).astype(int))
        with np.errstate(over="ignore"):
            digest.update(rows.read(some).cpu().numpy().astype("<f2").tobytes())
    return digest.hexdigest()[:12]
