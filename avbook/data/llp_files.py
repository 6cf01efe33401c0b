"""LLP's official files: required content, errors, and notes on known oddities."""

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
}  # counted in the published files; a test repeats the count if they are present

LISTS = LLP_SPEC.split_files


@dataclass
class LLPTables:
    """The content of a folder in LLP's layout, read and checked. Features are opened, not loaded.
    Rows: train, then val, then test."""

    description: FolderDescription  # class names, and the description of a pack or world
    stores: dict[str, ArrayStore] = field(default_factory=dict)  # audio, visual_2d, visual_3d
    names: dict[str, list[str]] = field(default_factory=dict)  # split -> ID_start_end
    video_labels: dict[str, np.ndarray] = field(default_factory=dict)  # split -> (n, C)
    # split -> audio, visual -> (n, T, C)
    dense: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    spans: dict[str, list[LLPSpan]] = field(default_factory=dict)  # file -> its lines
    scans: dict[str, Scan] = field(default_factory=dict)  # by name of the features
    own: frozenset[str] = frozenset()  # names of the user's own videos

    def ids(self, *splits: str) -> np.ndarray:
        """The first 11 characters of the clips' names, and the whole names of own videos; of the
        given splits, or of all."""
        names = [name for split in splits or SPLITS for name in self.names.get(split, [])]
        return np.array([name if name in self.own else name[:11] for name in names])


def read_llp(
    report: ValidationReport,  # on the official files or a pack of them; collects the findings
) -> LLPTables:
    """The content of the folder; errors go to the report, so that one pass finds all of them."""
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
    report: ValidationReport,  # collects the findings
    tables: LLPTables,  # with the names of the clips
    files: Mapping[str, str],  # modality -> file of spans
    splits: tuple[str, ...],  # splits of the clips
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
    """Reports errors: a split without clips, a clip in two splits, two clips that would share one
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
                " these clips would share them",
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
    """Opens the three kinds of features, one file per clip or a pack's arrays; reports errors for
    missing files and other shapes."""
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
    """What is wrong with the rows of a clip of these features, compared with its audio features;
    None if nothing is, or if the audio features are unknown."""
    if audio is None:
        return None
    segments = audio.shape[1]
    if name == "visual_3d" and length != segments:
        want = "the same number"
    elif length % segments:
        want = "a whole multiple of that"
    else:
        return None
    return f"clips of {length} rows, but vggish has {segments}; expected {want}"


def open_clips(
    report: ValidationReport,  # collects the findings
    folder: str,  # vggish, res152 or r2plus1d_18
    ids: np.ndarray,  # ids of the requested clips
) -> NpyFolderStore | None:
    """The store of a folder's ID.npy files, with the shape of most of them; None and an error if
    files are missing."""
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
            " remove the clips from the lists",
        )
        return None
    usual = Counter(stamps[file][0] for file in files).most_common(1)[0][0]
    typical = next(file for file in files if stamps[file][0] == usual)
    first = report.attempt(f"{folder}/{typical}", read_npy, path / typical)
    return None if first is None else NpyFolderStore(path, ids, first.shape, first.dtype, stamps)


# ------------------------------------------------------------------------------------------- notes
def match_spans(report: ValidationReport, tables: LLPTables) -> None:
    """Reports an error if no row of an evaluation file names a clip, and a warning if few do: the
    ground truth of the other clips would be empty without notice."""
    names = [name for split in ("val", "test") for name in tables.names[split]]
    known = set(names)
    for modality, file in LLP_SPEC.span_files.items():
        spans = tables.spans.get(file)
        if spans is None or not names:
            continue
        matched = sum(span.name in known for span in spans)
        if not spans:  # possible for own videos
            say = report.warn if known <= tables.own else report.error
            say(file, f"has no row; expected the {modality} events in seconds")
        elif not matched:
            report.error(
                file,
                f"none of its {len(spans)} rows names a clip: it has {spans[0].name!r}, the lists"
                f" have {names[0]!r}; write both in the same form",
            )
        elif matched < len(spans) / 2:
            other = next(span.name for span in spans if span.name not in known)
            report.warn(
                file,
                f"only {matched} of its {len(spans)} rows name a clip: it has {other!r}, the lists"
                f" have {names[0]!r}",
            )


def check_truth(report: ValidationReport, tables: LLPTables) -> None:
    """Reports an error if no second of a split is marked, and a warning if none is in one modality:
    its scores would be undefined."""
    for split in ("val", "test"):
        marked = {m: bool(dense.any()) for m, dense in tables.dense.get(split, {}).items()}
        if len(marked) < 2 or not tables.names[split]:
            continue
        for modality, file in LLP_SPEC.span_files.items():
            if not marked[modality]:
                say = report.warn if any(marked.values()) else report.error
                say(file, f"marks no second of the {len(tables.names[split])} clips of {split}")


def note_spans(report: ValidationReport, tables: LLPTables) -> None:
    """Adds notes on the files of spans: rows of clips in neither split, rows that mark nothing,
    labels that contradict each other."""
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
            (inverted, "are inverted (onset after offset)"),
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
                f"{int((weak & ~either).sum())} video labels without an audible or visible second, "
                f"{int((either & ~weak).sum())} audible or visible classes without a video label",
            )


def check_llp(
    report: ValidationReport,  # on the official files or a pack of them; collects the findings
    fresh: bool = False,  # read every value again, ignoring earlier scans
) -> LLPTables:
    """The content of the folder after every check; both the loaders and `avbook data check` use
    it."""
    tables = read_llp(report)
    tables.scans = judge_features(report, tables.description, tables.stores, fresh)
    if len(tables.names) == len(SPLITS):  # otherwise every row would be of an unlisted clip
        match_spans(report, tables)
        check_truth(report, tables)
        note_spans(report, tables)
    if "train" not in tables.dense and "train" in tables.names:
        report.note(
            LISTS["train"],
            "labels of the training clips are per video only: finding the second and the modality"
            " is the task of a method",
        )
    return tables
