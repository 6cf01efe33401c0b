"""The videos of a feature folder: the files of a folder, or the official videos of AVE or LLP in
the order of their annotation files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avbook.common.files import check_regular, os_fault
from avbook.data.annotations import (
    name_fault,
    read_annotations,
    read_categories,
    read_videos,
    wanted,
)
from avbook.data.layout import locate
from avbook.data.spec import AVE_SPEC, find_spec
from avbook.errors import AvbookError

__all__ = ["SUFFIXES", "Annotations", "Row", "VideoList", "find_videos", "media_files"]

# of video files
SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2ts", ".mts"),
        *(".ts", ".wmv", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".asf", ".vob", ".mxf"),
    )
)


@dataclass(frozen=True)
class Row:
    """A row of the features: a clip and its video."""

    id: str  # a file's stem, or an id of the annotations
    path: Path | None  # None: the video is missing
    line: int = 0  # line in the annotation file
    list_file: str = ""  # the list of LLP that contains it


@dataclass(frozen=True)
class Annotations:
    """The annotation files of AVE or LLP that define the order of the rows."""

    task: str
    folder: Path
    files: tuple[Path, ...]  # Annotations.txt, or LLP's lists


@dataclass(frozen=True)
class VideoList:
    """The videos in the order of the rows."""

    rows: tuple[Row, ...]
    annotations: Annotations | None  # None: the rows are sorted by stem
    unused: int = 0  # videos in the folder without a row

    @property
    def missing(self) -> list[str]:
        """The ids of rows without a video, each once."""
        return list(dict.fromkeys(row.id for row in self.rows if row.path is None))

    @property
    def paths(self) -> list[Path]:
        """The videos, each once: several rows may share one."""
        return list(dict.fromkeys(row.path for row in self.rows if row.path is not None))


def find_videos(
    videos: str | os.PathLike,  # a folder (subfolders are not searched), or one video
    task: str,  # "ave" or "llp"
    # Annotations.txt of AVE, a list of LLP, or the folder with these; None: all videos, by stem
    annotations: str | os.PathLike | None = None,
) -> VideoList:
    """The rows of the features. Hidden files and files without a video suffix are ignored.

    For AVE a video's stem is its id; for LLP it is ID_start_end or the id. Raises `AvbookError`: no
    such folder, no video in it, two videos with one stem, a name that cannot stand in a list, and
    the errors of the annotation readers."""
    spec = find_spec(task)
    by_stem = _by_stem(Path(videos))
    if annotations is None:
        _check_names(by_stem)
        rows = tuple(Row(stem, by_stem[stem]) for stem in sorted(by_stem))
        return VideoList(rows, None)
    found = _annotations(Path(annotations), task)
    rows = tuple(_ave_rows(found, by_stem) if spec is AVE_SPEC else _llp_rows(found, by_stem))
    used = {row.path for row in rows}
    if used == {None}:
        raise AvbookError(
            f"{videos}: none of its {len(by_stem)} videos is one of {found.files[0]}; expected"
            f" files named by the video's id, such as {rows[0].id}.mp4"
        )
    return VideoList(rows, found, sum(path not in used for path in by_stem.values()))


def _by_stem(videos: Path) -> dict[str, Path]:
    """Stem -> video."""
    found: dict[str, Path] = {}
    for path in media_files(videos):
        if path.stem in found:
            raise AvbookError(
                f"{videos}: {found[path.stem].name} and {path.name} have the same stem, by which"
                " features and labels find a video; rename one, or move it away"
            )
        found[path.stem] = path
    if not found:
        raise AvbookError(
            f"{videos}: no video in it; expected files that end in {', '.join(sorted(SUFFIXES))}"
            " (subfolders are not searched)"
        )
    return found


def _check_names(by_stem: Mapping[str, Path]) -> None:
    """Raises `AvbookError` for a stem that cannot stand in the lists of clips."""
    for stem, path in by_stem.items():
        fault = name_fault(stem)
        if fault is not None:
            raise AvbookError(
                f"{path.parent}: the name {path.name!r} {fault}, but lists have one name"
                " per line; rename the video"
            )


def media_files(
    videos: Path,  # a folder of videos, or one
) -> list[Path]:
    """The files that are videos by their suffix, sorted."""
    if os.path.lexists(videos) and not videos.is_dir():
        check_regular(videos)
        return [videos]
    try:
        entries = sorted(os.listdir(videos))
    except FileNotFoundError:
        raise AvbookError(f"{videos}: no such folder; expected one with videos, or one") from None
    except OSError as error:
        raise os_fault(videos, error) from None
    paths = [videos / name for name in entries if not name.startswith(".")]
    return [path for path in paths if path.suffix.lower() in SUFFIXES and not path.is_dir()]


# ------------------------------------------------------------------------------ annotation files
def _annotations(path: Path, task: str) -> Annotations:
    spec = find_spec(task)
    if not path.is_dir():
        return Annotations(task, path.parent, (path,))
    if spec is AVE_SPEC:
        return Annotations(task, path, tuple(wanted(path, [spec.span_files["both"]])))
    names = spec.split_files.values()
    lists = tuple(locate(path, name) for name in names if locate(path, name).is_file())
    return Annotations(task, path, lists or tuple(wanted(path, names)))


def _ave_rows(found: Annotations, by_stem: dict[str, Path]) -> Iterator[Row]:
    categories = read_categories(found.folder, AVE_SPEC.categories)
    for one in read_annotations(found.files[0], categories):
        yield Row(one.id, by_stem.get(one.id), one.line)


def _llp_rows(found: Annotations, by_stem: dict[str, Path]) -> Iterator[Row]:
    categories = read_categories(found.folder, find_spec(found.task).categories)
    for file in found.files:
        for video in read_videos(file, categories):
            path = _first(by_stem, (video.name, video.name[:11]))
            yield Row(video.name[:11], path, video.line, str(file))


def _first(by_stem: dict[str, Path], stems: Sequence[str]) -> Path | None:
    return next((by_stem[stem] for stem in stems if stem in by_stem), None)
