"""The files of AVE's official layout: what they must hold, what is wrong with them, what is odd
about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avbook.data.events import AVE_CATEGORIES, SECONDS, ave_labels
from avbook.data.stores import ArrayStore, open_h5
from avbook.data.validation import (
    SPLITS,
    ValidationReport,
    check_ids,
    check_orders,
    check_values,
    listed,
    open_packed,
    read_categories,
    read_lines,
    read_manifest,
    read_small_h5,
    read_world,
)
from avbook.errors import AvbookError

__all__ = [
    "AVE_FEATURES",
    "BACKGROUND_FEATURES",
    "BACKGROUND_LABELS",
    "ORDERS",
    "LABELS",
    "ANNOTATIONS",
    "OFFICIAL",
    "DATASET",
    "ORDER",
    "AVEAnnotation",
    "AVETables",
    "read_annotations",
    "rebuilt_labels",
    "needs_background",
    "read_ave",
    "check_ave",
    "shared_ids",
]

AVE_FEATURES = {"audio": "audio_feature.h5", "visual": "visual_feature.h5"}
BACKGROUND_FEATURES = {
    "background_audio": "audio_feature_noisy.h5",
    "background_visual": "visual_feature_noisy.h5",
}
BACKGROUND_LABELS = "labels_noisy.h5"
ORDERS = {split: f"{split}_order.h5" for split in SPLITS}
LABELS = ("labels.h5", "right_labels.h5")  # two names the same file goes by
ANNOTATIONS = "Annotations.txt"
OFFICIAL = {
    "clips": 4143,
    "distinct_ids": 4097,
    "ids_with_several_rows": 45,
    "ids_in_train_and_val": 10,
    "ids_in_train_and_test": 8,
    "background_clips": 178,
}  # of the published files, counted; a test counts them again where the files are
DATASET, ORDER = (
    "avadataset",
    "order",
)  # the one dataset in a feature or label file, and in an order file


class AVEAnnotation(NamedTuple):
    """A line of Annotations.txt: one clip, its category, and the seconds in which the event is both
    heard and seen."""

    category: str
    id: str  # 11 characters
    onset: int  # first second of the event
    offset: int  # first second after it
    line: int  # for messages


def read_annotations(
    # Annotations.txt: category&id&quality&onset&offset, with or without a line of titles
    path: Path,
) -> list[AVEAnnotation]:
    """One `PseudoLabels` per clip, in the order of the file, which is the order of the features.

    Raises `AvbookError` with the line number for a line of another form and for an event that ends
    before it begins."""
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        parts = line.strip().split("&")
        if not line.strip() or number == 1 and parts[0].lower() == "category":
            continue
        try:
            category, name, _, onset, offset = parts
            row = AVEAnnotation(category, name, int(onset), int(offset), number)
        except ValueError:
            raise AvbookError(
                f"{path}: line {number} is {line[:60]!r}, expected category&id&quality&start&end "
                "with whole seconds"
            ) from None
        if not 0 <= row.onset <= row.offset:
            raise AvbookError(
                f"{path}: line {number}: the event of {name} starts at {onset} and ends at"
                f" {offset}; expected 0 <= start <= end: mend the line"
            )
        rows.append(row)
    return rows


def rebuilt_labels(
    rows: list[AVEAnnotation],  # one per clip
    categories: tuple[str, ...] = AVE_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
) -> np.ndarray:
    """Segment labels (N, T, C+1), float32, one-hot with background last: what `labels.h5` holds."""
    index = {name: number for number, name in enumerate(categories)}
    return ave_labels(
        [index[row.category] for row in rows],
        [row.onset for row in rows],
        [row.offset for row in rows],
        seconds,
        len(categories),
    )


def checked_annotations(
    report: ValidationReport,  # where the findings go
    categories: tuple[str, ...],  # the classes there are
    seconds: int,  # segments per clip
    count: int | None,  # clips there are features of, when that is known
) -> list[AVEAnnotation] | None:
    """The rows of the folder's Annotations.txt when they fit its features and classes, else None
    and errors in the report."""
    rows = report.attempt(ANNOTATIONS, read_annotations, report.folder / ANNOTATIONS)
    if rows is None:
        return None
    before = len(report.errors())
    unknown = {row.category: row.line for row in reversed(rows) if row.category not in categories}
    for name, line in unknown.items():
        report.error(
            ANNOTATIONS,
            f"line {line}: unknown class {name!r}; expected one of the {len(categories)} classes of"
            " categories.txt, or of AVE where there is no such file",
        )
    late = [row.line for row in rows if row.offset > seconds]
    if late:
        report.error(
            ANNOTATIONS,
            f"line {listed(late)}: the event ends after the clip, which has {seconds} segments",
        )
    if count is not None and len(rows) != count:
        report.error(
            ANNOTATIONS,
            f"{len(rows)} clips, but the features are of {count}: is it the list these features"
            " were made from?",
        )
    check_ids(report, ANNOTATIONS, [row.id for row in rows])
    return rows if len(report.errors()) == before else None


def one_hot_labels(
    report: ValidationReport,  # where the findings go
    file: str,  # labels.h5 or right_labels.h5
    shape: tuple[int, int, int],  # (N, T, C+1) as features and classes have it
) -> np.ndarray | None:
    """The labels (N, T, C+1) as float32 when they have the shape and are one-hot, else None and an
    error in the report."""
    labels = report.attempt(file, read_small_h5, report.folder / file, DATASET)
    if labels is None:
        return None
    if labels.shape != shape:
        return report.error(
            file,
            f"{labels.shape}, but features and class list say {shape} (clips, segments, classes +"
            " background); other classes than AVE's are named in categories.txt, one a line",
        )
    wrong = np.flatnonzero(
        ~(((labels == 0) | (labels == 1)).all((1, 2)) & (labels.sum(2) == 1).all(1))
    )
    if len(wrong):
        return report.error(
            file, f"row {listed(wrong)}: not one-hot; expected one 1 per segment and zeros"
        )
    return labels.astype(np.float32)


def compared(
    report: ValidationReport,  # where the findings go
    file: str,  # the label file
    labels: np.ndarray,  # its labels (N, T, C+1)
    rebuilt: np.ndarray,  # those of Annotations.txt
) -> None:
    """An error where the two name another class for a clip (rows in another order); a note where
    only seconds differ."""
    event = labels[..., :-1].any(1), rebuilt[..., :-1].any(1)  # (N, C) each
    known = event[0].any(1) & event[1].any(1)
    other = np.flatnonzero(known & (event[0] != event[1]).any(1))
    if len(other):
        return report.error(
            file,
            f"row {listed(other)}: another class than {ANNOTATIONS} has there; the two are not in"
            " the same order",
        )
    differ = np.flatnonzero((labels != rebuilt).any((1, 2)))
    if len(differ):
        report.note(
            file, f"row {listed(differ)}: other seconds than {ANNOTATIONS} has; {file} is used"
        )


def checked_order(
    report: ValidationReport,  # where the findings go
    file: str,  # such as train_order.h5
) -> np.ndarray | None:
    """The row numbers in an order file as int64 (n,), else None and an error in the report."""
    order = report.attempt(file, read_small_h5, report.folder / file, ORDER)
    if order is None:
        return None
    if order.ndim != 1 or not len(order) or (order != np.floor(order)).any():
        return report.error(
            file, f"{order.dtype} {order.shape}, expected a list of whole row numbers"
        )
    return order.astype(np.int64)


def opened_features(
    report: ValidationReport,  # where the findings go
    manifest: dict | None,  # a pack's description; None for the official files
    names: dict[str, str],  # field -> official file
    optional: bool = False,  # whether missing files are fine
) -> dict[str, ArrayStore]:
    """Field -> store for the feature files that are there and sound; errors in the report for
    the others."""
    stores = {}
    for name, file in names.items():
        entry = (manifest or {"arrays": {}})["arrays"].get(name)
        if optional and not entry and not (report.folder / file).is_file():
            continue
        if entry:
            rows = report.attempt(entry["file"], open_packed, report.folder, entry)
        else:
            rows = report.attempt(file, open_h5, report.folder / file, DATASET)
        want = 5 if name.endswith("visual") else 3
        if rows is not None and (len(rows.shape) != want or 0 in rows.shape):
            report.error(
                rows.path.name,
                f"{rows.shape}, expected (clips, segments, "
                f"{'height, width, channels' if want == 5 else 'channels'}), none of them 0",
            )
        elif rows is not None:
            stores[name] = rows
    return stores


def shapes_agree(
    report: ValidationReport,  # where the findings go
    stores: dict[str, ArrayStore],  # field -> store
    like: dict[
        str, tuple[str, int]
    ],  # field -> (the field it must agree with, in how many leading axes)
) -> None:
    """Errors for stores that have another number of clips, segments or channels than they
    should."""
    for name, (other, axes) in like.items():
        if (
            name in stores
            and other in stores
            and stores[name].shape[:axes] != stores[other].shape[:axes]
        ):
            report.error(
                stores[name].path.name,
                f"{stores[name].shape}, but {stores[other].path.name} is {stores[other].shape}: "
                "clips and segments must be as many in both",
            )
    for name in ("audio", "visual"):
        own, back = stores.get(name), stores.get(f"background_{name}")
        if own is not None and back is not None and own.shape[1:] != back.shape[1:]:
            report.error(
                back.path.name,
                f"clips of {back.shape[1:]}, but {own.path.name} has clips of {own.shape[1:]}",
            )


@dataclass
class AVETables:
    """What a folder in AVE's layout holds, read and checked; features are opened, not loaded."""

    categories: tuple[str, ...]  # C names
    stores: dict[
        str, ArrayStore
    ]  # audio, visual and, where they are there, background_audio, background_visual
    ids: np.ndarray | None = None  # (N,) of 11 characters
    labels: np.ndarray | None = None  # (N, T, C+1)
    orders: dict[str, np.ndarray] = field(default_factory=dict)  # split -> row numbers
    background: np.ndarray | None = None  # (M, T, C+1) labels of the background clips
    manifest: dict | None = None  # a pack's description
    world: dict | None = None  # the world's own description


