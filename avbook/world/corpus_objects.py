"""Drawings of objects that neither AVE nor LLP has, for the extractors' training corpus."""

from __future__ import annotations

from avbook.world.canvas import (
    BLUE,
    BROWN,
    DARK,
    GLASS,
    GOLD,
    GREY,
    LIGHT,
    RED,
    SILVER,
    WHITE,
    Canvas,
    hsv,
)
from avbook.world.sdf import box, cosine, disc, half, lathe, limb, oval, ruled, sine

__all__ = [
    "tree",
    "house",
    "boat",
    "umbrella",
    "lamp",
    "fish",
    "windmill",
    "balloon",
    "bicycle",
    "butterfly",
    "chair",
    "robot",
    "mushroom",
    "flag",
    "drum",
    "snowman",
]


def tree(c: Canvas) -> None:
    """Paints a trunk and a crown whose parts sway."""
    c.fill(box(0, 0.6, 0.1, 0.4), BROWN)
    for k, (x, y, r) in enumerate(((-0.35, 0.0, 0.38), (0.35, 0.0, 0.38), (0.0, -0.4, 0.48))):
        c.body(disc(x + 0.05 * c.swing(1, 0.1 * k), y, r))


def house(c: Canvas) -> None:
    """Paints a house with a door that opens and smoke above its roof."""
    c.body(box(0, 0.4, 0.7, 0.5))
    c.fill(lathe(-0.75, -0.05, 0.02, 0.85), c.accent)
    for x in (-0.38, 0.38):
        c.fill(box(x, 0.3, 0.15, 0.15), GLASS)
    c.fill(box(0, 0.62, 0.15 - 0.1 * c.open(), 0.28), BROWN)
    puff = c.cycle()
    c.fill(disc(0.45, -0.65 - 0.3 * puff, 0.06 + 0.1 * puff), LIGHT, rim=False, opacity=1 - puff)


def boat(c: Canvas) -> None:
    """Paints a sailing boat that rolls on a wave."""
    roll = c.moved(0, 0.0, 0.03 * c.swing())
    roll.fill(limb(0, -0.95, 0, 0.4, 0.04), BROWN)
    roll.fill(lathe(-0.85, 0.25, 0.03, 0.5, x=0.25), c.accent)
    roll.fill(lathe(-0.6, 0.25, 0.02, 0.3, x=-0.3), WHITE)
    roll.body(limb(-0.6, 0.5, 0.6, 0.5, 0.24) & half(0, -1, -0.35))
    c.fill(box(0, 0.82, 0.98, 0.1, 0.08), BLUE)


def umbrella(c: Canvas) -> None:
    """Paints an umbrella that opens and closes."""
    wide = 0.55 + 0.4 * c.open()
    c.fill(limb(0, -0.2, 0, 0.8, 0.035), DARK)
    c.fill(limb(0, 0.85, 0.2, 0.8, 0.06), BROWN)
    c.body(oval(0, 0.0, wide, 0.75) & half(0, 1, 0.05))
    for k in (-1, 0, 1):
        c.fill(limb(0, -0.7, k * 0.6 * wide, 0.0, 0.025), c.accent, rim=False)


def lamp(c: Canvas) -> None:
    """Paints a table lamp whose light comes and goes."""
    c.fill(oval(0, 0.9, 0.45, 0.1), DARK)
    c.fill(limb(0, 0.9, 0, -0.2, 0.06), SILVER)
    c.fill(disc(0, 0.1, 0.55), hsv(0.14, 0.35, 1.0), rim=False, opacity=0.7 * c.open())
    c.body(lathe(-0.8, 0.0, 0.25, 0.45))


