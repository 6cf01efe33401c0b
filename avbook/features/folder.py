"""Videos to a folder of features in the official layout of AVE or LLP.

The features of each video are written whole to a work folder beside the target, which is assembled
from them at the end: interrupted work continues where it stopped, and gives the same bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avbook.common.files import (
    check_writable,
    folder_written_whole,
    os_fault,
    remove_unfinished,
)
from avbook.common.options import check_int
from avbook.common.system import lock
from avbook.common.workers import count_workers, on_cluster
from avbook.data.annotations import OWN_VIDEOS
from avbook.data.description import FEATURES_FILE, FEATURES_VERSION, REPORT_FILE
from avbook.data.events import SECONDS
from avbook.errors import AvbookError
from avbook.features.folder_extraction import open_plan
from avbook.features.folder_files import (
    feature_shapes,
    write_annotations,
    write_features,
    write_json,
)
from avbook.features.folder_list import VideoList, find_videos
from avbook.features.folder_plan import plan_features
from avbook.features.folder_video import announced_seconds, whole_seconds
from avbook.features.folder_work import FeatureWork, reason

__all__ = ["FolderReport", "extract_folder"]

LONGEST = 60  # longest clip in seconds by default
SPREAD = 1  # seconds by which the videos may differ by default
Say = Callable[[str], None]


@dataclass(frozen=True)
class FolderReport:
    """The outcome for the videos."""

    folder: Path
    task: str
    seconds: int  # T
    clips: int  # rows of the features
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # file -> notes on it
    left_out: dict[str, str] = field(default_factory=dict)  # file -> why it cannot be used
    missing: tuple[str, ...] = ()  # ids in the annotations without a video
    unused: int = 0  # videos that are not in the annotations
    made: int = 0  # videos decoded by this call; the others were done before


def extract_folder(
    videos: str | os.PathLike,  # a folder of videos, or one
    out: str
    | os.PathLike,  # the folder to write; must not exist, unless it holds the same features
    like: str = "ave",  # "ave" or "llp": the layout
    *,
    visual: str = "lite0",  # "lite0", "vgg19" (AVE), "resnet152+r2plus1d" (LLP) or "world"
    audio: str = "yamnet",  # "yamnet", "vggish" or "world"
    weights: Sequence = (),  # files for networks that need one: by their names, or "NETWORK=FILE"
    # Annotations.txt of AVE, a list of LLP, or their folder: for the official videos, in their
    # order
    annotations: str | os.PathLike | None = None,
    project: bool = False,  # project to the official widths, the models' default sizes
    seconds: int | None = None,  # T; None: 10 with annotations, else the videos' length
    partial: bool = False,  # leave out videos that are missing or cannot be decoded
    any_weights: bool = False,  # accept other weights in a published file's layout
    device: str = "auto",  # "auto", "cpu", "cuda" or "mps"
    jobs: int = 0,  # processes; 0: one per core, 1 on a GPU
    progress: bool = True,  # show a bar
    say: Say | None = None,  # called with a line for each refused video
) -> FolderReport:
    """The report on the folder, which holds the features, `features.json` and `report.json`.

    Rows are in the order of the annotations, else sorted by stem. Without `seconds`, T is the
    largest whole number that all videos reach, if they differ by a second at most, and at most 60.
    Each process computes in one thread, so that the bytes do not depend on `jobs`. With `lite0`,
    AVE gets maps at 4 frames a second; LLP gets vectors, the means over positions, at 8 frames a
    second as visual_2d and their means over seconds as visual_3d.

    Raises `AvbookError`: incompatible options and weights, two videos with one stem, unusable or
    missing videos (unless `partial`), videos of different lengths, an `out` that is something else
    or is being written, work begun with other options, a full disk. What was made stays for the
    same call to continue from."""
    plan = plan_features(like, visual, audio, weights, project, any_weights, device)
    if on_cluster():  # its workers run in other folders
        videos = Path(videos).absolute()
        files = tuple((network, os.path.abspath(file)) for network, file in plan.weights)
        plan = dataclasses.replace(plan, weights=files)
    check_int(jobs=(jobs, 0))
    listed = find_videos(videos, like, annotations)
    _check_missing(listed, partial, say)
    lengths, faults = _look(listed)
    _check_faults(listed, faults, partial, say)
    seconds = _clip_seconds(lengths, seconds, annotations is not None, videos)
    target = _Target(Path(out).expanduser().absolute(), listed, like, seconds)
    identity = {"task": like, "seconds": seconds, "extractors": open_plan(plan).described}
    with _alone(target.out):
        stands = target.finished(identity)
        if stands is not None:
            return stands
        remove_unfinished(target.out)
        work = FeatureWork(target.out.with_name(f".{target.out.name}.features"), plan, identity)
        work.begin()
        work.faults.update(faults)
        usable = [path for path in listed.paths if path not in faults]
        made = work.make(usable, jobs or (count_workers() if plan.device == "cpu" else 1), progress)
        work.remove_if_empty()
        _check_faults(listed, work.faults, partial, say)
        target.write(work)
        work.remove()
    return dataclasses.replace(target.read_report(), made=made)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Lets no other process write the folder; an OSError in the block becomes one line."""
    busy = f"{out}: another process is writing these features; wait for it, or stop it"
    check_writable(out.parent)
    try:
        with lock(out.with_name(f".{out.name}.lock"), busy, remove=True):
            yield
    except OSError as error:
        told = os_fault(error.filename or out, error)
        raise AvbookError(f"{told}; what was made stays, the same command continues") from error


