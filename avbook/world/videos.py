"""The world's clips as video files, written beside the official files, and features read from such
videos."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from avbook.common.files import (
    check_writable,
    os_fault,
    remove_unfinished_files,
    write_bytes,
    write_text,
)
from avbook.common.options import is_whole
from avbook.common.system import lock
from avbook.common.workers import count_workers, in_processes
from avbook.data.spec import AVE_SPEC, find_spec
from avbook.errors import AvbookError
from avbook.features.encode import OPTIONS, write_video
from avbook.features.logmel import RATE
from avbook.features.media import load_av
from avbook.world.audio import render_sound
from avbook.world.build import (
    CONTENT,
    DEFAULT_FEATURES,
    SCRIPTS,
    SIDE,
    _extractors,
    _script_lines,
    open_clips,
    open_world,
    world_clips,
    world_dims,
    write_world,
)
from avbook.world.clips import Clip
from avbook.world.video import render_at

__all__ = [
    "FOLDER",
    "VIDEO_SIDE",
    "VIDEO_FPS",
    "CRF",
    "VideoForm",
    "video_name",
    "write_clip",
    "video_features",
    "write_videos",
    "write_world_videos",
]

FOLDER = "videos"  # subfolder of the world
BACKGROUND = "background"  # its subfolder: clips without an event, not in the annotations
INFO = "videos.json"  # file in the world's folder: options of the videos
VERSION = 1  # increased when the same options give other videos
VIDEO_SIDE = 224  # pixels
# An odd multiple of the frame rate of the features: the middle of each of their intervals is then
# the middle of a frame's interval, and reading takes the times that were rendered
VIDEO_FPS = {"ave": 20, "llp": 24}
CRF = 18  # x264's quality: 0 loses nothing, 51 is worst
SIDES = 16, 2160  # smallest and largest number of pixels
SAMPLE = 3  # videos written first, to estimate time and size
STARTING = 60  # seconds of work from which further processes are worth starting
MARGIN = 1.1  # safety factor for the space that the rest needs


@dataclass(frozen=True)
class VideoForm:
    """The form of a video made from a clip. Raises `AvbookError` for a value out of its range."""

    side: int = VIDEO_SIDE  # width and height in pixels
    fps: int = VIDEO_FPS["ave"]  # frames per second
    crf: int = CRF  # x264's quality: 0 loses nothing, 51 is worst

    def __post_init__(self):
        for name, (low, high) in {"side": SIDES, "fps": (1, 120), "crf": (0, 51)}.items():
            value = getattr(self, name)
            if not is_whole(value) or not low <= value <= high:
                raise AvbookError(f"{name}={value!r}: expected a whole number from {low} to {high}")


def video_name(
    clip: Clip,
    task: str,  # "ave" or "llp"
) -> str:
    """The file's name: the video's name in the official annotations, with .mp4."""
    return f"{clip.id if task == AVE_SPEC.task else clip.file_name}.mp4"


def write_clip(
    clip: Clip,
    path,  # ends in .mp4
    form: VideoForm,
) -> None:
    """Writes the clip as H.264 and AAC, with audio at 16 kHz, whole or not at all.

    Holds one second of frames at a time. Raises `AvbookError` as `write_video` does."""
    options = OPTIONS["libx264"] | {"crf": str(form.crf)}
    write_video(path, _frames(clip, form), form.fps, render_sound(clip), RATE, options=options)


def _frames(clip: Clip, form: VideoForm) -> Iterator[np.ndarray]:
    """Frames from the middles of their intervals, as in `render_frames`."""
    moments = (np.arange(form.fps) + 0.5) / form.fps
    for second in range(clip.seconds):
        yield from render_at(clip, second + moments, form.side)


def video_features(
    path,  # a video file
    task: str,  # "ave" or "llp"
    dims: dict[str, int],  # from `world_dims`
    features: str = DEFAULT_FEATURES,  # "random" or "trained": the filters
    *,
    seconds: int | None = None,  # length of the clip, cut or padded; None: as it is
) -> dict[str, np.ndarray]:
    """The features of `clip_features`, computed from a video: float32 arrays by name. Frames of any
    size are resized by area.

    Raises `AvbookError` as `read_clip` does."""
    from avbook.features.decode import read_clip
    from avbook.features.resizing import resize_area

    smaller = partial(resize_area, height=SIDE, width=SIDE)
    rate = find_spec(task).frames_per_second
    clip = read_clip(path, rate, seconds=seconds, transform=smaller)
    found = {}
    for name, extract in _extractors(features, tuple(dims.items())).items():
        found[name] = extract(clip.wave) if name == "audio" else extract(clip.frames, clip.segments)
    return found


# ---------------------------------------------------------------------------------- all of a world
def write_videos(
    folder,  # folder of a world
    *,
    side: int = VIDEO_SIDE,  # width and height in pixels
    fps: int | None = None,  # frames per second; None: `VIDEO_FPS` of the task
    crf: int = CRF,  # x264's quality: 0 loses nothing, 51 is worst
    workers: int | None = None,  # processes; None: one per core, or only this one for few clips
    progress: bool | None = None,  # a progress bar; None: on a terminal
    say: Callable[[str], object] = lambda line: (
        None
    ),  # called with lines on size, time and oddities
) -> Path:
    """The folder `videos` in the world's folder, filled with a video of every clip.

    It gets that name when all videos are complete. After an interruption, the next call with the
    same options continues. For an id in several rows (as in AVE's annotations) the first row's clip
    is written. Raises `AvbookError`: no world, existing videos of another form, too little space,
    another process at work, no PyAV."""
    load_av()
    folder = Path(folder).expanduser().absolute()
    world = open_world(folder)
    form = VideoForm(side, VIDEO_FPS[world["task"]] if fps is None else fps, crf)
    check_writable(folder)
    busy = f"{folder}: another process is writing its videos; wait for it"
    try:
        with lock(folder / f".{FOLDER}.lock", busy, remove=True):
            return _fill_videos(folder, world, form, workers, progress, say)
    except OSError as error:
        raise os_fault(folder / FOLDER, error) from error


def _fill_videos(folder, world, form, workers, progress, say) -> Path:
    clips = open_clips(folder)
    events = len(clips) - world["counts"].get("background", 0)
    named: dict[str, Clip] = {}
    for row, clip in enumerate(clips):
        name = video_name(clip, world["task"])
        named.setdefault(name if row < events else f"{BACKGROUND}/{name}", clip)
    info = _info(folder, form, len(named))
    target = _target(folder, info)
    if repeated := len(clips) - len(named):
        say(f"{repeated} rows repeat the id of an earlier row: they share its video")
    missing = {name: clip for name, clip in named.items() if not (target / name).is_file()}
    todo = [(clip, target / name) for name, clip in missing.items()]
    _write_all(todo, target, form, workers or 0, progress, say)
    write_text(folder / INFO, info)
    if target.name != FOLDER:
        target.rename(folder / FOLDER)
    return folder / FOLDER


def _info(folder: Path, form: VideoForm, videos: int) -> str:
    """The content of `videos.json`."""
    told = {
        "kind": "videos",
        "version": VERSION,
        **vars(form),
        "videos": videos,
        "clips": hashlib.sha256((folder / SCRIPTS).read_bytes()).hexdigest(),
        "content": CONTENT,
    }
    return json.dumps(told, indent=1) + "\n"


def _target(folder: Path, info: str) -> Path:
    """The folder for the videos: a temporary one named after their form, or the finished one if it
    has this form. Removes unfinished ones of another form."""
    digest = hashlib.sha256(info.encode()).hexdigest()[:8]
    partial_folder = folder / f".{FOLDER}.{digest}.partial"
    done = folder / FOLDER
    if done.exists():
        path = folder / INFO
        if not path.is_file() or path.read_text(encoding="utf-8") != info:
            raise AvbookError(
                f"{done}: exists already, with other clips or another side, fps or crf; remove"
                " it to write these"
            )
        _clean(done)
        return done
    for other in folder.glob(f".{FOLDER}.*.partial"):
        if other != partial_folder:
            shutil.rmtree(other, ignore_errors=True)
    _clean(partial_folder)
    partial_folder.mkdir(exist_ok=True)
    return partial_folder


def _clean(place: Path) -> None:
    """Removes incomplete files of killed processes."""
    for folder in (place, place / BACKGROUND):
        remove_unfinished_files(folder)


def _encoded(item: tuple[Clip, Path], form: VideoForm) -> tuple[Path, bytes]:
    """The path of the clip's file, and its content."""
    clip, path = item
    with TemporaryDirectory(prefix="avbook-") as folder:
        made = Path(folder) / path.name
        write_clip(clip, made, form)
        return path, made.read_bytes()


def _write_all(todo, target, form, workers, progress, say) -> None:
    """Writes a few videos first, to estimate what the others will need."""
    from tqdm import tqdm

    call = partial(_encoded, form=form)
    sample = _spread(len(todo))
    rest = [item for k, item in enumerate(todo) if k not in sample]
    disable = None if progress is None else not progress
    with tqdm(total=len(todo), desc="videos", unit="video", disable=disable, mininterval=1) as bar:
        start, written = time.monotonic(), 0
        for k in sample:
            path, content = call(todo[k])
            write_bytes(path, content)
            written += len(content)
            bar.update()
        if rest:
            each = (time.monotonic() - start) / len(sample)
            workers = workers or (count_workers() if each * len(rest) > STARTING else 1)
            say(_needs(len(rest), written / len(sample), each, target, form, workers))
        remedy = "start it again when more memory is free: it continues"
        made = in_processes(
            call, rest, workers, threads=1, ordered=False, at_once=2 * workers, remedy=remedy
        )
        with closing(made):
            for path, content in made:
                write_bytes(path, content)
                bar.update()


def _spread(count: int) -> list[int]:
    """Up to `SAMPLE` indices below the count, evenly spaced."""
    return sorted({int(k) for k in np.linspace(0, count, SAMPLE, endpoint=False)} if count else ())


def _needs(count, size, seconds, target, form, workers) -> str:
    """What the rest will need, in words. Raises `AvbookError` if the disk lacks the space."""
    minutes = seconds * count / min(workers, count) / 60
    told = f"{count} more videos of {form.side} pixels take about {size * count / 1e6:,.0f} MB"
    free = shutil.disk_usage(target).free
    if free < MARGIN * size * count:
        raise AvbookError(
            f"{target.parent}: {told}; {free / 1e6:,.0f} MB are free: make room and start it"
            " again, or choose a smaller side or a higher crf"
        )
    return f"{told} and {f'{minutes:.0f} min' if minutes >= 1 else 'under a minute'}"


# --------------------------------------------------------------------------- a world and its videos
def write_world_videos(
    out,  # folder of the world: made now, or holds this world already
    task: str = "ave",  # "ave" or "llp"
    size: str = "small",
    *,
    annotations=None,  # this and the following as for `write_world`
    seed: int = 0,
    visual_dim: int | None = None,
    features: str = DEFAULT_FEATURES,
    side: int = VIDEO_SIDE,  # this and the following as for `write_videos`
    fps: int | None = None,
    crf: int = CRF,
    workers: int | None = None,
    progress: bool | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Path:
    """The folder of a world, as written by `write_world`, with the videos of `write_videos`.

    A folder that already holds this same world gets the missing videos. Raises `AvbookError` as
    both functions do."""
    load_av()
    find_spec(task)
    VideoForm(side, VIDEO_FPS[task] if fps is None else fps, crf)
    out = Path(out).expanduser().absolute()
    scripts = {"annotations": annotations, "seed": seed, "features": features}
    if not _holds(out, task, size, visual_dim, scripts):
        write_world(
            out,
            task,
            size,
            visual_dim=visual_dim,
            workers=workers,
            progress=progress,
            **scripts,
        )
    write_videos(out, side=side, fps=fps, crf=crf, workers=workers, progress=progress, say=say)
    return out


def _holds(out: Path, task: str, size: str, visual_dim: int | None, scripts: dict) -> bool:
    """Whether the folder is the world that would be written, clip by clip."""
    if not (out / SCRIPTS).is_file():
        return False
    info = open_world(out)
    filters = (info.get("features") or {}).get("filters", "random")
    there = (info["task"], info["size"], info["seed"], info["dims"], filters)
    dims = world_dims(task, visual_dim)
    if there != (task, size, scripts["seed"], dims, scripts["features"]):
        return False
    wanted = _script_lines(world_clips(task, size, **scripts))
    return (out / SCRIPTS).read_text(encoding="utf-8") == wanted
