"""A canvas of moving parts: colour, texture, attachment to other parts, periodic motion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avbook.world.motions import MOTIONS, Rhythm
from avbook.world.paints import (
    BLUE,
    BROWN,
    DARK,
    GLASS,
    GOLD,
    GREY,
    LIGHT,
    PINK,
    RED,
    SILVER,
    TEXTURES,
    WHITE,
    hsv,
)
from avbook.world.sdf import Patch, Shape, cosine, sine, single

__all__ = [
    # colours, textures and motions
    "hsv",
    "DARK",
    "LIGHT",
    "WHITE",
    "GREY",
    "SILVER",
    "GOLD",
    "BROWN",
    "RED",
    "BLUE",
    "GLASS",
    "PINK",
    "TEXTURES",
    "MOTIONS",
    "Rhythm",
    # canvases
    "RIM",
    "SHADE",
    "Easel",
    "patch",
    "Canvas",
    "blank",
    "as_images",
]

RIM = np.float32(0.05)  # thickness of the darker edge, in object units
SHADE = np.float32(0.62)  # its brightness: this share of the colour


class Easel(Rhythm):
    """F frames and a part's own coordinates in them: the point (u, v) lies at column, row
    `place[0] + place[1]·u + place[2]·v`."""

    def __init__(
        self,
        planes: np.ndarray,  # (3, F, h, w) float32 red, green, blue in 0..1, painted over in place
        # (3, 2, F) pixels: the origin, and what one unit of u and of v add to it
        place: np.ndarray,
        turn: np.ndarray,  # (F,) the movement's position, in turns
        gain: float = 1.0,  # how far parts move, 0..1
    ):
        super().__init__(turn, gain)
        self.planes, self.place = planes, np.asarray(place, np.float64)

    def moved(
        self,
        x: float | np.ndarray = 0.0,  # where the part's origin goes
        y: float | np.ndarray = 0.0,
        turns: float | np.ndarray = 0.0,  # clockwise turn, in turns
    ):
        """The same frames in a part's coordinates: painting there paints here."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        x, y, turns = (np.reshape(np.asarray(k, np.float64), -1) for k in (x, y, turns))
        origin, du, dv = self.place
        c, s = cosine(turns), sine(turns)
        part.place = np.stack([origin + du * x + dv * y, du * c + dv * s, dv * c - du * s])
        return part


def _rectangle(place, bounds, rows, columns, margin):
    """First and last row, first and last column that a box, and `margin` pixels around it, touches
    in any frame."""
    left, top, right, bottom = (np.reshape(np.asarray(k, np.float64), -1) for k in bounds)
    origin, du, dv = place
    centre = origin + du * ((left + right) / 2) + dv * ((top + bottom) / 2)
    reach = np.abs(du) * ((right - left) / 2) + np.abs(dv) * ((bottom - top) / 2) + margin
    low, high = np.floor((centre - reach).min(1)), np.ceil((centre + reach).max(1))
    return (
        int(max(low[1], 0)),
        int(min(high[1], rows)),
        int(max(low[0], 0)),
        int(min(high[0], columns)),
    )


def patch(
    easel: Easel,  # frames and place
    bounds: tuple,  # left, top, right, bottom in the part's coordinates
    margin: float = 1.0,  # pixels around it
) -> tuple[Patch, np.ndarray] | None:
    """The pixels that a box touches in any frame: their patch and a view of their colours; None if
    there are none."""
    rows, columns = easel.planes.shape[2:]
    y0, y1, x0, x1 = _rectangle(easel.place, bounds, rows, columns, margin)
    if x0 >= x1 or y0 >= y1:
        return None
    origin, du, dv = easel.place
    area = du[0] * dv[1] - du[1] * dv[0]
    across = np.arange(x0, x1) + 0.5 - origin[0][:, None]  # (F, w) pixels from the origin
    down = np.arange(y0, y1) + 0.5 - origin[1][:, None]  # (F, h)

    along = across.astype(np.float32)[:, None]
    aside = down.astype(np.float32)[:, :, None]
    # pixels to u and v: the inverse of the matrix [du dv], one a frame
    u = along * single(dv[1] / area) - aside * single(dv[0] / area)
    v = aside * single(du[0] / area) - along * single(du[1] / area)
    found = Patch(u, v, single(1 / np.sqrt(np.abs(area))))
    return found, easel.planes[:, :, y0:y1, x0:x1]