# ---------------------------------------------------------------------- what is wrong with videos
def _look(listed: VideoList) -> tuple[dict[str, float], dict[Path, str]]:
    """The seconds that headers announce, by file name, and the faults of unusable files, by
    path."""
    lengths, faults = {}, {}
    for path in listed.paths:
        try:
            length = announced_seconds(path)
        except AvbookError as error:
            faults[path] = reason(path, error)
            continue
        if length is not None:
            lengths[path.name] = length
    return lengths, faults


def _check_missing(listed: VideoList, partial: bool, say: Say | None) -> None:
    missing = listed.missing
    if not missing or partial:
        return
    if say is not None:
        for name in missing:
            say(f"missing: {name}")
    ids = len({row.id for row in listed.rows})
    raise AvbookError(
        f"{len(missing)} of {ids} videos in the annotations are missing, such as"
        f" {', '.join(missing[:3])}; add them, or leave them out with --partial"
    )


def _check_faults(
    listed: VideoList, faults: Mapping[Path, str], partial: bool, say: Say | None
) -> None:
    count = len(listed.paths)
    if not faults or (partial and len(faults) < count):
        return
    if say is not None:
        for path, why in faults.items():
            say(f"{path.name}: {why}")
    first, why = next(iter(faults.items()))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    advice = "correct or remove"
    if not partial and len(faults) < count:
        advice += ", or leave out with --partial"
    raise AvbookError(
        f"{len(faults)} of {count} videos cannot be used: {first.name}: {why}{more}; {advice}"
    )


def _clip_seconds(
    lengths: Mapping[str, float],  # seconds by file name
    asked: int | None,
    annotated: bool,
    videos: str | os.PathLike,
) -> int:
    """T."""
    if asked is not None:
        check_int(seconds=(asked, 1))
        return asked
    if annotated:
        return SECONDS
    if not lengths:
        raise AvbookError(f"{videos}: no video states its length; give --seconds T")
    names = sorted(lengths, key=lengths.__getitem__)
    low, high = whole_seconds(lengths[names[0]]), whole_seconds(lengths[names[-1]])
    if high - low > SPREAD:
        raise AvbookError(
            f"{videos}: videos of {low} s ({names[0]}) to {high} s ({names[-1]}); features need one"
            f" length: give --seconds T, to which each is cut or padded, such as {low} or {SECONDS}"
        )
    if low > LONGEST:
        raise AvbookError(
            f"{videos}: videos of {low} s ({names[0]}); clips of AVE and LLP have {SECONDS}: give"
            f" --seconds {low} if that is intended, or --seconds {SECONDS} for the first {SECONDS}"
        )
    return low


