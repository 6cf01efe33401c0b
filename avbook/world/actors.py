"""Sources as they are drawn: place, size, pose and colours; and what disturbs a clip's frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avbook.world.appearance import Appearance, appearance_of, sample_instance
from avbook.world.canvas import MOTIONS, Canvas
from avbook.world.clips import Clip, Source
from avbook.world.sdf import cosine, sine

__all__ = [
    "Nuisances",
    "WORLD",
    "STILL",
    "HARDEST",
    "clip_nuisances",
    "SMALLEST",
    "LARGEST",
    "BEHIND",
    "Actor",
    "actor",
    "stage",
    "draw_actor",
    "stream",
]

# half the extent of a source of size 0 and of one of size 1, in frame widths
SMALLEST, LARGEST = 0.25, 0.43
BEHIND = 0.85  # factor on the scale of a source for each source in front of it
APART = 0.75  # distance of two sources, over the sum of their scales, that needs no other place


def stream(
    seed: int,  # of a source or a clip
    use: int,  # so that no two uses share their numbers
) -> np.random.Generator:
    """Random numbers for one use of one seed."""
    return np.random.default_rng([int(seed) & 0xFFFFFFFF, use])


@dataclass(frozen=True)
class Nuisances:
    """How strongly each disturbance acts: 1 as in the world's first version, 0 switched off."""

    drift: float = 1.0  # slow wandering of every source
    shake: float = 1.0  # times the clip's own camera shake
    bars: float = 1.0  # times the share of clips that have bars in front
    texture: float = 1.0  # contrast of the background's pattern
    light: float = 1.0  # brightness and tint of the whole frame
    pose: float = 1.0  # lean, stretch and mirroring of each individual
    colour: float = 1.0  # times the share of individuals in a colour unusual for their category


WORLD, STILL = Nuisances(), Nuisances(0, 0, 0, 0, 0, 0, 0)
HARDEST = Nuisances(shake=6.0, bars=3.0, texture=4.0, light=5.0, pose=4.0, colour=11.0)


def clip_nuisances(
    clip: Clip,
) -> Nuisances:
    """The strengths for a clip: from WORLD at difficulty 0 to HARDEST at difficulty 1."""
    share = float(clip.difficulty)
    mixed = {
        name: low + share * (getattr(HARDEST, name) - low) for name, low in vars(WORLD).items()
    }
    return Nuisances(**mixed)


@dataclass(frozen=True)
class Actor:
    """A source as it will be drawn. Lengths are in frame widths."""

    look: Appearance
    x: float  # centre
    y: float
    scale: float  # half its extent
    lean: float  # turns
    stretch: float  # width over height
    mirror: float  # 1, or -1 to face the other way
    gain: float  # how far it moves, 0..1
    tempo: float  # movements per second
    phase: float  # turns
    wander: tuple  # slow drift: reach, rate (per second) and phase, of x and of y
    colours: dict  # what `sample_instance` gave
    seen: np.ndarray  # (T,) bool


def actor(
    source: Source,
    nuisances: Nuisances = WORLD,  # how strongly each disturbance acts
) -> Actor:
    """The `Actor` of a source. It depends on the source's seed and latents, never on `heard`.

    Raises AvbookError for a category without an appearance."""
    look = appearance_of(source.category)
    r = stream(source.seed, 13).random(8)
    size, motion = (min(max(float(k), 0.0), 1.0) for k in (source.size, source.motion))
    drift = nuisances.drift
    return Actor(
        look=look,
        x=0.2 + 0.6 * float(source.x),
        y=0.26 + 0.48 * float(source.y),
        scale=SMALLEST + (LARGEST - SMALLEST) * size,
        lean=0.055 * (2 * r[0] - 1) * nuisances.pose,
        stretch=1 + 0.22 * (2 * r[1] - 1) * nuisances.pose,
        mirror=-1.0 if r[2] < 0.5 * min(nuisances.pose, 1) else 1.0,
        gain=0.3 + 0.7 * motion,
        tempo=float(source.tempo),
        phase=float(source.phase),
        wander=(
            (0.05 * drift, 0.05 + 0.1 * r[3], r[4]),
            (0.04 * drift, 0.05 + 0.1 * r[5], r[6]),
        ),
        colours=sample_instance(look, source.seed, nuisances.colour),
        seen=np.asarray(source.seen, bool),
    )


