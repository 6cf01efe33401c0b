"""`avbook predict`: checks the arguments, makes a timeline for each video, prints a table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avbook.common.messages import one_line, tell
from avbook.errors import AvbookError

if TYPE_CHECKING:
    from avbook.features.timelines import Timeline
    from avbook.show.timeline_files import Predicted, TimelineFolder

SHOWN = 40  # rows of the table in the terminal


def predict(
    videos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="VIDEO", help="Videos, in any format that FFmpeg reads, or folders of them."
        ),
    ] = None,
    zero_shot: Annotated[
        bool,
        typer.Option(
            "--zero-shot",
            help="No training: the classes of YAMNet (audio) and EfficientNet-Lite0 (visual).",
        ),
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE", help="A trained run's record, or a file of `avbook export`."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help=(
                "With --model: a folder of features by the model's extractors, used instead of"
                " extracting them; without VIDEO all of its clips."
            ),
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help=(
                "With --model: a weight file that its extractors need, as for `avbook features`;"
                " repeatable."
            ),
        ),
    ] = None,
    seconds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=("With --model: seconds of each video, cut or padded. Default: its own length."),
        ),
    ] = None,
    categories: Annotated[
        str | None,
        typer.Option(
            show_default="LLP",
            metavar="LLP|AVE|NAMES",
            help=(
                "With --zero-shot: the 25 of LLP, the 28 of AVE, names of AudioSet classes, such as"
                " 'Speech; Violin, fiddle', or a .txt file with one name a line."
            ),
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")] = Path(
        "timelines"
    ),
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Lowest score that counts as an event.",
            show_default="zero-shot: 0.2 audio, 0.3 visual; a model: its own",
        ),
    ] = None,
    smooth: Annotated[
        int, typer.Option(min=1, help="Seconds of a median filter on the scores, odd; 1: none.")
    ] = 1,
    html: Annotated[
        bool, typer.Option("--html/--no-html", help="Write pages to open in a browser.")
    ] = True,
    embed_mb: Annotated[
        float,
        typer.Option(
            min=0, help="Videos up to this size are embedded in the page, larger ones linked."
        ),
    ] = 25,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing timelines.")
    ] = False,
    show_mapping: Annotated[
        bool,
        typer.Option(
            "--show-mapping",
            help="Print the classes of both networks that each category maps to.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
):
    """Find the events of videos, second by second: JSON, CSV, and a page with the video above its
    timeline.

    Writes NAME.timeline.json, .csv and .html for each video; for several also timelines.csv and
    index.html. With --model, features are made by the extractors that the model was trained on.
    Examples: `avbook predict party.mp4 --zero-shot`, `avbook predict *.mp4 --zero-shot --categories
    AVE --out found`, `avbook predict party.mp4 --model mine.safetensors`, `avbook predict --model
    runs/psp-full/KEY/seed-0.json --features FOLDER`"""
    videos = _files(videos or [])
    if show_mapping:
        print_mapping(categories or "LLP")
        if not videos and model is None:
            return
    _check_road(videos, zero_shot, model, features)
    if model is not None and categories is not None:
        raise AvbookError(
            f"--categories {categories}: is for --zero-shot; a model has the categories that it was"
            " trained on: leave it out"
        )
    making = {"--weights": weights[0] if weights else None, "--seconds": seconds}
    _check_making(making, zero_shot, features)
    from avbook.show.timeline_files import TimelineFolder

    asked = _Asked(
        videos, TimelineFolder(out, html, embed_mb, overwrite), threshold, smooth, device
    )
    if model is None:
        asked.zero_shot(categories or "LLP")
    elif features is None:
        asked.trained_on_videos(model, weights or [], seconds)
    else:
        asked.trained(model, features)


def _files(videos: list[Path]) -> list[Path]:
    """The videos; a folder is replaced by the videos in it."""
    from avbook.features.folder_list import media_files

    found = []
    for path in videos:
        some = media_files(path) if path.is_dir() else [path]
        if not some:
            raise AvbookError(f"{path}: no video in it; expected a video or a folder of videos")
        found += some
    return found


def _check_road(
    videos: list[Path], zero_shot: bool, model: Path | None, features: str | None
) -> None:
    """Raises `AvbookError` unless exactly one of --zero-shot and --model is given, with what it
    needs."""
    if zero_shot == (model is not None):
        found = "both --zero-shot and --model" if zero_shot else "neither --zero-shot nor --model"
        raise AvbookError(f"predict: found {found}; expected one of them: what is to predict?")
    if zero_shot and features is not None:
        raise AvbookError(f"--features {features}: is for --model; --zero-shot reads the videos")
    if zero_shot and not videos:
        raise AvbookError("predict --zero-shot: no video given; expected at least one")
    if model is not None and features is None and not videos:
        raise AvbookError(
            f"--model {model}: no video given; expected at least one, or --features FOLDER with"
            " features by the extractors that the model was trained on"
        )
    twice = [stem for stem, times in Counter(v.stem for v in videos).items() if times > 1]
    if twice:
        both = ", ".join(str(video) for video in videos if video.stem == twice[0])
        raise AvbookError(
            f"{both}: two videos named {twice[0]!r} would write the same timeline; rename one"
        )


def _check_making(
    options: Mapping[str, object],  # of feature extraction: name -> value given, or None
    zero_shot: bool,
    features: str | None,
) -> None:
    """Raises `AvbookError` for an option of feature extraction if no features are extracted."""
    if features is None and not zero_shot:
        return
    other = "--zero-shot has" if zero_shot else f"--features {features} has them already:"
    for name, value in options.items():
        if value is not None:
            raise AvbookError(
                f"{name} {value}: is for the features that --model makes of videos; {other} no use"
                " of it: leave it out"
            )


# ------------------------------------------------------------------------------------- three roads
@dataclass
class _Asked:
    """The checked arguments of one call."""

    videos: list[Path]
    folder: TimelineFolder
    threshold: float | None
    smooth: int
    device: str

    def zero_shot(self, categories: str) -> None:
        """Labels each video by the classes of the pretrained networks."""
        from avbook.common.files import check_regular
        from avbook.features.media import load_av
        from avbook.features.zero_shot_video import ZeroShot
        from avbook.show.timeline_files import Predicted

        self.folder.check_free([video.stem for video in self.videos])
        load_av()
        if len(self.videos) == 1:
            check_regular(self.videos[0])  # before the networks are loaded
        find = ZeroShot(categories, self.threshold, self.smooth, device=self._device())

        def look(video: Path) -> Predicted:
            timeline, small = find(video)
            return Predicted(timeline, video, small)

        self._write(look)

    def trained_on_videos(self, model_path: Path, weights: list[str], seconds: int | None) -> None:
        """Applies a trained model to each video, extracting its features first."""
        from avbook.common.files import check_regular
        from avbook.experiments.models import read_model
        from avbook.experiments.video_timelines import VideoTimelines
        from avbook.features.media import load_av
        from avbook.features.small_clip import read_small_clip
        from avbook.show.timeline_files import Predicted

        model = read_model(model_path)
        self.folder.check_free([video.stem for video in self.videos])
        load_av()
        if len(self.videos) == 1:
            check_regular(self.videos[0])  # before the networks are loaded
        find = VideoTimelines(
            model,
            weights,
            seconds=seconds,
            threshold=self.threshold,
            smooth=self.smooth,
            device=self._device(),
        )

        def look(video: Path) -> Predicted:
            line = find(video)
            small = read_small_clip(video, seconds=line.seconds) if self.folder.html else None
            return Predicted(line, video, small)

        self._write(look)

    def trained(self, model_path: Path, features: str) -> None:
        """Applies a trained model to each clip of the feature folder, or to the videos' features in
        it."""
        from avbook.experiments.models import read_model
        from avbook.experiments.trained_timelines import clip_names, folder_timelines
        from avbook.show.timeline_files import Predicted

        model = read_model(model_path)
        data = _open_features(features, model.task)
        stems = [video.stem for video in self.videos]
        every = [name for names in clip_names(data).values() for name in names]
        self.folder.check_free(stems or every)
        lines = folder_timelines(
            model,
            data,
            stems or None,
            threshold=self.threshold,
            smooth=self.smooth,
            device=self._device(),
        )
        if not stems:
            found = self.folder.write((Predicted(line) for line in lines), len(every) > 1)
            _say_end(found, self.folder)
            return
        known = {line.video: line for line in lines}

        def look(video: Path) -> Predicted:
            return _with_video(known[video.stem], video, self.folder.html)

        self._write(look)

    def _device(self) -> str:
        from avbook.training.device import check_device, default_device

        check_device(self.device)
        return str(default_device()) if self.device == "auto" else self.device

    def _write(self, look: Callable[[Path], Predicted]) -> None:
        """Writes what `look` returns for each video. With several videos, one that cannot be read
        is reported and skipped."""
        failed: list[Path] = []
        found = self.folder.write(self._each(look, failed), len(self.videos) > 1)
        _say_end(found, self.folder)
        if failed:
            raise AvbookError(
                f"{len(failed)} of {len(self.videos)} videos could not be read, as listed above;"
                f" the timelines of the others are in {self.folder.out}"
            )

    def _each(self, look: Callable[[Path], Predicted], failed: list[Path]) -> Iterator[Predicted]:
        from tqdm import tqdm

        several = len(self.videos) > 1
        for video in tqdm(self.videos, unit="clip", disable=not (several and sys.stderr.isatty())):
            try:
                found = look(video)
            except AvbookError as error:
                if not several:
                    raise
                tell(error)
                failed.append(video)
                continue
            yield found


def _open_features(where: str, task: str):
    """The folder's data set; error messages name this command's option."""
    from avbook.experiments.unlabelled import open_clips

    try:
        return open_clips(where, task)
    except AvbookError as error:
        told = str(error)
        if told.startswith("--data "):
            raise AvbookError(f"--features {told.removeprefix('--data ')}") from None
        raise


def _with_video(timeline: Timeline, video: Path, page: bool) -> Predicted:
    """The timeline under the video's name, with what its page shows of the video."""
    from avbook.features.small_clip import read_small_clip
    from avbook.features.timelines import shown_name
    from avbook.show.timeline_files import Predicted

    if not page:
        return Predicted(replace(timeline, video=shown_name(video)), video)
    small = read_small_clip(video, seconds=timeline.seconds)
    named = replace(timeline, video=shown_name(video), notes=small.clip.notes)
    return Predicted(named, video, small)