# ------------------------------------------------------------------------------ the folder itself
@dataclass(frozen=True)
class _Target:
    """The folder to write."""

    out: Path
    listed: VideoList
    task: str
    seconds: int

    def finished(self, identity: Mapping[str, Any]) -> FolderReport | None:
        """Its report if the folder already holds these same features. Raises `AvbookError` if it is
        something else."""
        there = os.path.lexists(self.out)
        if not there or (self.out.is_dir() and not any(self.out.iterdir())):
            return None
        try:
            features = json.loads((self.out / FEATURES_FILE).read_text(encoding="utf-8"))
            told = self._told()
            same = all(features[key] == value for key, value in identity.items())
            made = {one["file"]: one["bytes"] for one in (*told["videos"], *told["left_out"])}
            if same and made == {path.name: _size(path) for path in self.listed.paths}:
                return self.read_report()
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise AvbookError(
            f"{self.out}: exists already, but does not hold the features of these videos with these"
            " options; choose another folder, or remove this one first"
        )

    def write(self, work: FeatureWork) -> None:
        """Writes the folder from the videos that have features."""
        rows = self.listed.rows
        kept = [row.path is not None and row.path not in work.faults for row in rows]
        there = [row for row, keep in zip(rows, kept) if keep]
        paths = [row.path for row in there if row.path is not None]
        dims = {name: one["dim"] for name, one in work.identity["extractors"].items()}
        shapes = feature_shapes(self.task, self.seconds, dims)
        self._check_room(len(there), shapes)
        told, ids = self._report(paths, work), [row.id for row in there]

        def read(row: int, name: str) -> np.ndarray:
            return work.read(paths[row], name)

        with folder_written_whole(self.out) as folder:
            write_features(folder, self.task, ids, shapes, read)
            if self.listed.annotations is not None:
                write_annotations(folder, self.listed.annotations, rows, kept)
            else:
                names = "".join(f"{one}\n" for one in ids)
                (folder / OWN_VIDEOS).write_text(names, encoding="utf-8", newline="\n")
            write_json(folder / REPORT_FILE, told)
            about = {"kind": "features", "version": FEATURES_VERSION, **work.identity}
            write_json(folder / FEATURES_FILE, {**about, "videos": ids})

    def _check_room(self, clips: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        needed = 1.02 * 4 * clips * sum(int(np.prod(shape)) for shape in shapes.values())
        free = shutil.disk_usage(self.out.parent).free
        if free < needed:
            raise AvbookError(
                f"{self.out.parent}: {free / 1e9:.2f} GB free; expected {needed / 1e9:.2f} GB for"
                f" {clips} clips; make room, the same command continues"
            )

    def _report(self, paths: Sequence[Path], work: FeatureWork) -> dict[str, Any]:
        """The content of `report.json`."""
        videos = []
        for path in dict.fromkeys(paths):
            about = work.about(path)
            if about is None:
                raise AvbookError(f"{path}: changed during the work; run the same command again")
            told = {key: about[key] for key in ("file", "bytes", "length", "notes")}
            videos.append({"id": path.stem, **told})
        left = [
            {"file": path.name, "bytes": _size(path), "reason": why}
            for path, why in sorted(work.faults.items())
        ]
        return {
            "kind": "report on features",
            "task": self.task,
            "seconds": self.seconds,
            "clips": len(paths),
            "videos": videos,
            "left_out": left,
            "missing": self.listed.missing,
            "unused": self.listed.unused,
        }

    def _told(self) -> dict[str, Any]:
        return json.loads((self.out / REPORT_FILE).read_text(encoding="utf-8"))

    def read_report(self) -> FolderReport:
        """The report stored in the folder."""
        told = self._told()
        return FolderReport(
            self.out,
            self.task,
            self.seconds,
            told["clips"],
            {one["file"]: tuple(one["notes"]) for one in told["videos"] if one["notes"]},
            {one["file"]: one["reason"] for one in told["left_out"]},
            tuple(told["missing"]),
            told["unused"],
        )


def _size(path: Path) -> int:
    """Size in bytes; 0 for a broken link."""
    return path.stat().st_size if path.exists() else 0
