"""LLP's official files: what they must hold, what is wrong with them, what is odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avbook.data.annotations import (
    OWN_VIDEOS,
    LLPSpan,
    read_own_videos,
    read_spans,
    read_videos,
)
from avbook.data.labels import dense_labels, video_labels
from avbook.data.npy_files import read_npy
from avbook.data.pack_files import judge_features, open_features
from avbook.data.scan import Scan
from avbook.data.spec import LLP_SPEC, SPLITS
from avbook.data.stores import ArrayStore, NpyFolderStore, folder_stamps
from avbook.data.validation import (
    FolderDescription,
    ValidationReport,
    describe_folder,
    lacks_labels,
    listed,
)

__all__ = ["OFFICIAL", "LLPTables", "read_llp", "check_llp"]

OFFICIAL = {
    **LLP_SPEC.splits,
    "audio_rows": 4131,
    "visual_rows": 2495,
    "audio_rows_of_no_clip": 14,
    "visual_rows_of_no_clip": 11,
    "empty_audio_rows": 5,
    "inverted_audio_rows": 1,
    "ids_in_ave_too": 394,
    "test_ids_in_ave_too": 33,
}  # of the published files, counted; a test counts them again where the files are

LISTS = LLP_SPEC.split_files


@dataclass
class LLPTables:
    """What a folder in LLP's layout holds, read and checked; features are opened, not loaded. Rows:
    train, then val, then test."""

    description: FolderDescription  # class names, and what a pack or a world says of itself
    stores: dict[str, ArrayStore] = field(default_factory=dict)  # audio, visual_2d, visual_3d
    names: dict[str, list[str]] = field(default_factory=dict)  # split -> ID_start_end
    video_labels: dict[str, np.ndarray] = field(default_factory=dict)  # split -> (n, C)
    # split -> audio, visual -> (n, T, C)
    dense: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    spans: dict[str, list[LLPSpan]] = field(default_factory=dict)  # file -> its lines
    scans: dict[str, Scan] = field(default_factory=dict)  # by name: what the features are
    own: frozenset[str] = frozenset()  # names of a person's own videos

    def ids(self, *splits: str) -> np.ndarray:
        """The first 11 characters of the clips' names, and the whole names of own videos; of all
        splits or of those named."""
        names = [name for split in splits or SPLITS for name in self.names.get(split, [])]
        return np.array([name if name in self.own else name[:11] for name in names])


def read_llp(
    report: ValidationReport,  # of the official files, or of a pack of them; where the findings go
) -> LLPTables:
    """What the folder holds; what is wrong with it goes to the report, so that one look finds
    everything."""
    tables = LLPTables(describe_folder(report, LLP_SPEC))
    if lacks_labels(report, tables.description, LISTS.values()):
        return tables
    categories = tables.description.categories
    tables.own = frozenset(report.attempt(OWN_VIDEOS, read_own_videos, report.folder) or ())
    for split, file in LISTS.items():
        videos = report.read_rows(file, read_videos, categories, tables.own)
        if videos is not None:
            tables.names[split] = [video.name for video in videos]
            tables.video_labels[split] = video_labels(videos, categories)
    check_lists(report, tables)
    read_features(report, tables)
    seconds = tables.stores["audio"].shape[1] if "audio" in tables.stores else LLP_SPEC.seconds
    read_dense(report, tables, LLP_SPEC.span_files, ("val", "test"), seconds)
    train_files = LLP_SPEC.train_span_files
    if any(report.has(file) for file in train_files.values()):
        read_dense(report, tables, train_files, ("train",), seconds)
    return tables


def read_dense(
    report: ValidationReport,  # where the findings go
    tables: LLPTables,  # with the names of the clips
    files: Mapping[str, str],  # modality -> file of spans
    splits: tuple[str, ...],  # whose clips these are
    seconds: int,  # T
) -> None:
    """Puts the spans of the files and the segment labels of the splits into the tables."""
    categories = tables.description.categories
    for modality, file in files.items():
        spans = report.read_rows(file, read_spans, categories, seconds)
        if spans is None:
            continue
        tables.spans[file] = spans
        for split in splits:
            labels = dense_labels(spans, tables.names.get(split, []), categories, seconds)
            tables.dense.setdefault(split, {})[modality] = labels


def check_lists(report: ValidationReport, tables: LLPTables) -> None:
    """Errors for a split without clips, a clip in two splits, and two clips that would share one
    video's features."""
    for split, names in tables.names.items():
        if not names:
            report.error(LISTS[split], "lists no clip")
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


# ---------------------------------------------------------------------------------------- features
def read_features(report: ValidationReport, tables: LLPTables) -> None:
    """Opens the three kinds of features: one file per clip, or a pack's arrays; errors for missing
    files and other shapes."""
    ids = tables.ids()

    def open_official(folder: str) -> ArrayStore | None:
        return open_clips(report, folder, ids) if len(ids) else None

    opened = open_features(report, tables.description, LLP_SPEC.feature_files, open_official)
    for name, rows in opened.items():
        fault: str | None
        if len(rows) != len(ids) and len(tables.names) == len(SPLITS):
            fault = f"{len(rows)} clips, but the lists name {len(ids)}; pack the folder again"
        elif len(rows.shape) != 3 or 0 in rows.shape:
            fault = f"clips of shape {rows.shape[1:]}, expected (segments or frames, channels)"
        else:
            fault = other_length(name, rows.shape[1], tables.stores.get("audio"))
        if fault is None:
            tables.stores[name] = rows
        else:
            report.error(rows.path.name, fault)


