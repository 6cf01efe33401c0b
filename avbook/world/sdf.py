"""Signed distance shapes: discs, ovals, boxes, limbs and their blends, drawn at any resolution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = [
    "FAR",
    "sine",
    "cosine",
    "stripes",
    "ripple",
    "single",
    "Patch",
    "Shape",
    "disc",
    "oval",
    "box",
    "limb",
    "lathe",
    "half",
    "ruled",
]

FAR = np.float32(9)  # in object units: beyond every frame


def sine(
    turns: np.ndarray | float,  # angle, in full turns
) -> np.ndarray:
    """The sine of an angle in turns, float64, from exactly rounded arithmetic alone (error below
    1e-7).

    `np.sin` may differ in its last bit between processors; a polynomial of +, - and * does not, and
    the world promises the same bytes everywhere."""
    x = np.asarray(turns, np.float64)
    x = x - np.rint(x)
    x = np.where(np.abs(x) > 0.25, np.copysign(0.5, x) - x, x) * 6.283185307179586
    y = x * x
    return x * (
        1 - y / 6 * (1 - y / 20 * (1 - y / 42 * (1 - y / 72 * (1 - y / 110 * (1 - y / 156)))))
    )


def cosine(
    turns: np.ndarray | float,  # angle, in full turns
) -> np.ndarray:
    """The cosine of an angle in turns; see `sine`."""
    return sine(np.asarray(turns, np.float64) + 0.25)


def stripes(
    x: np.ndarray,  # position across the stripes, in periods
    pixel: np.ndarray | float,  # a pixel's width, in periods
    duty: float = 0.5,  # share of a period that is ink
) -> np.ndarray:
    """The share of ink (0..1) in a pixel at `x` of an endless row of stripes: an exact box filter,
    so no aliasing.

    Ink runs from 0 to `duty` of each period. The ink left of x is `I(x) = floor(x)·duty + min(x −
    floor(x), duty)`; a pixel sees `(I(x + pixel/2) − I(x − pixel/2)) / pixel`."""
    half = np.maximum(np.asarray(pixel, np.float32) * np.float32(0.5), np.float32(1e-6))
    right, left = x + half, x - half
    whole_right, whole_left = np.floor(right), np.floor(left)
    right -= whole_right
    left -= whole_left
    np.minimum(right, np.float32(duty), out=right)
    np.minimum(left, np.float32(duty), out=left)
    whole_right -= whole_left
    whole_right *= np.float32(duty)
    right -= left
    right += whole_right
    right *= np.float32(0.5) / half
    return right


def ripple(
    x: np.ndarray,  # position, in periods
) -> np.ndarray:
    """A soft wave between 0 and 1 with period 1: 1 at whole numbers, 0 half-way between them."""
    t = np.abs((x - np.floor(x)) * np.float32(2) - np.float32(1))
    return t * t * (np.float32(3) - np.float32(2) * t)


def single(value):
    """A number, or one value per frame, as float32 that broadcasts over a patch (F, h, w)."""
    value = np.asarray(value, np.float32)
    return value if value.ndim != 1 else value[:, None, None]


class Patch:
    """A rectangle of pixels in every frame, in a part's own coordinates: `u` right, `v` down (F, h,
    w), `pixel` (F, 1, 1) wide."""

    def __init__(self, u, v, pixel):
        self.u, self.v, self.pixel = u, v, pixel


class Shape:
    """A signed distance, negative inside, with the box outside which it is positive.

    `a | b` is the union, `a & b` the intersection, `a.grown(k)` all within k of a.
    """

    def __init__(
        self,
        bounds: tuple,  # left, top, right, bottom; each a number or one per frame
        distance: Callable[[Patch], np.ndarray],  # from a patch to (F, h, w) float32
        # how fast the distance grows at least, per unit of length; below 1 for an estimate
        slope: float = 1.0,
    ):
        self.bounds, self.distance, self.slope = bounds, distance, slope

    def __or__(self, other: Shape) -> Shape:
        (a, b, c, d), (e, f, g, h) = self.bounds, other.bounds
        return Shape(
            (np.minimum(a, e), np.minimum(b, f), np.maximum(c, g), np.maximum(d, h)),
            lambda p: np.minimum(self.distance(p), other.distance(p)),
            min(self.slope, other.slope),
        )

    def __and__(self, other: Shape) -> Shape:
        (a, b, c, d), (e, f, g, h) = self.bounds, other.bounds
        return Shape(
            (np.maximum(a, e), np.maximum(b, f), np.minimum(c, g), np.minimum(d, h)),
            lambda p: np.maximum(self.distance(p), other.distance(p)),
            min(self.slope, other.slope),
        )

    def _wider(self, by):
        return tuple(k + sign * by for k, sign in zip(self.bounds, (-1, -1, 1, 1)))

    def grown(
        self,
        by: float,  # in the part's units; negative shrinks
    ) -> Shape:
        """The shape with its edge moved outwards."""
        return Shape(
            self._wider(max(by / self.slope, by)),
            lambda p: self.distance(p) - np.float32(by),
            self.slope,
        )

    def hollow(
        self,
        half: float,  # half the wall's thickness
    ) -> Shape:
        """Only the outline of the shape."""
        return Shape(
            self._wider(half / self.slope),
            lambda p: np.abs(self.distance(p)) - np.float32(half),
            self.slope,
        )


def _length(u, v):
    """The length of the vectors (u, v), which it writes over."""
    u *= u
    v *= v
    u += v
    return np.sqrt(u, out=u)


def disc(
    x=0.0,  # centre; each number may be one per frame
    y=0.0,
    r=0.5,  # radius
) -> Shape:
    """A filled circle."""
    x, y, r = single(x), single(y), single(r)
    return Shape((x - r, y - r, x + r, y + r), lambda p: _length(p.u - x, p.v - y) - r)


def oval(
    x=0.0,  # centre
    y=0.0,
    rx=0.5,  # half its width
    ry=0.3,  # half its height
) -> Shape:
    """A filled ellipse; its distance is exact along the shorter axis, an estimate elsewhere."""
    x, y, rx, ry = single(x), single(y), single(rx), single(ry)

    def distance(p):
        d = _length((p.u - x) * (np.float32(1) / rx), (p.v - y) * (np.float32(1) / ry))
        d -= 1
        d *= np.minimum(rx, ry)
        return d

    slope = float(np.min(np.minimum(rx, ry) / np.maximum(rx, ry)))
    return Shape((x - rx, y - ry, x + rx, y + ry), distance, slope)


def box(
    x=0.0,  # centre
    y=0.0,
    hw=0.5,  # half its width
    hh=0.3,  # half its height
    round=0.0,  # radius of its corners
) -> Shape:
    """A box of half-width `hw` and half-height `hh`, its corners rounded if asked."""
    x, y, hw, hh = single(x), single(y), single(hw), single(hh)
    round = np.float32(round)

    def distance(p):
        u, v = np.abs(p.u - x), np.abs(p.v - y)
        u -= hw - round
        v -= hh - round
        d = np.maximum(u, v)
        if round > 0:
            np.minimum(d, 0, out=d)
            d += _length(np.maximum(u, 0, out=u), np.maximum(v, 0, out=v))
            d -= round
        return d

    return Shape((x - hw, y - hh, x + hw, y + hh), distance)


def limb(
    x0,  # start
    y0,
    x1,  # end
    y1,
    r=0.1,  # radius at the start
    r1=None,  # and at the end; None: the same
) -> Shape:
    """A stroke with round ends, thinning evenly from one end to the other."""
    x0, y0, x1, y1, r = single(x0), single(y0), single(x1), single(y1), single(r)
    end = r if r1 is None else single(r1)
    bx, by = x1 - x0, y1 - y0
    square = np.maximum(bx * bx + by * by, np.float32(1e-8))

    def distance(p):
        u, v = p.u - x0, p.v - y0
        h = u * (bx / square)
        h += v * (by / square)
        np.maximum(h, 0, out=h)
        np.minimum(h, 1, out=h)
        u -= h * bx
        v -= h * by
        d = _length(u, v)
        d -= r
        if r1 is not None:
            h *= end - r
            d -= h
        return d

    return Shape(
        (
            np.minimum(x0 - r, x1 - end),
            np.minimum(y0 - r, y1 - end),
            np.maximum(x0 + r, x1 + end),
            np.maximum(y0 + r, y1 + end),
        ),
        distance,
    )


def lathe(
    y0,  # top
    y1,  # bottom
    a,  # half-width a + b·t + c·t² while t goes 0..1 from top to bottom
    b=0.0,
    c=0.0,
    x=0.0,  # centre
) -> Shape:
    """A profile as if turned on a lathe, mirrored left and right."""
    y0, y1, a, b, c, x = (np.float32(k) for k in (y0, y1, a, b, c, x))
    widest = a + np.maximum(b, 0) + np.maximum(c, 0)  # or more

    def distance(p):
        t = (p.v - y0) / (y1 - y0)
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        side = np.abs(p.u - x)
        side -= a + t * (b + c * t)
        side *= np.float32(0.9)
        return np.maximum(side, np.maximum(y0 - p.v, p.v - y1))

    return Shape((x - widest, y0, x + widest, y1), distance, 0.9)


def half(
    u=0.0,  # the direction (u, v), of length 1
    v=0.0,
    most=0.0,  # how far along it the half-plane reaches
) -> Shape:
    """All points up to a straight line."""
    u, v, most = np.float32(u), np.float32(v), np.float32(most)
    left = most / u if u < 0 and v == 0 else -FAR
    right = most / u if u > 0 and v == 0 else FAR
    top = most / v if v < 0 and u == 0 else -FAR
    bottom = most / v if v > 0 and u == 0 else FAR
    return Shape((left, top, right, bottom), lambda p: p.u * u + p.v * v - most)


def ruled(
    u: float | np.ndarray = 0.0,  # lines per unit to the right
    v: float = 0.0,  # lines per unit downwards
    duty: float = 0.5,  # share of ink
    shift: float | np.ndarray = 0.0,  # in lines
) -> Callable[[Patch], np.ndarray]:
    """A mark for the `fill` of a `Canvas`: parallel stripes across the direction (u, v)."""
    u, v, shift = single(u), single(v), single(shift)

    def mark(p):
        if not v.any():
            at = p.u * u + shift
        elif not u.any():
            at = p.v * v + shift
        else:
            at = p.u * u + p.v * v + shift
        return stripes(at, p.pixel * (np.abs(u) + np.abs(v)), duty)

    return mark
