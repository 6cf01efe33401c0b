"""The files of LLP's official layout: what they must hold, what is wrong with them, what is odd
about them."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avbook.data.events import LLP_CATEGORIES, SECONDS
from avbook.data.stores import ArrayStore, NpyFolderStore
from avbook.data.validation import (
    SPLITS,
    ValidationReport,
    check_ids,
    check_values,
    listed,
    open_packed,
    read_categories,
    read_lines,
    read_manifest,
    read_world,
)
from avbook.errors import AvbookError

__all__ = [
    "LLP_FEATURES",
    "LISTS",
    "SPANS",
    "TRAIN_SPANS",
    "PUBLISHED_SLIPS",
    "OFFICIAL",
    "LLPSpan",
    "LLPTables",
    "read_table",
    "read_list",
    "read_spans",
    "dense_labels",
    "read_llp",
    "check_llp",
]

LLP_FEATURES = {"audio": "vggish", "visual_2d": "res152", "visual_3d": "r2plus1d_18"}
LISTS = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
SPANS = {"audio": "AVVP_eval_audio.csv", "visual": "AVVP_eval_visual.csv"}  # of val and test
TRAIN_SPANS = {
    "audio": "AVVP_train_audio.csv",
    "visual": "AVVP_train_visual.csv",
}  # only the world knows these
PUBLISHED_SLIPS = {
    ("AVVP_eval_audio.csv", "8DF2PxdT5tE_390_400", 9, 0, "Cheering")
}  # turned round in the published file
OFFICIAL = {
    "train": 10000,
    "val": 649,
    "test": 1200,
    "audio_rows": 4131,
    "visual_rows": 2495,
    "audio_rows_of_no_clip": 14,
    "visual_rows_of_no_clip": 11,
    "empty_audio_rows": 5,
    "inverted_audio_rows": 1,
    "ids_in_ave_too": 394,
    "test_ids_in_ave_too": 33,
}  # of the published files, counted; a test counts them again where the files are
CLIP_NAME = re.compile(r"[A-Za-z0-9_-]{11}_\d+(\.\d+)?_\d+(\.\d+)?")


class LLPSpan(NamedTuple):
    """A line of an evaluation file: in that clip, the class can be heard (or seen) from onset to
    offset."""

    name: str  # ID_start_end, as in the lists
    onset: int  # first second
    offset: int  # first second after it
    category: str
    line: int  # for messages


def read_table(
    path: Path,  # a tab-separated file with a line of titles
    columns: tuple[str, ...],  # the titles it must have
) -> list[tuple[int, list[str]]]:
    """Line number and fields of each line, in the order of `columns`; AvbookError for missing
    titles or fields."""
    lines = read_lines(path)
    titles = lines[0].rstrip("\r").split("\t")
    if not set(columns) <= set(titles):
        raise AvbookError(
            f"{path}: its first line is {lines[0][:60]!r}, expected the titles {', '.join(columns)}"
            " between tabs"
        )
    at, rows = [titles.index(column) for column in columns], []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        parts = line.rstrip("\r").split("\t")
        if len(parts) != len(titles):
            raise AvbookError(
                f"{path}: line {number} has {len(parts)} fields, expected {len(titles)} between"
                " tabs"
            )
        rows.append((number, [parts[column] for column in at]))
    return rows


def read_list(
    path: Path,  # AVVP_train.csv, AVVP_val_pd.csv or AVVP_test_pd.csv
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
) -> tuple[list[str], np.ndarray]:
    """The clips' names and their video labels (n, C), float32: 1 where the class is heard or seen
    anywhere in the clip.

    Raises `AvbookError` with the line for an unknown class, a clip without a label or listed twice,
    and a name that is not ID_start_end."""
    index, names, hot = {name: number for number, name in enumerate(categories)}, {}, []
    for line, (name, labels) in read_table(path, ("filename", "event_labels")):
        if not CLIP_NAME.fullmatch(name):
            raise AvbookError(
                f"{path}: line {line}: {name[:60]!r} is not a clip's name; expected the 11"
                " characters of a video id, _start_end"
            )
        if name in names:
            raise AvbookError(
                f"{path}: line {line}: {name} is there already, on line {names[name]}; a clip"
                " belongs there once"
            )
        names[name] = line
        row = np.zeros(len(categories), np.float32)
        for label in labels.split(","):
            if label not in index:
                raise AvbookError(
                    f"{path}: line {line}: unknown class {label!r}; expected classes of LLP, or of"
                    " categories.txt, between commas"
                )
            row[index[label]] = 1
        hot.append(row)
    return list(names), np.stack(hot) if hot else np.zeros((0, len(categories)), np.float32)


def read_spans(
    path: Path,  # AVVP_eval_audio.csv or AVVP_eval_visual.csv
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
) -> list[LLPSpan]:
    """The lines as `LLPSpan`s, empty and inverted ones too where they are the published file's own.

    Raises `AvbookError` with the line for an unknown class, seconds outside the clip, and an onset
    after its offset."""
    spans = []
    for line, (name, onset, offset, category) in read_table(
        path, ("filename", "onset", "offset", "event_labels")
    ):
        if category not in categories:
            raise AvbookError(
                f"{path}: line {line}: unknown class {category!r}; expected a class of LLP, or of"
                " categories.txt"
            )
        if not (
            onset.isdecimal()
            and offset.isdecimal()
            and int(onset) <= seconds
            and int(offset) <= seconds
        ):
            raise AvbookError(
                f"{path}: line {line}: from {onset!r} to {offset!r}; expected whole seconds between"
                f" 0 and {seconds}"
            )
        span = LLPSpan(name, int(onset), int(offset), category, line)
        if span.onset > span.offset and (Path(path).name, *span[:4]) not in PUBLISHED_SLIPS:
            raise AvbookError(
                f"{path}: line {line}: the onset {onset} of {category} in {name} lies after its"
                f" offset {offset}; mend the line"
            )
        spans.append(span)
    return spans


def dense_labels(
    spans: list[LLPSpan],  # of one modality
    names: list[str],  # the clips wanted, in order
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
) -> np.ndarray:
    """Segment labels (n, T, C), float32: onset included, offset not; empty and inverted spans mark
    nothing."""
    index, row = (
        {name: number for number, name in enumerate(categories)},
        {name: number for number, name in enumerate(names)},
    )
    labels = np.zeros((len(names), seconds, len(categories)), np.float32)
    for span in spans:
        if span.name in row:
            labels[row[span.name], span.onset : span.offset, index[span.category]] = 1
    return labels


@dataclass
class LLPTables:
    """What a folder in LLP's layout holds, read and checked; features are opened, not loaded. Rows:
    train, then val, then test."""

    categories: tuple[str, ...]  # C names
    stores: dict[str, ArrayStore] = field(default_factory=dict)  # audio, visual_2d, visual_3d
    names: dict[str, list[str]] = field(default_factory=dict)  # split -> ID_start_end
    video_labels: dict[str, np.ndarray] = field(default_factory=dict)  # split -> (n, C)
    dense: dict[str, dict[str, np.ndarray]] = field(
        default_factory=dict
    )  # split -> audio, visual -> (n, T, C)
    spans: dict[str, list[LLPSpan]] = field(default_factory=dict)  # file -> its lines
    manifest: dict | None = None  # a pack's description
    world: dict | None = None  # the world's own description

    def ids(self, *splits: str) -> np.ndarray:
        """The first 11 characters of the clips' names, of all splits or of those named."""
        return np.array(
            [name[:11] for split in splits or SPLITS for name in self.names.get(split, [])]
        )