def background_labels(
    report: ValidationReport,  # where the findings go
    stores: dict[str, ArrayStore],  # with background_audio
    labels: int,  # C+1
) -> np.ndarray | None:
    """Segment labels (M, T, C+1) of the background clips, from one label per clip or per segment;
    None where there are none."""
    if "background_audio" not in stores or not (report.folder / BACKGROUND_LABELS).is_file():
        return None
    clips, seconds = stores["background_audio"].shape[:2]
    found = report.attempt(
        BACKGROUND_LABELS, read_small_h5, report.folder / BACKGROUND_LABELS, DATASET
    )
    if found is None:
        return None
    if found.shape not in ((clips, labels), (clips, seconds, labels)):
        return report.error(
            BACKGROUND_LABELS,
            f"{found.shape}, expected {(clips, labels)}: one row per clip of "
            f"{BACKGROUND_FEATURES['background_audio']}",
        )
    found = found.astype(np.float32)
    return np.repeat(found[:, None], seconds, axis=1) if found.ndim == 2 else found


def read_ave(
    folder: Path,  # the official files, or a pack of them
    report: ValidationReport,  # where the findings go
) -> AVETables:
    """What the folder holds; what is wrong with it goes to the report, so that one look finds
    everything."""
    folder = Path(folder)
    manifest = report.attempt("pack.json", read_manifest, folder)
    categories = (
        report.attempt("categories.txt", read_categories, folder, AVE_CATEGORIES) or AVE_CATEGORIES
    )
    stores = opened_features(report, manifest, AVE_FEATURES) | opened_features(
        report, manifest, BACKGROUND_FEATURES, optional=True
    )
    shapes_agree(
        report, stores, {"visual": ("audio", 2), "background_visual": ("background_audio", 2)}
    )
    tables = AVETables(
        categories,
        stores,
        manifest=manifest,
        world=report.attempt("world.json", read_world, folder),
    )
    clips, seconds = next(
        (rows.shape[:2] for name, rows in stores.items() if name in AVE_FEATURES), (None, SECONDS)
    )
    rows = (
        checked_annotations(report, categories, seconds, clips)
        if (folder / ANNOTATIONS).is_file()
        else None
    )
    if rows is not None:
        clips, tables.ids, tables.labels = (
            len(rows),
            np.array([row.id for row in rows]),
            rebuilt_labels(rows, categories, seconds),
        )
    read_labels(report, tables, clips, seconds)
    read_orders(report, tables, clips)
    tables.background = background_labels(report, stores, len(categories) + 1)
    return tables


