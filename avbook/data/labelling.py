"""The user's own labels, a CSV, converted to label files and splits of a feature folder."""

from __future__ import annotations

import csv
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from avbook.common.files import (
    check_regular,
    check_writable,
    folder_written_whole,
    os_fault,
    remove_unfinished,
)
from avbook.common.system import lock
from avbook.data.annotations import LIST_COLUMNS, OWN_VIDEOS, SPAN_COLUMNS, read_own_videos
from avbook.data.ave_files import BACKGROUND_LABELS, LABELS, MIL_LABELS, VIDEO_LABELS
from avbook.data.description import (
    FEATURES_FILE,
    PACK_FILE,
    read_features,
    read_video_reports,
)
from avbook.data.events import BACKGROUND, runs
from avbook.data.h5_files import open_h5
from avbook.data.h5_writers import write_h5
from avbook.data.label_rows import MODALITIES, LabelRow, read_label_rows
from avbook.data.layout import LABELS_FOLDER, locate
from avbook.data.npy_files import read_header
from avbook.data.spec import AVE_DATASET, AVE_ORDER, AVE_SPEC, LLP_SPEC, SPECS, find_spec
from avbook.data.splitting import SHARES, check_shares, stratified_splits
from avbook.data.validation import Issue, listed
from avbook.errors import AvbookError

__all__ = ["LabelFaults", "WrittenLabels", "covered_seconds", "label_folder"]

HALF = Fraction(1, 2)
FEW = 3  # fewer validation videos than this cannot select an epoch


class LabelFaults(AvbookError):
    """All errors of a CSV of labels: one message, with the single ones as `findings`."""

    def __init__(self, path: Path, findings: list[Issue]):
        self.findings = findings
        faults = [issue.message for issue in findings if issue.level == "error"]
        many = f"{len(faults)} fault{'s' * (len(faults) != 1)}"
        super().__init__(f"{path}: {many}, nothing was written: {'; '.join(faults)}")


@dataclass(frozen=True)
class WrittenLabels:
    """What `label_folder` has written."""

    folder: Path  # folder of the label files
    categories: tuple[str, ...]  # in the order of the label columns
    splits: dict[str, list[str]]  # split -> names of its videos
    videos: dict[str, list[str]]  # category -> names of its videos
    findings: list[Issue]  # warnings and notes


def label_folder(
    folder,  # features of own videos, from `avbook features`
    # the path of a CSV: file,onset,offset,event, for LLP also modality (audio, visual or both); an
    # optional column split (train, val or test) assigns videos to splits
    labels,
    like: str | None = None,  # "ave" or "llp", to make sure; None: the task of the folder
    split: Sequence[float | str] = SHARES,  # shares of the videos that are drawn
    seed: int = 0,  # seed of the splits
    replace: bool = False,  # whether to replace existing labels
) -> WrittenLabels:
    """Writes the official label files and splits into the folder's subfolder `labels`, whole or not
    at all; the loaders, packs and `avbook data check` find them there.

    Onsets and offsets are in seconds, with decimals. A second belongs to the event if the lines
    cover at least half of it (`covered_seconds`); all others, and videos without a line, are
    background. Raises `LabelFaults` with all errors of the CSV, and `AvbookError` for a folder
    without features, existing labels, or too few videos."""
    folder, labels = Path(folder), Path(labels)
    check_shares(split)
    task, seconds, videos = _read_folder(folder, like)
    check_regular(labels)
    _check_free(folder, task, replace)
    lengths = {video: one.length for video, one in read_video_reports(folder).items()}
    rows, findings = read_label_rows(labels, task, videos, seconds, lengths)
    if any(issue.level == "error" for issue in findings):
        raise LabelFaults(labels, findings)
    categories = tuple(
        sorted({row.event for row in rows}, key=lambda name: (name.casefold(), name))
    )
    masks = _masks(rows, videos, categories, seconds)
    events: dict[str, set[str]] = {video: set() for video in videos}
    for row in rows:
        events[row.video].add(row.event)
    fixed = {row.video: row.split for row in rows if row.split}
    splits = stratified_splits(events, split, seed, fixed)
    having = {name: [video for video in videos if name in events[video]] for name in categories}
    findings += _notes(labels.name, task, splits, having, events)
    written = WrittenLabels(folder / LABELS_FOLDER, categories, splits, having, findings)
    _write(folder, task, videos, written, masks, replace)
    return written