def read_llp(
    folder: Path,  # the official files, or a pack of them
    report: ValidationReport,  # where the findings go
) -> LLPTables:
    """What the folder holds; what is wrong with it goes to the report, so that one look finds
    everything."""
    folder = Path(folder)
    manifest = report.attempt("pack.json", read_manifest, folder)
    categories = (
        report.attempt("categories.txt", read_categories, folder, LLP_CATEGORIES) or LLP_CATEGORIES
    )
    tables = LLPTables(
        categories, manifest=manifest, world=report.attempt("world.json", read_world, folder)
    )
    for split, file in LISTS.items():
        found = report.attempt(file, read_list, folder / file, categories)
        if found is not None:
            tables.names[split], tables.video_labels[split] = found
    checked_lists(report, tables)
    read_features(report, tables)
    seconds = tables.stores["audio"].shape[1] if "audio" in tables.stores else SECONDS
    for files, splits in ((SPANS, ("val", "test")), (TRAIN_SPANS, ("train",))):
        if files is TRAIN_SPANS and not any((folder / file).is_file() for file in files.values()):
            continue
        for modality, file in files.items():
            spans = report.attempt(file, read_spans, folder / file, categories, seconds)
            if spans is not None:
                tables.spans[file] = spans
                for split in splits:
                    tables.dense.setdefault(split, {})[modality] = dense_labels(
                        spans, tables.names.get(split, []), categories, seconds
                    )
    return tables