def read_labels(
    report: ValidationReport, tables: AVETables, clips: int | None, seconds: int
) -> None:
    """Puts the labels of the label file into the tables where there is one, compared with those of
    Annotations.txt."""
    file = next((name for name in LABELS if (report.folder / name).is_file()), None)
    if file is None:
        if not (report.folder / ANNOTATIONS).is_file():
            report.error(
                LABELS[0],
                f"no such file, and no {ANNOTATIONS} to rebuild it from; one of the two is needed",
            )
        return
    if clips is not None:
        labels = one_hot_labels(report, file, (clips, seconds, len(tables.categories) + 1))
        if labels is not None and tables.labels is not None:
            compared(report, file, labels, tables.labels)
        tables.labels = labels if labels is not None else tables.labels
        if tables.ids is None and not (report.folder / ANNOTATIONS).is_file():
            tables.ids = np.array([f"row-{row:07d}" for row in range(clips)])
            report.note(
                ANNOTATIONS,
                "no such file: clips are named by their row, and shared videos cannot be told",
            )


def read_orders(report: ValidationReport, tables: AVETables, clips: int | None) -> None:
    """Puts the rows of each split into the tables and checks them against each other."""
    orders = {split: checked_order(report, file) for split, file in ORDERS.items()}
    tables.orders = {split: rows for split, rows in orders.items() if rows is not None}
    before = len(report.errors())
    if clips is not None:
        check_orders(report, tables.orders, ORDERS, clips)
    if len(report.errors()) > before:
        tables.orders = {}