# ---------------------------------------------------------------------------------------- printing
def _say_end(timelines: list[Timeline], folder: TimelineFolder) -> None:
    """Prints the table and which file to open."""
    print_timelines(timelines)
    if timelines:
        where = f"open {folder.pages[-1]}" if folder.pages else f"written to {folder.out}"
        typer.echo(one_line(where))


def print_timelines(
    timelines: list[Timeline],
) -> None:
    """Prints a table of the events, and notes on the files on standard error."""
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("video", "seconds", "event", "modality"):
        grid.add_column(name)
    grid.add_column("score", justify="right")
    rows = [(line.video, event) for line in timelines for event in line.events]
    for video, event in rows[:SHOWN]:
        seconds, score = f"{event.onset}–{event.offset}", f"{event.score:.2f}"
        grid.add_row(_plain(video), seconds, _plain(event.event), event.modality, score)
    if rows:
        Console(highlight=False).print(grid)
    if len(rows) > SHOWN:
        typer.echo(f"… and {len(rows) - SHOWN} more")
    silent = sum(not line.events for line in timelines)
    if silent:
        typer.echo(f"no event in {silent} of {len(timelines)} clips")
    for line in timelines:
        for note in line.notes:
            typer.echo(one_line(f"{line.video}: {note}"), err=True)


def _plain(text: str) -> str:
    """A cell's text with rich's markup escaped."""
    from rich.markup import escape

    return escape(one_line(text))


def print_mapping(
    categories: str,  # as `read_categories` takes them
) -> None:
    """Prints each category with the AudioSet and ImageNet classes that it maps to."""
    from rich.console import Console
    from rich.table import Table as Grid

    from avbook.features.zero_shot_video import mapping_table, read_categories

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("category", "audio: AudioSet classes", "visual: ImageNet classes"):
        grid.add_column(name)
    for name, sounds, sights in mapping_table(read_categories(categories)[1]):
        grid.add_row(_plain(name), "; ".join(sounds) or "–", "; ".join(sights) or "–")
    Console(highlight=False).print(grid)