def checked_lists(report: ValidationReport, tables: LLPTables) -> None:
    """Errors for a split without clips, a clip in two splits, and two clips that would share one
    video's features."""
    for split, names in tables.names.items():
        if not names:
            report.error(LISTS[split], "lists no clip")
        check_ids(report, LISTS[split], [name[:11] for name in names])
    splits = list(tables.names)
    for at, one in enumerate(splits):
        twice = [name for name, times in Counter(tables.ids(one).tolist()).items() if times > 1]
        if twice:
            report.error(
                LISTS[one],
                f"{listed(twice)}: several clips of one video; features are found by video id, so"
                " they would share them",
            )
        for other in splits[at + 1 :]:
            both = np.intersect1d(tables.ids(one), tables.ids(other))
            if len(both):
                report.error(
                    LISTS[other],
                    f"{len(both)} videos are also in {LISTS[one]} (such as {listed(both)}): the"
                    " splits overlap, so scores would be too good; make them again",
                )


def read_features(report: ValidationReport, tables: LLPTables) -> None:
    """Opens the three kinds of features: one file per clip, or a pack's arrays; errors for missing
    files and other shapes."""
    ids = tables.ids()
    for name, folder in LLP_FEATURES.items():
        entry = (tables.manifest or {"arrays": {}})["arrays"].get(name)
        if tables.manifest is not None and entry is None:
            report.error("pack.json", f"says nothing of {name}; pack the official folder again")
        elif entry is not None:
            rows = report.attempt(entry["file"], open_packed, report.folder, entry)
            if rows is not None and len(rows) != len(ids) and len(tables.names) == len(SPLITS):
                report.error(
                    entry["file"],
                    f"{len(rows)} clips, but the lists name {len(ids)}; pack the official folder"
                    " again",
                )
            elif rows is not None:
                tables.stores[name] = rows
        elif len(ids):
            rows = clip_files(report, folder, ids)
            if rows is not None:
                tables.stores[name] = rows
    shapes = {name: rows.shape for name, rows in tables.stores.items()}
    for name, shape in shapes.items():
        if len(shape) != 3 or 0 in shape:
            report.error(
                tables.stores[name].path.name,
                f"clips of shape {shape[1:]}, expected (segments or frames, channels)",
            )
            tables.stores.pop(name)
        elif "audio" in shapes and (
            shape[1] % shapes["audio"][1] or name == "visual_3d" and shape[1] != shapes["audio"][1]
        ):
            want = "as many" if name == "visual_3d" else "a whole multiple of that"
            report.error(
                tables.stores[name].path.name,
                f"clips of {shape[1]} rows, but vggish has {shapes['audio'][1]}; expected {want}",
            )