def _clearance(
    place: tuple[float, float],
    scale: float,  # of the source that is to stand there
    others: list[Actor],
) -> float:
    """The distance to the nearest other, over the sum of the two scales; 9 without others."""
    distances = [9.0]
    for other in others:
        dx, dy = place[0] - other.x, place[1] - other.y
        distances.append(float(np.sqrt(dx * dx + dy * dy) / (other.scale + scale)))
    return min(distances)


def stage(
    actors: list[Actor],  # nearest first, in the order of the clip's sources
) -> list[Actor]:
    """The same actors, nearest first, placed so that none hides another fully.

    The place of each depends on those before it in the list and on no later one."""
    placed: list[Actor] = []
    size = 1.0
    for one in actors:
        scale = one.scale * max(size, 0.6)
        size *= BEHIND
        choices = [(one.x, one.y), (1 - one.x, one.y), (one.x, 1 - one.y), (1 - one.x, 1 - one.y)]
        choices += [(x, y) for x in (0.2, 0.8) for y in (0.3, 0.7)]
        clearances = [_clearance(place, scale, placed) for place in choices]
        best = 0 if clearances[0] > APART else int(np.argmax(clearances))
        x, y = choices[best]
        placed.append(replace(one, x=x, y=y, scale=scale))
    return placed


def _pose(
    one: Actor,
    times: np.ndarray,  # (F,) seconds
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At each time: movement in turns (F,), centre (2, F) in frame widths, lean in turns (F,)."""
    turn = one.tempo * times + one.phase
    dx, dy, angle = MOTIONS[one.look.motion](turn, one.gain)
    (rx, fx, px), (ry, fy, py) = one.wander
    x = one.x + rx * sine(fx * times + px) + one.scale * one.stretch * one.mirror * dx
    y = one.y + ry * sine(fy * times + py) + one.scale * dy
    return turn, np.stack([x, y]), (one.lean + angle) * one.mirror


def draw_actor(
    planes: np.ndarray,  # (F, 3, size, size) float32, painted over in place
    one: Actor,
    times: np.ndarray,  # (F,) seconds
    camera: np.ndarray,  # (2, F) offset of everything, in frame widths
) -> None:
    """Paints an actor over frames.

    Each frame has a square window around the actor. The windows of all frames are copied into one
    array, painted there together and copied back, so the cost grows with the actor's area and not
    with the frame's."""
    turn, centre, angle = _pose(one, times)
    size = planes.shape[-1]
    centre = (centre + camera) * size
    reach = 1.3 * max(1.0, one.stretch) * one.scale * size
    corner = np.floor(centre - reach).astype(np.int64)  # of each frame's window: column, row
    side = int(np.ceil(2 * reach)) + 1
    low, high = np.clip(corner, 0, size), np.clip(corner + side, 0, size)
    windows = np.zeros((3, len(times), side, side), np.float32)
    pairs = []  # part of a frame, and the part of its window that shows it
    for f, ((x0, y0), (x1, y1), (left, top)) in enumerate(zip(low.T, high.T, corner.T)):
        under = planes[f, :, y0:y1, x0:x1]
        pairs.append((under, windows[:, f, y0 - top : y1 - top, x0 - left : x1 - left]))
    for under, window in pairs:
        window[:] = under
    c, s, tall = cosine(angle), sine(angle), one.scale * size
    wide = tall * one.stretch * one.mirror
    place = np.stack([centre - corner, [wide * c, wide * s], [-tall * s, tall * c]])
    one.look.paint(Canvas(windows, place, turn, one.gain, **one.colours))
    for under, window in pairs:
        under[:] = window
