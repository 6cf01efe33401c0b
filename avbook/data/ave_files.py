"""AVE's official files: required content, errors, and notes on known oddities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avbook.data.annotations import (
    OWN_VIDEOS,
    AVEAnnotation,
    read_annotations,
    read_order,
    read_own_videos,
)
from avbook.data.h5_files import open_h5, read_h5
from avbook.data.labels import rebuilt_labels
from avbook.data.pack_files import judge_features, open_features
from avbook.data.scan import Scan
from avbook.data.spec import AVE_DATASET, AVE_SPEC, SPLITS
from avbook.data.stores import ArrayStore
from avbook.data.validation import (
    FolderDescription,
    ValidationReport,
    check_orders,
    describe_folder,
    lacks_labels,
    listed,
)

__all__ = [
    "LABELS",
    "VIDEO_LABELS",
    "MIL_LABELS",
    "BACKGROUND_LABELS",
    "OFFICIAL",
    "AVETables",
    "needs_background",
    "read_ave",
    "check_ave",
    "shared_ids",
]

LABELS = ("labels.h5", "right_labels.h5")  # segment labels: two names of the same file
VIDEO_LABELS = "prob_label.h5"  # per clip: share of its segments in each class
MIL_LABELS = "mil_labels.h5"  # per clip: 1 for its class
BACKGROUND_LABELS = "labels_noisy.h5"  # of the background clips
OFFICIAL = {
    "clips": AVE_SPEC.clips,
    "distinct_ids": 4097,
    "ids_with_several_rows": 45,
    "ids_in_train_and_val": 10,
    "ids_in_train_and_test": 8,
    "background_clips": AVE_SPEC.background_clips,
}  # counted in the published files; a test repeats the count if they are present

ANNOTATIONS = AVE_SPEC.span_files["both"]
ORDERS = AVE_SPEC.split_files
BACKGROUND_FEATURES = AVE_SPEC.background_files
AXES = {3: "channels", 5: "height, width, channels"}  # after clips and segments


@dataclass
class AVETables:
    """The content of a folder in AVE's layout, read and checked. Features are opened, not loaded.
    An unknown array is empty."""

    description: FolderDescription  # class names, and the description of a pack or world
    stores: dict[str, ArrayStore]  # audio, visual, optional background_audio, background_visual
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, "U11"))  # (N,)
    labels: np.ndarray = field(default_factory=lambda: np.empty(0))  # (N, T, C+1)
    orders: dict[str, np.ndarray] = field(default_factory=dict)  # split -> row numbers
    # (M, T, C+1), of the background clips
    background: np.ndarray = field(default_factory=lambda: np.empty(0))
    scans: dict[str, Scan] = field(default_factory=dict)  # by name of the features

    @property
    def no_background(self) -> bool:
        """Whether the folder declares that it has no background clips besides those of its
        splits."""
        return self.background.ndim == 3 and not len(self.background)


def read_ave(
    report: ValidationReport,  # on the official files or a pack of them; collects the findings
) -> AVETables:
    """The content of the folder; errors go to the report, so that one pass finds all of them."""
    description = describe_folder(report, AVE_SPEC)
    tables = AVETables(description, read_features(report, description))
    if lacks_labels(report, description, (ANNOTATIONS, *LABELS, *ORDERS.values())):
        return tables
    clips, seconds = None, AVE_SPEC.seconds
    for name in AVE_SPEC.feature_files:
        if name in tables.stores:
            clips, seconds = tables.stores[name].shape[:2]
            break
    if report.has(ANNOTATIONS):
        categories = description.categories
        own = report.attempt(OWN_VIDEOS, read_own_videos, report.folder) or ()
        rows = report.read_rows(ANNOTATIONS, read_annotations, categories, seconds, frozenset(own))
        check_own(report, rows, own)
        if rows is not None and clips not in (None, len(rows)):
            report.error(
                ANNOTATIONS,
                f"{len(rows)} clips, but the features have {clips}: is it the list these features"
                " were made from?",
            )
        elif rows is not None:
            clips, tables.ids = len(rows), np.array([row.id for row in rows])
            tables.labels = rebuilt_labels(rows, categories, seconds)
    read_labels(report, tables, clips, seconds)
    read_orders(report, tables, clips)
    read_background(report, tables)
    return tables


def check_own(
    report: ValidationReport,  # collects the findings
    rows: list[AVEAnnotation] | None,  # of Annotations.txt
    own: tuple[str, ...],  # names of the user's own videos; empty: the folder has no list of them
) -> None:
    """Reports an error if the rows are of other videos than the features, or in another order."""
    if rows is None or not own or [row.id for row in rows] == list(own):
        return
    report.error(
        ANNOTATIONS,
        f"its {len(rows)} clips are not the {len(own)} of {OWN_VIDEOS} in the same order: were the"
        " features extracted again since? `avbook label --replace` writes the labels again",
    )


def read_features(
    report: ValidationReport,  # collects the findings
    description: FolderDescription,  # with a pack's description of the features
) -> dict[str, ArrayStore]:
    """Name -> store of the valid features. Errors go to the report: unreadable features, and two
    that differ in the number of clips, segments or channels."""

    def open_official(file: str) -> ArrayStore | None:
        return report.attempt(file, open_h5, report.path(file), AVE_DATASET)

    def open_optional(file: str) -> ArrayStore | None:
        return open_official(file) if report.has(file) else None

    stores = open_features(report, description, AVE_SPEC.feature_files, open_official)
    stores |= open_features(report, description, BACKGROUND_FEATURES, open_optional, required=False)
    for name, rows in list(stores.items()):
        axes = 5 if name.endswith("visual") else 3
        if len(rows.shape) != axes or 0 in rows.shape:
            expected = f"(clips, segments, {AXES[axes]}), none of them 0"
            report.error(rows.path.name, f"{rows.shape}, expected {expected}")
            del stores[name]
    for audio, visual in (("audio", "visual"), ("background_audio", "background_visual")):
        one, other = stores.get(audio), stores.get(visual)
        if one is not None and other is not None and one.shape[:2] != other.shape[:2]:
            report.error(
                other.path.name,
                f"{other.shape}, but {one.path.name} is {one.shape}: both must have the same number"
                " of clips and segments",
            )
    for name in AVE_SPEC.feature_files:
        own, back = stores.get(name), stores.get(f"background_{name}")
        if own is not None and back is not None and own.shape[1:] != back.shape[1:]:
            report.error(
                back.path.name,
                f"clips of {back.shape[1:]}, but {own.path.name} has clips of {own.shape[1:]}",
            )
    return stores


# ------------------------------------------------------------------------------ labels and orders
def read_array(report: ValidationReport, file: str) -> np.ndarray | None:
    """The array in a label file of the folder as float32, or None and an error in the report."""
    return report.attempt(file, read_h5, report.path(file), AVE_DATASET, np.float32)


def one_hot(
    report: ValidationReport,  # collects the findings
    file: str,  # the file of the labels
    labels: np.ndarray,  # (N, T, C+1)
) -> bool:
    """Whether every segment has exactly one 1 and zeros otherwise; reports an error if not."""
    zeros_and_ones = np.isin(labels, (0, 1)).all((1, 2))  # (N,); NaN is neither
    one_each = ((labels == 1).sum(2) == 1).all(1)  # (N,)
    wrong = np.flatnonzero(~(zeros_and_ones & one_each))
    if len(wrong):
        report.error(
            file, f"row {listed(wrong)}: not one-hot; expected one 1 per segment and zeros"
        )
    return not len(wrong)


def read_segment_labels(
    report: ValidationReport,  # collects the findings
    file: str,  # labels.h5 or right_labels.h5
    shape: tuple[int, int, int],  # (N, T, C+1) expected from features and classes
) -> np.ndarray | None:
    """The labels (N, T, C+1) as float32 if they have the shape and are one-hot, else None and an
    error in the report."""
    labels = read_array(report, file)
    if labels is None:
        return None
    if labels.shape != shape:
        report.error(
            file,
            f"{labels.shape}, but features and class list say {shape} (clips, segments, classes +"
            " background); classes other than AVE's must be listed in categories.txt, one per line",
        )
        return None
    return labels if one_hot(report, file, labels) else None


def compare_labels(
    report: ValidationReport,  # collects the findings
    file: str,  # the label file
    labels: np.ndarray,  # its labels (N, T, C+1)
    rebuilt: np.ndarray,  # from Annotations.txt
) -> None:
    """Reports an error if the two give a clip different classes (rows in another order), and a note
    if only seconds differ."""
    ours, theirs = labels[..., :-1].any(1), rebuilt[..., :-1].any(1)  # (N, C) each
    known = np.any(ours, 1) & np.any(theirs, 1)  # (N,)
    other = np.flatnonzero(known & np.any(ours != theirs, 1))
    differ = np.flatnonzero((labels != rebuilt).any((1, 2)))
    if len(other):
        report.error(
            file,
            f"row {listed(other)}: a different class than in {ANNOTATIONS}; the two are not in"
            " the same order",
        )
    elif len(differ):
        report.note(
            file, f"row {listed(differ)}: other seconds than in {ANNOTATIONS}; {file} is used"
        )


def read_labels(
    report: ValidationReport, tables: AVETables, clips: int | None, seconds: int
) -> None:
    """Puts the labels of the label file, if there is one, into the tables, after a comparison with
    Annotations.txt."""
    annotated = report.has(ANNOTATIONS)
    file = next((name for name in LABELS if report.has(name)), None)
    if file is None:
        if not annotated:
            report.error(
                LABELS[0],
                f"no such file, and no {ANNOTATIONS} to rebuild it from; one of the two is needed",
            )
        return
    if clips is None:
        return
    classes = len(tables.description.categories)
    labels = read_segment_labels(report, file, (clips, seconds, classes + 1))
    if labels is not None:
        if len(tables.labels):
            compare_labels(report, file, labels, tables.labels)
        tables.labels = labels
    if not annotated:
        tables.ids = np.array([f"row-{row:07d}" for row in range(clips)])
        report.note(
            ANNOTATIONS,
            "no such file: clips are named by their row, and shared videos cannot be detected",
        )


def read_background(report: ValidationReport, tables: AVETables) -> None:
    """Puts the labels of the background clips, if there are any, into the tables, from one label
    per clip or per segment."""
    audio, labels = tables.stores.get("background_audio"), len(tables.description.categories) + 1
    if not report.has(BACKGROUND_LABELS):
        return
    if audio is None:
        read_no_background(report, tables)
        return
    clips, seconds = audio.shape[:2]
    found = read_array(report, BACKGROUND_LABELS)
    if found is None:
        return
    if found.shape not in ((clips, labels), (clips, seconds, labels)):
        report.error(
            BACKGROUND_LABELS,
            f"{found.shape}, expected {(clips, labels)}: one row per clip of "
            f"{BACKGROUND_FEATURES['background_audio']}",
        )
        return
    if found.ndim == 2:
        found = np.repeat(found[:, None], seconds, axis=1)  # (M, T, C+1)
    if not one_hot(report, BACKGROUND_LABELS, found):
        return
    tables.background = found.astype(np.float32)
    events = np.flatnonzero((found[..., -1] != 1).any(1))
    if len(events):
        report.warn(
            BACKGROUND_LABELS,
            f"row {listed(events)}: not background throughout, although these are the clips without"
            " an event",
        )


def read_no_background(report: ValidationReport, tables: AVETables) -> None:
    """Notes in the tables if labels without a row declare that there are no background clips
    besides those of the splits, as in a folder of own videos."""
    found = read_array(report, BACKGROUND_LABELS)
    if found is not None and not len(found) and tables.labels.ndim == 3:
        tables.background = np.zeros((0, *tables.labels.shape[1:]), np.float32)


def read_orders(report: ValidationReport, tables: AVETables, clips: int | None) -> None:
    """Puts the rows of each split into the tables and checks them against each other."""
    for split, file in ORDERS.items():
        rows = report.attempt(file, read_order, report.path(file))
        if rows is not None and not len(rows):
            report.error(file, "lists no clip")
        elif rows is not None:
            tables.orders[split] = rows
    before = len(report.errors())
    if clips is not None:
        check_orders(report, tables.orders, ORDERS, clips)
    if len(report.errors()) > before:
        tables.orders = {}


# ------------------------------------------------------------------------------------------- notes
def shared_ids(tables: AVETables, one: str, other: str) -> np.ndarray:
    """The video ids with clips in both splits."""
    return np.intersect1d(tables.ids[tables.orders[one]], tables.ids[tables.orders[other]])


def note_traps(report: ValidationReport, tables: AVETables) -> None:
    """Adds notes on known traps of the official data: shared and repeated ids, empty events, other
    files."""
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
                f"{len(both)} ids are also in {ORDERS[one]}: clips of one video in both splits; "
                "AVE(folder, drop_shared=True) leaves them out of training",
            )
    empty = np.flatnonzero(~tables.labels[..., :-1].any((1, 2)))
    if len(empty):
        report.note(
            ANNOTATIONS, f"row {listed(empty)}: an empty event; the clip is background throughout"
        )
    folder = report.path(ORDERS["train"]).parent
    other_task = sorted(path.name for path in folder.glob("*_order_match.h5"))
    if other_task:
        report.note(
            other_task[0],
            f"{listed(other_task)}: splits of another task (cross-modality matching), not read",
        )


def needs_background(report: ValidationReport, tables: AVETables) -> None:
    """Reports an error if the background clips of the weak setting are incomplete."""
    if tables.no_background:
        return
    if not len(tables.background) or not set(BACKGROUND_FEATURES) <= set(tables.stores):
        report.error(
            BACKGROUND_LABELS,
            f"weak=True needs it, {' and '.join(BACKGROUND_FEATURES.values())}, and some are"
            " missing; without background clips use weak=False",
        )


def compare_video_labels(
    report: ValidationReport,  # collects the findings
    file: str,  # mil_labels.h5 or prob_label.h5
    found: np.ndarray,  # its content
    labels: np.ndarray,  # (N, T, C+1)
) -> None:
    """Reports an error if the labels of whole clips have the wrong shape or contradict those of
    their segments."""
    shares = labels.mean(1)  # (N, C+1)
    if found.shape != shares.shape:
        report.error(file, f"{found.shape}, expected {shares.shape}")
        return
    if file == MIL_LABELS:
        present = labels[..., :-1].any(1)  # (N, C)
        known = np.any(present, 1)  # an empty event may still have its class
        wrong = ~np.isin(found, (0, 1)).all(1) | (known & (present != found[:, :-1]).any(1))
    else:
        wrong = ~(np.abs(found - shares) <= 1e-3).all(1)  # NaN is not
    if wrong.any():
        report.error(
            file,
            f"row {listed(np.flatnonzero(wrong))}: contradicts the segment labels; its rows are in"
            " another order or belong to other labels",
        )


def note_weak(report: ValidationReport, tables: AVETables) -> None:
    """Checks the files that only the weak setting has: errors if they contradict the labels, notes
    if they are missing."""
    for file in (MIL_LABELS, VIDEO_LABELS):
        found = read_array(report, file) if report.has(file) else None
        if found is not None:
            compare_video_labels(report, file, found, tables.labels)
    if tables.no_background:
        return
    missing = [file for name, file in BACKGROUND_FEATURES.items() if name not in tables.stores]
    if not report.has(BACKGROUND_LABELS):
        missing.append(BACKGROUND_LABELS)
    if missing:
        report.note(
            missing[0],
            f"{listed(missing)} missing: the weak setting with background clips, AVE(folder,"
            " weak=True), will not load",
        )


def check_ave(
    report: ValidationReport,  # on the official files or a pack of them; collects the findings
    fresh: bool = False,  # read every value again, ignoring earlier scans
) -> AVETables:
    """The content of the folder after every check; both the loaders and `avbook data check` use
    it."""
    tables = read_ave(report)
    tables.scans = judge_features(report, tables.description, tables.stores, fresh)
    for rows in tables.stores.values():
        if rows.dtype == np.float64:
            report.note(
                rows.path.name,
                f"float64 on disk ({rows.nbytes / 1e6:,.1f} MB), read as float32; `avbook data"
                " pack` reduces it to a quarter",
            )
    if len(tables.ids) and len(tables.labels) and len(tables.orders) == len(SPLITS):
        note_traps(report, tables)
        note_weak(report, tables)
    return tables