def clip_files(
    report: ValidationReport,  # where the findings go
    folder: str,  # vggish, res152 or r2plus1d_18
    ids: np.ndarray,  # the clips wanted
) -> NpyFolderStore | None:
    """The store of a folder's ID.npy files; None and errors when files are missing (all are listed)
    or not alike."""
    path = report.folder / folder
    try:
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(path)}
    except OSError:
        return report.error(
            folder, f"no such folder; expected {folder}/ID.npy for each of {len(ids)} clips"
        )
    missing = [name for name in ids if f"{name}.npy" not in sizes]
    if missing:
        return report.error(
            folder,
            f"{len(missing)} of {len(ids)} files are missing:"
            f" {listed((f'{name}.npy' for name in missing), None)}; extract them, or take the clips"
            " out of the lists",
        )
    first = report.attempt(f"{folder}/{ids[0]}.npy", npy_like, path, str(ids[0]))
    if first is None:
        return None
    rows, usual = NpyFolderStore(path, ids, first.shape, first.dtype), sizes[f"{ids[0]}.npy"]
    before = len(report.errors())
    for name in ids:  # a file of the usual size has the usual shape; the others are opened
        if sizes[f"{name}.npy"] != usual:
            report.attempt(f"{folder}/{name}.npy", rows.one, str(name))
    return rows if len(report.errors()) == before else None


def npy_like(folder: Path, name: str) -> np.ndarray:
    """The first clip's array, which tells the shape and type of all."""
    try:
        array = np.load(folder / f"{name}.npy", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise AvbookError(
            f"{folder / name}.npy: not a .npy array of numbers ({str(error).splitlines()[0]});"
            " extract it again"
        ) from None
    if array.dtype.name not in ("float16", "float32", "float64"):
        raise AvbookError(f"{folder / name}.npy: {array.dtype}, expected floats")
    return array


def note_spans(report: ValidationReport, tables: LLPTables) -> None:
    """Notes on the evaluation files: rows of clips in neither split, rows that mark nothing, labels
    that disagree."""
    for file, spans in tables.spans.items():
        wanted = {
            name
            for split in (("train",) if file in TRAIN_SPANS.values() else ("val", "test"))
            for name in tables.names.get(split, [])
        }
        strange = [span for span in spans if span.name not in wanted]
        if strange:
            names = dict.fromkeys(span.name for span in strange)
            report.note(
                file,
                f"{len(strange)} rows are of {len(names)} clips in none of its splits, and are not"
                f" used: {listed(names, None)}",
            )
        for what, rows in (
            ("are empty (onset = offset)", [span for span in spans if span.onset == span.offset]),
            (
                "are turned round (onset after offset)",
                [span for span in spans if span.onset > span.offset],
            ),
        ):
            if rows:
                report.note(
                    file,
                    f"{len(rows)} rows {what} and mark nothing: line"
                    f" {listed((span.line for span in rows), None)}",
                )
    for split, dense in tables.dense.items():
        if set(dense) == {"audio", "visual"}:
            either = dense["audio"].any(1) | dense["visual"].any(1)  # (n, C)
            weak = tables.video_labels[split] > 0
            if (either != weak).any():
                report.note(
                    LISTS[split],
                    f"{int((weak & ~either).sum())} video labels without a heard or seen second, "
                    f"{int((either & ~weak).sum())} heard or seen classes without a video label",
                )


def check_llp(
    folder: Path,  # the official files, or a pack
    report: ValidationReport,  # where the findings go
    sample: int = 256 * 2**20,  # bytes of each kind of features to look at for NaN
) -> LLPTables:
    """What the folder holds, after every check; `avbook data check` prints the report."""
    tables = read_llp(folder, report)
    for rows in tables.stores.values():
        check_values(report, rows.path.name, rows, sample)
    if len(tables.names) == len(SPLITS):  # else every row would be of an unlisted clip
        note_spans(report, tables)
    if "train" not in tables.dense and "train" in tables.names:
        report.note(
            LISTS["train"],
            "labels of the training clips are per video only: which second and which modality is"
            " what a method has to find",
        )
    return tables