def fish(c: Canvas) -> None:
    """Paints a fish that beats its tail."""
    beat = 0.2 * c.swing()
    c.fill(limb(-0.45, 0.0, -0.9, -0.35 + beat, 0.08, 0.16), c.accent)
    c.fill(limb(-0.45, 0.0, -0.9, 0.35 + beat, 0.08, 0.16), c.accent)
    c.fill(limb(-0.1, -0.3, 0.15, -0.6, 0.14, 0.05), c.accent)
    c.body(oval(0.15, 0, 0.75, 0.42))
    c.fill(disc(0.58, -0.1, 0.1), WHITE)
    c.fill(disc(0.6, -0.1, 0.05), DARK, rim=False)


def windmill(c: Canvas) -> None:
    """Paints a tower with four turning sails."""
    c.body(lathe(-0.3, 0.95, 0.2, 0.25))
    c.fill(box(0, 0.75, 0.1, 0.2), DARK)
    sails = c.moved(0, -0.35, c.cycle())
    for x, y in ((0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.0, -0.3)):
        sails.fill(box(x, y, 0.3 if x else 0.09, 0.3 if y else 0.09), c.accent)


def balloon(c: Canvas) -> None:
    """Paints a hot-air balloon with a flame under it."""
    c.body(oval(0, -0.3, 0.62, 0.65))
    c.fill(oval(0, -0.3, 0.22, 0.64), c.accent, rim=False)
    for x in (-1, 1):
        c.fill(limb(x * 0.4, 0.2, x * 0.15, 0.7, 0.02), DARK, rim=False)
    c.fill(oval(0, 0.42, 0.07, 0.05 + 0.15 * c.open()), GOLD, rim=False)
    c.fill(box(0, 0.8, 0.2, 0.14, 0.03), BROWN)


def bicycle(c: Canvas) -> None:
    """Paints a bicycle with spokes and turning pedals."""
    for x in (-0.55, 0.55):
        c.fill(disc(x, 0.4, 0.4).hollow(0.06), DARK)
        spokes = c.moved(x, 0.4, c.cycle())
        spokes.fill(box(0, 0, 0.36, 0.02) | box(0, 0, 0.02, 0.36), SILVER, rim=False)
    for ends in ((-0.55, 0.4, -0.15, -0.2), (-0.15, -0.2, 0.4, -0.15), (0.0, 0.4, 0.4, -0.15)):
        c.fill(limb(*ends, 0.05), c.ink)
    c.fill(limb(-0.55, 0.4, 0.0, 0.4, 0.05) | limb(0.55, 0.4, 0.38, -0.4, 0.05), c.ink)
    c.fill(limb(-0.3, -0.28, 0.0, -0.28, 0.06), DARK)
    c.fill(limb(0.25, -0.45, 0.5, -0.4, 0.05), DARK)
    turn = c.moved(0, 0.4, c.cycle())
    turn.fill(limb(-0.18, 0, 0.18, 0, 0.04), GREY)


def butterfly(c: Canvas) -> None:
    """Paints a butterfly that folds its wings."""
    wide = 1 - 0.6 * c.open()
    for side in (-1, 1):
        c.body(oval(side * 0.45 * wide, -0.3, 0.42 * wide, 0.42))
        c.fill(oval(side * 0.36 * wide, 0.4, 0.32 * wide, 0.32), c.accent)
        c.fill(disc(side * 0.5 * wide, -0.3, 0.13 * wide), WHITE, rim=False)
        c.fill(limb(0, -0.4, side * 0.25, -0.9, 0.025), DARK, rim=False)
    c.fill(limb(0, -0.45, 0, 0.6, 0.09, 0.05), DARK)


def chair(c: Canvas) -> None:
    """Paints a chair that rocks."""
    rock = c.moved(0, 0.2, 0.025 * c.swing())
    for x in (-0.45, 0.45):
        rock.fill(limb(x, 0.1, x * 1.1, 0.75, 0.06), c.ink * 0.7)
    rock.fill(limb(-0.45, -1.0, -0.45, 0.1, 0.07), c.ink * 0.8)
    for y in (-0.9, -0.6, -0.3):
        rock.fill(limb(-0.45, y, 0.3, y + 0.05, 0.05), c.ink * 0.9)
    rock.body(box(0.0, 0.08, 0.55, 0.1, 0.04))