def other_length(name: str, length: int, audio: ArrayStore | None) -> str | None:
    """What is wrong with the rows of a clip of these features, compared with those of its sound;
    None where nothing is, or the sound is not known."""
    if audio is None:
        return None
    segments = audio.shape[1]
    if name == "visual_3d" and length != segments:
        want = "as many"
    elif length % segments:
        want = "a whole multiple of that"
    else:
        return None
    return f"clips of {length} rows, but vggish has {segments}; expected {want}"


def open_clips(
    report: ValidationReport,  # where the findings go
    folder: str,  # vggish, res152 or r2plus1d_18
    ids: np.ndarray,  # the clips wanted
) -> NpyFolderStore | None:
    """The store of a folder's ID.npy files, of the shape that most of them have; None and an error
    when files are missing."""
    path = report.path(folder)
    try:
        stamps = folder_stamps(path)
    except OSError:
        report.error(
            folder, f"no such folder; expected {folder}/ID.npy for each of {len(ids)} clips"
        )
        return None
    files = [f"{name}.npy" for name in ids]
    missing = [file for file in files if file not in stamps]
    if missing:
        report.error(
            folder,
            f"{len(missing)} of {len(ids)} files are missing: {listed(missing)}; extract them, or"
            " take the clips out of the lists",
        )
        return None
    usual = Counter(stamps[file][0] for file in files).most_common(1)[0][0]
    typical = next(file for file in files if stamps[file][0] == usual)
    first = report.attempt(f"{folder}/{typical}", read_npy, path / typical)
    return None if first is None else NpyFolderStore(path, ids, first.shape, first.dtype, stamps)


# ------------------------------------------------------------------------------ what is odd, noted
def match_spans(report: ValidationReport, tables: LLPTables) -> None:
    """An error where no row of an evaluation file names a clip, a warning where few do: the truth
    of the others would be silence, without a word."""
    names = [name for split in ("val", "test") for name in tables.names[split]]
    known = set(names)
    for modality, file in LLP_SPEC.span_files.items():
        spans = tables.spans.get(file)
        if spans is None or not names:
            continue
        matched = sum(span.name in known for span in spans)
        if not spans:  # which may be so of own videos
            say = report.warn if known <= tables.own else report.error
            say(file, f"has no row; expected the seconds of what is in {modality}")
        elif not matched:
            report.error(
                file,
                f"none of its {len(spans)} rows names a clip: it has {spans[0].name!r}, the lists"
                f" have {names[0]!r}; write both alike",
            )
        elif matched < len(spans) / 2:
            other = next(span.name for span in spans if span.name not in known)
            report.warn(
                file,
                f"only {matched} of its {len(spans)} rows name a clip: it has {other!r}, the lists"
                f" have {names[0]!r}",
            )


def check_truth(report: ValidationReport, tables: LLPTables) -> None:
    """An error where no second of a split is marked, a warning where none is in one modality: its
    scores would have nothing to count."""
    for split in ("val", "test"):
        marked = {m: bool(dense.any()) for m, dense in tables.dense.get(split, {}).items()}
        if len(marked) < 2 or not tables.names[split]:
            continue
        for modality, file in LLP_SPEC.span_files.items():
            if not marked[modality]:
                say = report.warn if any(marked.values()) else report.error
                say(file, f"marks no second of the {len(tables.names[split])} clips of {split}")


def note_spans(report: ValidationReport, tables: LLPTables) -> None:
    """Notes on the files of spans: rows of clips in neither split, rows that mark nothing, labels
    that disagree."""
    for file, spans in tables.spans.items():
        of_train = file in LLP_SPEC.train_span_files.values()
        splits = ("train",) if of_train else ("val", "test")
        known = {name for split in splits for name in tables.names.get(split, [])}
        strange = [span for span in spans if span.name not in known]
        if strange:
            names = dict.fromkeys(span.name for span in strange)
            report.note(
                file,
                f"{len(strange)} rows are of {len(names)} clips in none of its splits, and are not"
                f" used: {listed(names)}",
            )
        empty = [span.line for span in spans if span.onset == span.offset]
        inverted = [span.line for span in spans if span.onset > span.offset]
        for lines, what in (
            (empty, "are empty (onset = offset)"),
            (inverted, "are turned round (onset after offset)"),
        ):
            if lines:
                text = f"{len(lines)} rows {what} and mark nothing: line {listed(lines)}"
                report.note(file, text)
    for split, dense in tables.dense.items():
        if set(dense) != {"audio", "visual"}:
            continue
        either = dense["audio"].any(1) | dense["visual"].any(1)  # (n, C)
        weak = tables.video_labels[split] > 0
        if (either != weak).any():
            report.note(
                LISTS[split],
                f"{int((weak & ~either).sum())} video labels without a heard or seen second, "
                f"{int((either & ~weak).sum())} heard or seen classes without a video label",
            )


def check_llp(
    report: ValidationReport,  # of the official files, or of a pack of them; where the findings go
    fresh: bool = False,  # look at every value again, whatever an earlier look found
) -> LLPTables:
    """What the folder holds, after every check: loaders and `avbook data check` both judge by
    it."""
    tables = read_llp(report)
    tables.scans = judge_features(report, tables.description, tables.stores, fresh)
    if len(tables.names) == len(SPLITS):  # else every row would be of an unlisted clip
        match_spans(report, tables)
        check_truth(report, tables)
        note_spans(report, tables)
    if "train" not in tables.dense and "train" in tables.names:
        report.note(
            LISTS["train"],
            "labels of the training clips are per video only: which second and which modality is"
            " what a method has to find",
        )
    return tables