# --------------------------------------------------------------------------- the folder of features
def _read_folder(folder: Path, like: str | None) -> tuple[str, int, tuple[str, ...]]:
    """Task, seconds of a clip and names of the videos; AvbookError if it is not a complete feature
    folder."""
    if like is not None:
        find_spec(like)
    if not folder.is_dir():
        found = "is no folder" if os.path.lexists(folder) else "no such folder"
        raise AvbookError(f"{folder}: {found}; expected one that `avbook features` wrote")
    if os.path.lexists(folder / PACK_FILE):
        raise AvbookError(
            f"{folder}: is a pack; label the folder that it was made from, then pack that again"
        )
    told = read_features(folder)
    if told is None:
        raise AvbookError(
            f"{folder}: has no {FEATURES_FILE}; expected a folder that `avbook features` wrote"
        )
    if like not in (None, told["task"]):
        raise AvbookError(
            f"{folder}: features for --like {told['task']}, found --like {like}; leave it out, or"
            f" make the features with `avbook features --like {like}`"
        )
    videos = read_own_videos(folder)
    if not videos:
        raise AvbookError(
            f"{folder}: has no {OWN_VIDEOS}, the list of its videos; make the features again"
        )
    {"ave": _check_ave_features, "llp": _check_llp_features}[told["task"]](
        folder, videos, told["seconds"]
    )
    return told["task"], told["seconds"], videos


def _check_ave_features(folder: Path, videos: tuple[str, ...], seconds: int) -> None:
    for file in AVE_SPEC.feature_files.values():
        shape = open_h5(locate(folder, file), AVE_DATASET).shape
        if shape[:2] != (len(videos), seconds):
            raise AvbookError(
                f"{folder / file}: {shape}, but {OWN_VIDEOS} names {len(videos)} videos and"
                f" {FEATURES_FILE} says {seconds} seconds; make the features again"
            )


def _check_llp_features(folder: Path, videos: tuple[str, ...], seconds: int) -> None:
    for kind in LLP_SPEC.feature_files.values():
        place = locate(folder, kind)
        there = set(os.listdir(place)) if place.is_dir() else set()
        missing = [f"{video}.npy" for video in videos if f"{video}.npy" not in there]
        if missing:
            raise AvbookError(
                f"{place}: {len(missing)} of {len(videos)} files are missing: {listed(missing)};"
                " make the features again"
            )
    path = locate(folder, LLP_SPEC.feature_files["audio"]) / f"{videos[0]}.npy"
    shape = read_header(path).shape
    if shape[:1] != (seconds,):
        raise AvbookError(
            f"{path}: {shape}, but {FEATURES_FILE} says {seconds} seconds; make the features again"
        )


def _label_files(task: str) -> list[str]:
    """The files of the labels; those without which a folder does not load come first."""
    spec = SPECS[task]
    files = [*spec.split_files.values(), *spec.span_files.values(), *spec.train_span_files.values()]
    if task == "ave":
        files += [*LABELS, VIDEO_LABELS, MIL_LABELS, BACKGROUND_LABELS]
    return [*files, "categories.txt"]


def _others(folder: Path, task: str) -> list[Path]:
    """Label files of the folder that `avbook label` did not write: they lie elsewhere in it."""
    ours = folder / LABELS_FOLDER
    paths = [locate(folder, file) for file in _label_files(task)]
    return [path for path in paths if os.path.lexists(path) and path.parent != ours]


def _check_free(folder: Path, task: str, replace: bool) -> None:
    """AvbookError if there are labels that may not be replaced or written."""
    check_writable(folder)
    there = [path.relative_to(folder).as_posix() for path in _others(folder, task)]
    if os.path.lexists(folder / LABELS_FOLDER):
        there.append(f"{LABELS_FOLDER}/")
    if there and not replace:
        raise AvbookError(
            f"{folder}: has labels already ({listed(there)}); give --replace to overwrite them,"
            " or keep a copy of them first"
        )