def robot(c: Canvas) -> None:
    """Paints a robot that raises its arms."""
    lift = 0.5 * c.open()
    for side in (-1, 1):
        c.fill(limb(side * 0.5, 0.0, side * 0.85, 0.3 - lift, 0.09), GREY)
        c.fill(box(side * 0.25, 0.8, 0.14, 0.18), GREY)
        c.fill(limb(side * 0.2, -0.85, side * 0.25, -1.0, 0.03), SILVER)
    c.body(box(0, 0.2, 0.5, 0.42, 0.05))
    c.body(box(0, -0.55, 0.38, 0.28, 0.05))
    for side in (-1, 1):
        c.fill(box(side * 0.16, -0.6, 0.1, 0.08), c.accent)
    c.fill(box(0, -0.38, 0.2, 0.04), DARK, ruled(1 / 0.08), second=WHITE, rim=False)
    c.fill(disc(0, 0.2, 0.14), RED)


def mushroom(c: Canvas) -> None:
    """Paints a mushroom whose cap nods."""
    c.fill(lathe(0.0, 0.9, 0.2, 0.1), LIGHT)
    cap = c.moved(0, 0.0, 0.02 * c.swing())
    cap.body(oval(0, 0.05, 0.85, 0.75) & half(0, 1, 0.1))
    for x, y, r in ((-0.4, -0.2, 0.12), (0.1, -0.4, 0.14), (0.45, -0.1, 0.1)):
        cap.fill(disc(x, y, r), WHITE, rim=False)


def flag(c: Canvas) -> None:
    """Paints a flag that waves on its pole."""
    c.fill(limb(-0.7, -0.95, -0.7, 0.95, 0.05), SILVER)
    for k in range(6):
        y = -0.45 + 0.12 * c.swing(1, -0.12 * k)
        colour = c.accent if k in (2, 3) else c.ink
        c.fill(box(-0.53 + 0.26 * k, y, 0.14, 0.42), colour, rim=False)


def drum(c: Canvas) -> None:
    """Paints a drum and two sticks that strike in turn."""
    c.body(box(0, 0.45, 0.7, 0.4))
    for k in range(-2, 3):
        c.fill(limb(0.3 * k, 0.1, 0.3 * k + 0.15, 0.82, 0.025), GOLD, rim=False)
    c.fill(oval(0, 0.08, 0.7, 0.2), WHITE)
    for side in (-1, 1):
        hit = 0.45 * c.open(1, 0.25 * (1 + side))
        c.fill(limb(side * 0.85, -0.6, side * 0.2, 0.0 - hit, 0.045, 0.06), BROWN)


def snowman(c: Canvas) -> None:
    """Paints a snowman who lifts his hat."""
    for y, r in ((0.6, 0.42), (0.0, 0.32), (-0.45, 0.24)):
        c.fill(disc(0, y, r), WHITE)
    for x in (-0.09, 0.09):
        c.fill(disc(x, -0.5, 0.04), DARK, rim=False)
    c.fill(limb(0.0, -0.42, 0.25, -0.38, 0.06, 0.02), hsv(0.07, 0.85, 0.95))
    up = 0.2 * c.open()
    c.fill(box(0, -0.66 - up, 0.32, 0.05), DARK)
    c.fill(box(0, -0.82 - up, 0.2, 0.15), DARK)
    c.body(box(0, -0.22, 0.28, 0.07, 0.05))
    s, t = float(sine(0.1)), float(cosine(0.1))
    for side in (-1, 1):
        c.fill(limb(side * 0.3, 0.0, side * (0.3 + 0.6 * s), -0.5 * t + 0.1, 0.035), BROWN)