class Canvas(Easel):
    """An easel with an individual's colours: what a thing's drawing function is given."""

    def __init__(
        self,
        planes: np.ndarray,  # as for Easel
        place: np.ndarray,
        turn: np.ndarray,
        gain: float = 1.0,
        # eight numbers in -1..1 that make this individual differ from its kind
        vary: tuple[float, ...] = (0.0,) * 8,
        ink: np.ndarray | None = None,  # (3,) the body's colour; None: blue
        accent: np.ndarray | None = None,  # (3,) a second colour; None: gold
        skin: np.ndarray | None = None,  # (3,) colour of faces and hands; None: pink
        texture: str = "plain",  # a name in TEXTURES
    ):
        super().__init__(planes, place, turn, gain)
        self.vary, self.texture = vary, texture
        self.ink = BLUE if ink is None else ink
        self.accent = GOLD if accent is None else accent
        self.skin = PINK if skin is None else skin

    def fill(
        self,
        shape: Shape,  # what to paint
        colour,  # (3,)
        # 0..1 over a patch: where the second colour goes
        mark: Callable[[Patch], np.ndarray] | None = None,
        second=None,  # (3,) that second colour
        rim: bool = True,  # a darker edge inside the shape
        opacity: float | np.ndarray = 1.0,  # of the whole shape
    ) -> Canvas:
        """The canvas, with the shape painted over what was there."""
        # an edge is 1 / slope pixels wide
        found = patch(self, shape.bounds, max(1.0, 0.5 / shape.slope))
        if found is not None:
            second = colour if second is None else second
            _paint(*found, shape, colour, mark, second, rim, opacity)
        return self

    def body(
        self,
        shape: Shape,  # what to paint
    ) -> Canvas:
        """The canvas, with the shape painted in the thing's own colour and texture."""
        mark, depth = TEXTURES[self.texture]
        if mark is None:
            return self.fill(shape, self.ink)
        own = mark  # for the lambda: it is not None
        second = self.ink * np.float32(depth)
        return self.fill(shape, self.ink, lambda p: own(p, self.vary), second)


def _ramps(distance, pixel, rim, opacity):
    """How much of each pixel is covered (F, h, w), and the same times the rim's darkening."""
    cover = distance
    cover *= -1 / pixel
    cover += np.float32(0.5)
    shade = cover - RIM / pixel if rim else cover
    np.minimum(np.maximum(cover, 0, out=cover), 1, out=cover)
    if not isinstance(opacity, float) or opacity != 1:
        cover *= single(opacity)
    if rim:
        np.minimum(np.maximum(shade, 0, out=shade), 1, out=shade)
        shade *= 1 - SHADE
        shade += SHADE
        shade *= cover
    return cover, shade


def _paint(p, planes, shape, colour, mark, second, rim, opacity):
    """Blends a shape's colours into the planes of a patch, in place."""
    cover, shade = _ramps(shape.distance(p), p.pixel, rim, opacity)
    marks = None if mark is None else mark(p)
    keep = 1 - cover
    for plane, first, other in zip(planes, colour, second):
        plane *= keep
        if marks is None:
            plane += shade * np.float32(first)
        else:
            ink = marks * np.float32(other - first)
            ink += np.float32(first)
            ink *= shade
            plane += ink


def blank(
    size: int = 160,  # pixels a side
    turn=0.0,  # position of the movement, in turns; several make several frames
    reach: float = 1.2,  # the square spans -reach..reach
    paper: np.ndarray | None = None,  # (3,) its colour; None: light
    **individual,  # gain, vary, ink, accent, skin, texture, as for Canvas
) -> Canvas:
    """An empty canvas with the origin in its middle."""
    turn = np.atleast_1d(np.asarray(turn, np.float64))
    planes = np.empty((3, len(turn), size, size), np.float32)
    colour = np.asarray(LIGHT if paper is None else paper, np.float32)
    planes[:] = colour[:, None, None, None]
    unit, one = size / (2 * reach), np.ones(len(turn))
    middle = [size / 2 * one, size / 2 * one]
    place = np.array([middle, [unit * one, 0 * one], [0 * one, unit * one]])
    return Canvas(planes, place, turn, **individual)


def as_images(
    canvas: Canvas,  # painted
) -> np.ndarray:
    """Its frames as uint8 (F, size, size, 3)."""
    levels = np.floor(np.clip(canvas.planes, 0, 1) * 255 + 0.5).astype(np.uint8)
    return levels.transpose(1, 2, 3, 0)