# ------------------------------------------------------------------------------------------- labels
def covered_seconds(
    spans: Sequence[tuple[Fraction, Fraction]],  # onset and offset in seconds, onset first
    seconds: int,  # T
) -> np.ndarray:
    """(T,) bool: the seconds of which the spans together cover at least half. A span that covers
    half of no second gets the second that it covers most (the first of several), so that no event
    is lost."""
    mask = np.zeros(seconds, bool)
    joined: list[list[Fraction]] = []
    for onset, offset in sorted(spans):
        if joined and onset <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], offset)
        else:
            joined.append([onset, offset])
    shares = [Fraction(0)] * seconds
    parts = [dict(_overlaps(onset, offset)) for onset, offset in joined]
    for part in parts:
        for second, share in part.items():
            shares[second] += share
    mask[:] = [share >= HALF for share in shares]
    for part in parts:
        if not mask[list(part)].any():
            mask[max(part, key=lambda second: part[second])] = True
    return mask


def _overlaps(onset: Fraction, offset: Fraction) -> Iterator[tuple[int, Fraction]]:
    """Each second that the span touches, with the covered share of it."""
    for second in range(math.floor(onset), math.ceil(offset)):
        yield second, min(offset, Fraction(second + 1)) - max(onset, Fraction(second))


def _masks(
    rows: list[LabelRow],
    videos: tuple[str, ...],  # N names
    categories: tuple[str, ...],  # C names
    seconds: int,  # T
) -> dict[str, np.ndarray]:
    """Modality -> (N, T, C) bool: whether the category occurs in that second."""
    spans: dict[tuple[str, str, str], list[tuple[Fraction, Fraction]]] = {}
    for row in rows:
        for modality in MODALITIES.get(row.modality, MODALITIES["both"]):
            key = (modality, row.video, row.event)
            spans.setdefault(key, []).append((row.onset, row.offset))
    shape = (len(videos), seconds, len(categories))
    masks = {modality: np.zeros(shape, bool) for modality in MODALITIES["both"]}
    place = {video: row for row, video in enumerate(videos)}
    column = {category: at for at, category in enumerate(categories)}
    for (modality, video, event), some in spans.items():
        masks[modality][place[video], :, column[event]] = covered_seconds(some, seconds)
    return masks


def _notes(
    file: str,  # the CSV's name
    task: str,
    splits: dict[str, list[str]],
    having: dict[str, list[str]],  # category -> its videos
    events: dict[str, set[str]],  # video -> its categories
) -> list[Issue]:
    """Warnings about the limits of the splits, and notes on what may be unintended."""
    found = []
    useful = sum(bool(events[video]) for video in splits["val"])
    if useful < FEW:
        text = (
            f"validation has {useful} video{'s' * (useful != 1)} with an event: too few to select"
            " an epoch reliably; label more, or give a larger share (--split"
            " 0.6,0.2,0.2)"
        )
        found.append(Issue("warning", file, text))
    for name, videos in having.items():
        if len(videos) == 1:
            found.append(
                Issue(
                    "warning",
                    file,
                    f"only {videos[0]!r} has {name!r}, and is needed for training: validation and"
                    " test cannot measure it; label another video with it",
                )
            )
    unlabelled = [video for video, names in events.items() if not names]
    if unlabelled:
        text = (
            f"no line for {len(unlabelled)} of {len(events)} videos, which count as background"
            f" throughout: {listed(unlabelled)}"
        )
        found.append(Issue("note", file, text))
    elif task == "ave":
        text = (
            "every video has an event: the recipes with weak labels train without clips of pure"
            " background; a video without a line is one"
        )
        found.append(Issue("note", file, text))
    return found


# ------------------------------------------------------------------------------------------ writing
def _write(
    folder: Path,
    task: str,
    videos: tuple[str, ...],
    written: WrittenLabels,  # what to write
    masks: dict[str, np.ndarray],  # modality -> (N, T, C)
    replace: bool,
) -> None:
    """Writes the label files whole or not at all; other files stay until these are complete."""
    busy = f"{folder}: another process is writing labels there; wait for it, or stop it"
    try:
        with lock(folder / f".{LABELS_FOLDER}.lock", busy, remove=True):
            _restore(folder)
            _check_free(folder, task, replace)
            with _swapped(folder, task) as partial:
                {"ave": _write_ave, "llp": _write_llp}[task](
                    folder, partial, videos, written, masks
                )
                _write_lines(partial / "categories.txt", written.categories)
    except OSError as error:
        raise os_fault(error.filename or folder, error) from None


