"""Video of the world's clips: sources placed, moved, occluded and rendered to frames.

`actors` places and draws the sources, `backdrop` what surrounds them."""

from __future__ import annotations

import numpy as np

from avbook.common.options import is_whole
from avbook.errors import AvbookError
from avbook.world.actors import (
    BEHIND,
    HARDEST,
    LARGEST,
    SMALLEST,
    STILL,
    WORLD,
    Actor,
    Nuisances,
    actor,
    clip_nuisances,
    draw_actor,
    stage,
)
from avbook.world.appearance import APPEARANCES, Appearance, appearance_of
from avbook.world.backdrop import BARRED, background, camera_path, draw_bars, expose
from avbook.world.clips import Clip

__all__ = [
    # sources
    "APPEARANCES",
    "Appearance",
    "SMALLEST",
    "LARGEST",
    "BEHIND",
    "Actor",
    "actor",
    "stage",
    # disturbances
    "BARRED",
    "WORLD",
    "STILL",
    "HARDEST",
    "Nuisances",
    "clip_nuisances",
    # frames
    "render_at",
    "render_frames",
    "visible_masks",
]

CHUNK = 131072  # pixels of the frames rendered at once: they fit in the processor's cache
CHANGED = 0.03  # of full brightness: by how much a source changes the pixels that it covers


def _check(clip: Clip, times: np.ndarray, size: int) -> None:
    if not is_whole(size) or size < 8:
        raise AvbookError(
            f"clip {clip.id}: size is {size!r}; expected a whole number of pixels, 8 or more"
        )
    inside = np.all(times >= 0) and np.all(times < clip.seconds)
    if times.ndim != 1 or times.size == 0 or not inside:
        raise AvbookError(
            f"clip {clip.id}: times must be one or more moments in 0 <= t < {clip.seconds} s"
        )
    for source in clip.sources:
        appearance_of(source.category)
        if np.shape(source.seen) != (clip.seconds,):
            raise AvbookError(
                f"clip {clip.id}: {source.category!r} has seen of shape {np.shape(source.seen)};"
                f" expected ({clip.seconds},)"
            )


def render_at(
    clip: Clip,
    times,  # moments in seconds, 0 <= t < clip.seconds
    size: int = 56,  # width and height in pixels
    nuisances: Nuisances | None = None,  # None: as the clip's difficulty says
) -> np.ndarray:
    """Frames of a clip at any moments: uint8 (len(times), size, size, 3).

    Drawn from back to front: background, the last source to the first, bars, light. A source is
    drawn in the seconds of its `seen`. Raises AvbookError for a size below 8, moments outside the
    clip, a category without an appearance."""
    times = np.atleast_1d(np.asarray(times, np.float64))
    _check(clip, times, size)
    nuisances = clip_nuisances(clip) if nuisances is None else nuisances
    frames = []
    for part in _parts(times, size):
        *_, (_, planes) = _painted(clip, part, size, nuisances)
        frames.append(expose(planes, clip, nuisances.light))
    return np.concatenate(frames)


def _parts(times, size):
    """The moments in parts that are rendered at once."""
    chunk = max(1, CHUNK // (size * size))
    return np.split(times, range(chunk, len(times), chunk))


def _painted(clip, times, size, nuisances):
    """The frames (F, 3, size, size) after each layer, painted over in place, with the index of the
    source that it shows; None for the background and the bars."""
    shown = [k for k, source in enumerate(clip.sources) if np.any(source.seen)]
    actors = stage([actor(clip.sources[k], nuisances) for k in shown])
    camera = camera_path(clip, times, nuisances.shake)
    planes = background(clip, camera, size, nuisances.texture)
    yield None, planes
    for k, one in reversed(list(zip(shown, actors))):
        now = one.seen[np.floor(times).astype(np.int64)]
        if now.any():
            some = planes if now.all() else planes[now]
            draw_actor(some, one, times[now], camera[:, now])
            planes[now] = some
        yield k, planes
    draw_bars(planes, clip, camera, nuisances.bars)
    yield None, planes


def render_frames(
    clip: Clip,
    size: int = 56,  # width and height in pixels
    fps: float = 4,  # frames per second
    nuisances: Nuisances | None = None,  # None: as the clip's difficulty says
) -> np.ndarray:
    """All frames of a clip: uint8 (seconds·fps, size, size, 3), each from the middle of its share
    of a second.

    Raises AvbookError as `render_at` does, and for a frame rate that does not give a whole number
    of frames, at least one a second."""
    return render_at(clip, _middles(clip, fps), size, nuisances)


def _middles(clip, fps):
    """The moment of each frame, in seconds."""
    is_number = isinstance(fps, (int, float, np.number)) and not isinstance(fps, bool)
    valid = is_number and np.isfinite(fps) and fps >= 1
    if not valid or clip.seconds * fps != int(clip.seconds * fps):
        raise AvbookError(
            f"clip {clip.id}: fps is {fps!r}; expected one or more frames per second, whole over"
            f" the clip's {clip.seconds} s"
        )
    return (np.arange(int(clip.seconds * fps)) + 0.5) / fps


def visible_masks(
    clip: Clip,
    size: int = 56,  # width and height in pixels
    fps: float = 1,  # frames per second
    nuisances: Nuisances | None = None,  # None: as the clip's difficulty says
) -> np.ndarray:
    """Where each source is in sight in the frames of `render_frames`: bool (sources, seconds·fps,
    size, size); a pixel belongs to one source at most, the nearest.

    Raises AvbookError as `render_frames` does."""
    times = _middles(clip, fps)
    _check(clip, times, size)
    nuisances = clip_nuisances(clip) if nuisances is None else nuisances
    masks = []
    for part in _parts(times, size):
        found = np.zeros((len(clip.sources), len(part), size, size), bool)
        before = None
        for k, planes in _painted(clip, part, size, nuisances):
            if before is not None:
                painted = np.abs(planes - before).max(1) > CHANGED
                found &= ~painted
                if k is not None:
                    found[k] = painted
            before = planes.copy()
        masks.append(found)
    return np.concatenate(masks, axis=1)