def shared_ids(tables: AVETables, one: str, other: str) -> np.ndarray:
    """The video ids with clips in both splits."""
    return np.intersect1d(tables.ids[tables.orders[one]], tables.ids[tables.orders[other]])


def note_traps(report: ValidationReport, tables: AVETables) -> None:
    """Notes on what is true of the official data and easily missed: shared and repeated ids, empty
    events, other files."""
    names, times = np.unique(tables.ids, return_counts=True)
    if (times > 1).any():
        report.note(
            ANNOTATIONS,
            f"{len(names)} distinct ids in {len(tables.ids)} rows: {(times > 1).sum()} ids have"
            " several rows",
        )
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        both = shared_ids(tables, one, other)
        if len(both):
            report.note(
                ORDERS[other],
                f"{len(both)} ids are also in {ORDERS[one]}: clips of one video on both sides; "
                "AVE(folder, drop_shared=True) leaves them out of training",
            )
    empty = np.flatnonzero(~tables.labels[..., :-1].any((1, 2)))
    if len(empty):
        report.note(
            ANNOTATIONS, f"row {listed(empty)}: an empty event; the clip is background throughout"
        )
    other_task = sorted(path.name for path in report.folder.glob("*_order_match.h5"))
    if other_task:
        report.note(
            other_task[0],
            f"{listed(other_task)}: the splits of another task (cross-modality matching), not read",
        )


def needs_background(report: ValidationReport, tables: AVETables) -> None:
    """An error when the background clips of the weak setting are not all there."""
    if tables.background is None or any(name not in tables.stores for name in BACKGROUND_FEATURES):
        report.error(
            BACKGROUND_LABELS,
            f"weak=True needs it, {' and '.join(BACKGROUND_FEATURES.values())}, and not all are"
            " there; without background clips use weak=False",
        )


def note_weak(report: ValidationReport, tables: AVETables) -> None:
    """Checks of the files only the weak setting has: errors where they contradict the labels, notes
    where they are missing."""
    present = tables.labels[..., :-1].any(1)  # (N, C)
    for file, want in (("mil_labels.h5", None), ("prob_label.h5", tables.labels.mean(1))):
        if not (report.folder / file).is_file():
            continue
        found = report.attempt(file, read_small_h5, report.folder / file, DATASET)
        if found is None:
            continue
        if found.shape != (len(present), present.shape[1] + 1):
            report.error(file, f"{found.shape}, expected {(len(present), present.shape[1] + 1)}")
        elif (
            want is None
            and (present & (found[:, :-1] == 0)).any()
            or want is not None
            and abs(found - want).max() > 1e-3
        ):
            report.error(
                file,
                "contradicts the segment labels; its rows are in another order or of other labels",
            )
    missing = [file for name, file in BACKGROUND_FEATURES.items() if name not in tables.stores]
    missing += [BACKGROUND_LABELS] if tables.background is None else []
    if missing:
        report.note(
            missing[0],
            f"{listed(missing)} not there: the weak setting with background clips, AVE(folder,"
            " weak=True), will not load",
        )


def check_ave(
    folder: Path,  # the official files, or a pack
    report: ValidationReport,  # where the findings go
    sample: int = 256 * 2**20,  # bytes of each feature file to look at for NaN
) -> AVETables:
    """What the folder holds, after every check; `avbook data check` prints the report."""
    tables = read_ave(folder, report)
    for rows in tables.stores.values():
        check_values(report, rows.path.name, rows, sample)
        if rows.dtype == np.float64:
            report.note(
                rows.path.name,
                f"float64 on disk ({rows.nbytes / 1e6:,.1f} MB), read as float32; `avbook data"
                " pack` makes it a quarter of that",
            )
    if tables.ids is not None and tables.labels is not None and len(tables.orders) == len(SPLITS):
        note_traps(report, tables)
        note_weak(report, tables)
    return tables