def _old(folder: Path) -> Path:
    """The path of the old labels while new ones take their place."""
    return folder / f".{LABELS_FOLDER}.old.partial"


def _restore(folder: Path) -> None:
    """Puts back what a killed process had moved aside, and removes its leftovers."""
    place, old = folder / LABELS_FOLDER, _old(folder)
    if old.is_dir() and not place.exists():
        os.replace(old, place)
    remove_unfinished(place)


@contextmanager
def _swapped(folder: Path, task: str) -> Iterator[Path]:
    """A new folder to fill, which replaces all existing labels when the block ends; if the block
    fails they stay."""
    place, old = folder / LABELS_FOLDER, _old(folder)
    try:
        with folder_written_whole(place) as partial:
            yield partial
            if place.is_dir():
                os.replace(place, old)
            while others := _others(folder, task):
                for path in others:  # the splits first, so that two sets are never mixed
                    path.unlink()
    except BaseException:
        if old.is_dir() and not place.exists():
            os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write_ave(
    folder: Path,
    out: Path,
    videos: tuple[str, ...],
    written: WrittenLabels,
    masks: dict[str, np.ndarray],
) -> None:
    """Writes AVE's files: labels of seconds and of clips, the list of clips, the rows of the
    splits.

    Clips of pure background are rows of the splits, so no separate background clips are declared,
    unless the folder has features of such clips."""
    event = masks["audio"] | masks["visual"]  # (N, T, C)
    labels = np.concatenate([event, ~event.any(2, keepdims=True)], 2).astype(np.float32)
    clips = np.concatenate([event.any(1), ~event.any((1, 2))[:, None]], 1).astype(np.float32)
    beside = locate(folder, AVE_SPEC.background_files["background_audio"])
    count = len(open_h5(beside, AVE_DATASET)) if beside.is_file() else 0
    background = np.zeros((count, labels.shape[2]), np.float32)
    background[:, -1] = 1
    for file, array in (
        (LABELS[0], labels),
        (VIDEO_LABELS, labels.mean(1)),
        (MIL_LABELS, clips),
        (BACKGROUND_LABELS, background),
    ):
        write_h5(out / file, array, AVE_DATASET)
    lines = ["Category&VideoID&Quality&StartTime&EndTime"]
    for video, mask in zip(videos, event):
        seconds = np.flatnonzero(mask.any(1))
        onset, offset = (seconds[0], seconds[-1] + 1) if len(seconds) else (0, 0)
        at = np.flatnonzero(mask.any(0))
        category = written.categories[at[0]] if len(at) else BACKGROUND
        lines.append(f"{category}&{video}&good&{onset}&{offset}")
    _write_lines(out / AVE_SPEC.span_files["both"], lines)
    place = {video: row for row, video in enumerate(videos)}
    for split, names in written.splits.items():
        rows = np.sort([place[name] for name in names]).astype(np.int64)
        write_h5(out / AVE_SPEC.split_files[split], rows, AVE_ORDER)


def _write_llp(
    folder: Path,
    out: Path,
    videos: tuple[str, ...],
    written: WrittenLabels,
    masks: dict[str, np.ndarray],
) -> None:
    """Writes LLP's files: a list per split, and the audible and visible spans, which are known here
    for training too."""
    place = {video: row for row, video in enumerate(videos)}
    either = masks["audio"] | masks["visual"]  # (N, T, C)
    names = written.categories
    for split, some in written.splits.items():
        rows = [
            (video, ",".join(names[at] for at in np.flatnonzero(either[place[video]].any(0))))
            for video in some
        ]
        _write_table(out / LLP_SPEC.split_files[split], LIST_COLUMNS, rows)
    judged = [*written.splits["val"], *written.splits["test"]]
    for modality, mask in masks.items():
        for files, some in (
            (LLP_SPEC.span_files, judged),
            (LLP_SPEC.train_span_files, written.splits["train"]),
        ):
            spans = [
                (video, onset, offset, name)
                for video in some
                for at, name in enumerate(names)
                for onset, offset in runs(mask[place[video], :, at])
            ]
            _write_table(out / files[modality], SPAN_COLUMNS, spans)


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([columns, *rows])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
