"""The folder of a prediction: JSON, CSV and a page for each clip, and a list of several."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from avbook.common.files import (
    check_writable,
    os_fault,
    remove_unfinished_files,
    written_whole,
)
from avbook.common.system import lock
from avbook.errors import AvbookError
from avbook.features.small_clip import SmallClip
from avbook.features.timelines import Timeline, write_csv, write_timeline
from avbook.show.timeline_page import EMBEDDED_MB, PageClip, page_clip, write_page

__all__ = ["Predicted", "TimelineFolder"]


class Predicted(NamedTuple):
    """A clip's timeline, and what its page shows of its video."""

    timeline: Timeline
    video: Path | None = None  # None: only features
    small: SmallClip | None = None

    @property
    def name(self) -> str:
        """The base name of its files."""
        return self.timeline.video if self.video is None else self.video.stem


@dataclass
class TimelineFolder:
    """A folder of timelines: NAME.timeline.json, .csv and .html; for several clips also
    timelines.csv and index.html. Among several, clips without a video have no page of their own.

    Raises `AvbookError` if the folder cannot be written to."""

    out: Path
    html: bool = True
    embed_mb: float = EMBEDDED_MB  # larger videos are linked; index.html links to all
    overwrite: bool = False
    pages: list[Path] = field(default_factory=list)  # written so far

    def __post_init__(self):
        self.out = Path(self.out)
        if os.path.lexists(self.out) and not self.out.is_dir():
            raise AvbookError(f"{self.out}: is not a folder; choose another --out")
        check_writable(self.out)

    def check_free(
        self,
        names: Sequence[str],  # names of the clips to come
    ) -> None:
        """Raises `AvbookError` if a file exists already, unless it may be replaced, and if a name
        cannot be a file name."""
        for name in names:
            if not name or os.path.basename(name) != name:
                raise AvbookError(f"{name!r}: is not a valid file name; expected a clip's id")
        if self.overwrite:
            return
        wanted = [path for name in names for path in self._paths(name).values()]
        if len(names) > 1:
            wanted += [self.out / "timelines.csv", self.out / "index.html"]
        there = [path for path in wanted if os.path.lexists(path)]
        if there:
            more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
            raise AvbookError(
                f"{there[0]}: exists already{more}; choose another --out, or --overwrite to"
                " replace it"
            )

    def write(
        self,
        found: Iterable[Predicted],  # each is written as it arrives
        several: bool,  # whether more than one clip was requested
    ) -> list[Timeline]:
        """The timelines, once all files are written. Raises `AvbookError` if one cannot be written;
        earlier ones stay."""
        timelines, clips = [], []
        for each in found:
            timelines.append(each.timeline)
            shown = [page_clip(each.timeline, each.video, each.small)] if self.html else []
            clips += shown
            if each.video is None and several:
                shown = []
            self._write_together(self._paths(each.name), [each.timeline], shown, self.embed_mb)
        if several and timelines:
            paths = {"csv": self.out / "timelines.csv", "html": self.out / "index.html"}
            self._write_together(paths, timelines, clips, 0, f"{len(clips)} timelines")
        return timelines

    def _paths(self, name: str) -> dict[str, Path]:
        return {kind: self.out / f"{name}.timeline.{kind}" for kind in ("json", "csv", "html")}

    def _write_together(
        self,
        paths: dict[str, Path],  # by kind
        timelines: list[Timeline],
        clips: list[PageClip],  # clips of the page; []: no page
        embed_mb: float,
        title: str | None = None,
    ) -> None:
        """Writes the files; they get their names one after the other once all are complete."""
        try:
            with lock(self.out / ".timelines.lock", remove=True), ExitStack() as stack:
                part = {}
                for kind, path in paths.items():
                    remove_unfinished_files(path)
                    if kind != "html" or clips:
                        part[kind] = stack.enter_context(written_whole(path))
                write_csv(part["csv"], timelines)
                if "json" in part:
                    write_timeline(part["json"], timelines[0])
                if clips:
                    write_page(part["html"], clips, title, embed_mb)
        except OSError as error:
            raise os_fault(error.filename2 or error.filename or self.out, error) from None
        if clips:
            self.pages.append(paths["html"])
