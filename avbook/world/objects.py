"""Drawings of vehicles, instruments and machines, part by part; `appearance` assigns them."""

from __future__ import annotations

import numpy as np

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
from avbook.world.sdf import (
    FAR,
    Shape,
    box,
    cosine,
    disc,
    half,
    lathe,
    limb,
    oval,
    ripple,
    ruled,
    sine,
)

__all__ = [
    "vehicle",
    "motorcycle",
    "train",
    "aeroplane",
    "helicopter",
    "plucked",
    "bowed",
    "flute",
    "shofar",
    "accordion",
    "bell",
    "clock",
    "alarm",
    "telephone",
    "pan",
    "toilet",
    "chainsaw",
    "mower",
    "vacuum",
    "blender",
    "ball",
]


def _wheel(c, x, y, r):
    c.fill(disc(x, y, r), DARK)
    hub = c.moved(x, y, c.cycle())
    hub.fill(disc(0, 0, r * 0.55), SILVER)
    hub.fill(box(0, 0, r * 0.5, r * 0.1) | box(0, 0, r * 0.1, r * 0.5), GREY, rim=False)


def vehicle(c: Canvas, kind: str = "car") -> None:
    """Paints a vehicle from its side: kind car, race, truck or bus."""
    wheels: tuple[tuple[float, float, float], ...]  # centre and radius
    if kind == "car":
        c.body(box(0.02, -0.12, 0.5, 0.32, 0.2))
        c.fill(box(-0.2, -0.15, 0.2, 0.17, 0.06), GLASS)
        c.fill(box(0.25, -0.15, 0.18, 0.17, 0.06), GLASS)
        c.body(box(0, 0.22, 0.92, 0.24, 0.14))
        c.fill(disc(0.84, 0.16, 0.08), LIGHT)
        wheels = ((-0.5, 0.45, 0.22), (0.52, 0.45, 0.22))
    elif kind == "race":
        c.fill(box(-0.8, -0.16, 0.16, 0.05), c.accent)
        c.fill(box(-0.78, 0.02, 0.05, 0.18), DARK)
        c.body(limb(-0.7, 0.22, 0.85, 0.32, 0.24, 0.09))
        c.fill(disc(-0.02, -0.06, 0.16), c.accent)
        c.fill(box(0.04, -0.04, 0.1, 0.06), DARK, rim=False)
        c.fill(disc(-0.42, 0.22, 0.15), WHITE)
        c.fill(box(-0.42, 0.22, 0.035, 0.1), DARK, rim=False)
        c.fill(box(0.86, 0.42, 0.14, 0.04), c.accent)
        wheels = ((-0.58, 0.42, 0.24), (0.55, 0.44, 0.2))
    elif kind == "truck":
        c.fill(box(0, 0.36, 0.95, 0.08), GREY)
        c.body(box(-0.32, -0.18, 0.62, 0.5, 0.03))
        c.fill(box(0.62, 0.05, 0.3, 0.34, 0.1), c.accent)
        c.fill(box(0.7, -0.06, 0.17, 0.14, 0.04), GLASS)
        c.fill(limb(0.34, -0.2, 0.34, -0.6, 0.05), SILVER)
        wheels = ((-0.62, 0.5, 0.19), (-0.18, 0.5, 0.19), (0.6, 0.5, 0.19))
    else:
        c.body(box(0, -0.05, 0.95, 0.5, 0.12))
        for k in range(5):
            c.fill(box(-0.72 + 0.32 * k, -0.2, 0.125, 0.16, 0.03), GLASS)
        c.fill(box(0, 0.16, 0.94, 0.05), c.accent, rim=False)
        c.fill(box(0.56, 0.2, 0.12, 0.22), c.ink * 0.6)
        wheels = ((-0.55, 0.48, 0.19), (0.55, 0.48, 0.19))
    for x, y, r in wheels:
        _wheel(c, x, y, r)


def motorcycle(c: Canvas) -> None:
    """Paints two wheels, a tank and an exhaust that puffs."""
    for x in (-0.62, 0.62):
        _wheel(c, x, 0.42, 0.33)
    c.fill(limb(0.62, 0.42, 0.36, -0.3, 0.06), SILVER)
    c.fill(limb(0.36, -0.3, 0.2, -0.42, 0.05), DARK)
    c.fill(limb(-0.62, 0.42, 0.1, 0.34, 0.08), GREY)
    c.fill(oval(-0.02, 0.28, 0.26, 0.2), SILVER)
    c.fill(limb(-0.95, 0.42, -0.1, 0.5, 0.07, 0.05), SILVER)
    c.body(oval(0.1, -0.06, 0.32, 0.17))
    c.fill(limb(-0.65, -0.08, -0.2, 0.02, 0.1, 0.12), DARK)
    c.fill(disc(0.47, -0.18, 0.11), GOLD)
    puff = c.cycle()
    c.fill(
        disc(-0.98, 0.38 - 0.2 * puff, 0.05 + 0.12 * puff),
        LIGHT,
        rim=False,
        opacity=0.8 * (1 - puff),
    )


def train(c: Canvas) -> None:
    """Paints a locomotive with turning wheels and smoke."""
    puff = c.cycle()
    for k in range(2):
        step = (puff + 0.5 * k) - np.floor(puff + 0.5 * k)
        c.fill(
            disc(0.5 - 0.7 * step, -0.68 - 0.2 * step, 0.1 + 0.16 * step),
            WHITE,
            rim=False,
            opacity=0.9 * (1 - step) * (0.4 + 0.6 * c.gain),
        )
    c.fill(lathe(-0.7, -0.1, 0.15, -0.16, 0.12, x=0.5), DARK)
    c.body(box(0.25, 0.05, 0.6, 0.28, 0.12))
    c.body(box(-0.55, -0.15, 0.36, 0.55, 0.04))
    c.fill(box(-0.55, -0.68, 0.44, 0.07), c.accent)
    c.fill(box(-0.55, -0.3, 0.2, 0.19, 0.03), GLASS)
    c.fill(box(0.1, 0.05, 0.05, 0.28), GOLD, rim=False)
    c.fill(disc(0.86, 0.0, 0.12), GOLD)
    c.fill(limb(0.75, 0.35, 0.98, 0.62, 0.08), RED)
    for x in (-0.65, -0.1, 0.42):
        _wheel(c, x, 0.5, 0.24)
    c.fill(limb(-0.65 + 0.12 * c.swing(), 0.5, 0.42 + 0.12 * c.swing(), 0.5, 0.035), SILVER)


def aeroplane(c: Canvas) -> None:
    """Paints an aeroplane with a propeller."""
    c.fill(limb(0.1, -0.08, -0.25, -0.6, 0.13, 0.06), c.ink * 0.75)
    c.body(limb(-0.95, -0.5, -0.62, 0.0, 0.1, 0.16) & half(0, 1, 0.1))
    c.body(limb(-0.75, -0.02, 0.75, 0.05, 0.15, 0.22))
    for k in range(6):
        c.fill(disc(-0.45 + 0.18 * k, -0.04, 0.045), DARK, rim=False)
    c.fill(limb(0.72, -0.06, 0.85, -0.02, 0.07), GLASS)
    c.fill(limb(0.12, 0.12, -0.4, 0.62, 0.15, 0.07), c.accent)
    c.fill(limb(-0.7, 0.04, -0.95, 0.2, 0.07, 0.04), c.accent)
    blade = 0.42 * cosine(c.turn)[:, None, None]
    c.fill(limb(1.0, 0.05 - blade, 1.0, 0.05 + blade, 0.045), DARK)


def helicopter(c: Canvas) -> None:
    """Paints a helicopter; the rotor makes half a turn per movement."""
    c.body(limb(-0.95, -0.1, -0.1, 0.1, 0.06, 0.15))
    c.body(oval(0.3, 0.15, 0.55, 0.4))
    c.fill(oval(0.36, 0.1, 0.44, 0.28) & half(-1, 0, -0.3), GLASS)
    c.fill(limb(-0.95, -0.35, -0.9, 0.1, 0.07, 0.05), c.accent)
    c.fill(limb(0.25, -0.2, 0.25, -0.52, 0.06), GREY)
    span = 0.35 + 0.65 * np.abs(cosine(c.turn / 2))[:, None, None]
    c.fill(limb(0.25 - span, -0.54, 0.25 + span * 0.75, -0.54, 0.045), DARK)
    tail = c.moved(-0.95, -0.12, c.cycle())
    tail.fill(limb(0, -0.22, 0, 0.22, 0.035), DARK)
    c.fill(
        limb(-0.15, 0.78, 0.8, 0.78, 0.045)
        | limb(0.05, 0.5, 0.0, 0.78, 0.03)
        | limb(0.5, 0.5, 0.55, 0.78, 0.03),
        GREY,
    )


def _strings(c, x, y0, y1, count, gap, width=0.012):
    for k in range(count):
        at = x + (k - (count - 1) / 2) * gap + 0.012 * c.swing(1, 0.25 * k)
        c.fill(box(at, (y0 + y1) / 2, width, (y1 - y0) / 2), LIGHT, rim=False)


def plucked(c: Canvas, kind: str = "guitar") -> None:
    """Paints a plucked string instrument and the hand that strums: kind guitar, ukulele, banjo or
    mandolin."""
    lean = c.moved(0, 0, 0.11 + 0.02 * c.vary[2])
    neck = {"guitar": 1.0, "ukulele": 0.78, "banjo": 1.0, "mandolin": 0.85}[kind]
    lean.fill(box(0, -0.45 * neck, 0.07, 0.55 * neck), BROWN)
    for k in range(5):
        lean.fill(box(0, -0.25 - 0.14 * k * neck, 0.07, 0.012), GOLD, rim=False)
    lean.fill(box(0, -0.98 * neck, 0.11, 0.12, 0.03), DARK)
    if kind == "banjo":
        lean.body(disc(0, 0.45, 0.5))
        lean.fill(disc(0, 0.45, 0.4), LIGHT)
    elif kind == "mandolin":
        lean.body(lathe(-0.2, 0.9, 0.12, 1.25, -1.1))
        lean.fill(disc(0, 0.3, 0.12), DARK)
    else:
        big = 0.46 if kind == "guitar" else 0.38
        lean.body(disc(0, 0.58, big) | disc(0, 0.05, big * 0.76) | box(0, 0.3, big * 0.62, 0.26))
        lean.fill(disc(0, 0.26, 0.16), DARK)
    lean.fill(box(0, 0.62, 0.15, 0.035), DARK, rim=False)
    _strings(lean, 0, -0.9 * neck, 0.62, 4, 0.035)
    strum = c.swing()
    c.fill(limb(0.85, 0.75, 0.12 + 0.12 * strum, 0.28 + 0.2 * strum, 0.15, 0.11), c.accent)
    c.fill(oval(0.04 + 0.12 * strum, 0.26 + 0.2 * strum, 0.16, 0.13), c.skin)


def bowed(c: Canvas, kind: str = "violin") -> None:
    """Paints a bowed string instrument and its bow: kind violin or cello."""
    lean = c.moved(0, 0.0, -0.07 if kind == "violin" else 0.02)
    fat = 1.0 if kind == "violin" else 1.12
    if kind == "cello":
        lean.fill(limb(0, 0.7, 0, 1.05, 0.025), SILVER)
    lean.fill(box(0, -0.55, 0.055, 0.4), DARK)
    lean.fill(disc(0, -0.95, 0.09), BROWN)
    lean.body(disc(0, -0.06, 0.3 * fat) | disc(0, 0.5, 0.38 * fat) | box(0, 0.2, 0.19 * fat, 0.3))
    for side in (-1, 1):
        lean.fill(limb(side * 0.14, 0.12, side * 0.19, 0.36, 0.022), DARK, rim=False)
    lean.fill(lathe(0.42, 0.75, 0.06, 0.04), DARK)
    _strings(lean, 0, -0.9, 0.5, 3, 0.04)
    slide = 0.36 * c.swing()
    bow = c.moved(slide, 0.22, 0.045 if kind == "violin" else -0.02)
    bow.fill(limb(-0.75, 0.0, 0.75, 0.0, 0.022), LIGHT, rim=False)
    bow.fill(limb(-0.78, -0.08, 0.75, -0.06, 0.03), BROWN)
    bow.fill(disc(0.76, -0.01, 0.15), c.skin)


def _player(c, x, y, r):
    c.fill(disc(x + 0.05 * r, y - 0.15 * r, r * 1.05), BROWN)
    c.fill(disc(x + 0.16 * r, y, r * 0.95), c.skin)
    c.fill(limb(x + 0.95 * r, y + 0.1 * r, x + 1.12 * r, y + 0.3 * r, 0.13 * r), c.skin, rim=False)
    c.fill(disc(x + 0.55 * r, y - 0.15 * r, 0.11 * r), DARK, rim=False)


def flute(c: Canvas) -> None:
    """Paints a player's head and a long tube under moving fingers."""
    _player(c, -0.72, -0.1, 0.34)
    tube = c.moved(0.2, 0.14, 0.03 + 0.008 * c.swing())
    tube.body(box(0.05, 0, 0.9, 0.13, 0.05))
    for x in (-0.5, 0.3, 0.78):
        tube.fill(box(x, 0, 0.035, 0.13), GOLD, rim=False)
    tube.fill(oval(-0.68, -0.05, 0.09, 0.05), DARK, rim=False)
    for x in (-0.16, 0.48):
        tube.fill(box(x, 0.34, 0.22, 0.14, 0.13), c.skin)
    for k in range(6):
        x = -0.32 + 0.16 * k + (0.16 if k > 2 else 0)
        tube.fill(disc(x, 0, 0.06), GOLD)
        lift = 0.2 * c.open(1, 0.17 * k)
        tube.fill(limb(x + 0.02, 0.3, x, 0.04 - lift, 0.055, 0.045), c.skin)


def shofar(c: Canvas) -> None:
    """Paints a player's head and a curved horn that widens upwards."""
    horn = c.moved(-0.3, 0.36, -0.02 + 0.02 * c.swing())
    tip, bell_end = limb(0.0, 0.0, 0.55, 0.06, 0.04, 0.13), limb(0.9, -0.3, 1.05, -0.85, 0.2, 0.27)
    bow = tip | bell_end | limb(0.55, 0.06, 0.9, -0.3, 0.13, 0.2)
    horn.body(bow & half(0.24, -0.97, 1.2))
    horn.fill(
        bow.grown(-0.03) & half(1, 0, 0.5),
        c.ink * 0.75,
        ruled(1 / 0.14, duty=0.4),
        second=c.ink * 0.5,
        rim=False,
    )
    mouth = horn.moved(1.08, -0.94, 0.04)
    mouth.fill(oval(0, 0, 0.28, 0.1), DARK)
    _player(c, -0.72, 0.28, 0.34 + 0.03 * c.open())
    c.fill(limb(-0.6, 1.0, 0.05, 0.4, 0.13, 0.12), c.accent)
    c.fill(disc(0.08, 0.36, 0.14), c.skin)


def accordion(c: Canvas) -> None:
    """Paints bellows that open and close between keys and buttons."""
    pull = 0.16 + 0.26 * c.open()
    c.fill(box(0, 0, pull + 0.08, 0.48), c.accent, ruled(1 / (0.28 * pull)), second=c.accent * 0.45)
    for side in (-1, 1):
        end = c.moved(side * (pull + 0.27), 0, side * 0.02 * c.swing())
        end.body(box(0, 0, 0.24, 0.62, 0.08))
        if side < 0:
            end.fill(
                box(-0.12, 0, 0.1, 0.52),
                DARK,
                ruled(0, 1 / 0.14, duty=0.75),
                second=WHITE,
                rim=False,
            )
        else:
            for k in range(8):
                end.fill(
                    disc(0.04 + 0.12 * (k % 2), -0.4 + 0.26 * (k // 2), 0.045), WHITE, rim=False
                )


def bell(c: Canvas) -> None:
    """Paints a bell under a beam, its clapper swinging against it."""
    c.fill(box(0, -0.9, 0.6, 0.08), BROWN)
    c.fill(disc(0, -0.75, 0.14), c.ink * 0.7)
    clap = 0.22 * c.swing(1, 0.5)
    c.fill(limb(0, 0.3, clap, 0.72, 0.05), DARK)
    c.fill(disc(clap, 0.74, 0.14), DARK)
    c.body(lathe(-0.72, 0.6, 0.24, 0.18, 0.24))
    c.fill(box(0, 0.52, 0.68, 0.09, 0.08), c.ink * 0.75)
    c.fill(box(0, -0.2, 0.37, 0.03), c.ink * 0.6, rim=False)


def clock(c: Canvas) -> None:
    """Paints a clock whose second hand jumps once per movement, and its pendulum."""
    c.fill(box(0, 0.5, 0.3, 0.5, 0.06), c.ink * 0.55)
    swing = c.moved(0, 0.0, 0.06 * c.swing())
    swing.fill(limb(0, 0.2, 0, 0.75, 0.025), GOLD, rim=False)
    swing.fill(disc(0, 0.78, 0.14), GOLD)
    c.body(disc(0, -0.25, 0.68))
    c.fill(disc(0, -0.25, 0.56), WHITE)
    for k in range(12):
        s, t = float(sine(k / 12)), float(cosine(k / 12))
        c.fill(limb(0.46 * s, -0.25 - 0.46 * t, 0.51 * s, -0.25 - 0.51 * t, 0.03), DARK, rim=False)
    tick = (np.floor(c.turn) / 12)[:, None, None]
    for turns, length, width in (
        (tick + c.vary[2], 0.42, 0.03),
        (np.float64(c.vary[3]), 0.28, 0.05),
    ):
        x, y = length * sine(turns), -0.25 - length * cosine(turns)
        c.fill(limb(0, -0.25, x, y, width), DARK, rim=False)


def alarm(c: Canvas) -> None:
    """Paints a fire alarm: a flashing lamp and a hammer on a gong."""
    c.body(box(0, 0.0, 0.68, 0.86, 0.1))
    flash = c.open()
    c.fill(box(0, -0.52, 0.42, 0.18, 0.08), GLASS * 0.7)
    c.fill(box(0, -0.52, 0.38, 0.15, 0.06), WHITE, rim=False, opacity=flash)
    c.fill(disc(0.0, 0.25, 0.46), SILVER)
    c.fill(disc(0.0, 0.25, 0.3), SILVER * 0.8)
    c.fill(disc(0.0, 0.25, 0.12), DARK)
    c.fill(limb(0.62, 0.8, 0.42 + 0.14 * c.swing(), 0.48, 0.05, 0.1), DARK)


def telephone(c: Canvas) -> None:
    """Paints a dial telephone whose receiver jumps."""
    c.body(lathe(-0.15, 0.8, 0.42, 0.5, -0.1))
    c.fill(disc(0, 0.38, 0.34), WHITE)
    for k in range(10):
        s, t = float(sine(k / 12)), float(cosine(k / 12))
        c.fill(disc(0.23 * s, 0.38 - 0.23 * t, 0.055), DARK, rim=False)
    c.fill(disc(0, 0.38, 0.1), c.ink)
    grip = c.moved(0, -0.38 - 0.14 * c.open(), 0.025 * c.swing())
    grip.fill(limb(-0.65, 0.0, 0.65, 0.0, 0.12), c.ink * 0.85)
    for side in (-1, 1):
        grip.fill(box(side * 0.72, 0.12, 0.2, 0.18, 0.1), c.ink * 0.85)


def pan(c: Canvas) -> None:
    """Paints food in a pan, with bubbles that grow and fade."""
    c.fill(limb(0.45, -0.45, 1.0, -1.0, 0.1, 0.13), BROWN)
    c.fill(disc(-0.08, 0.1, 0.8), GREY * 0.6)
    c.fill(disc(-0.08, 0.1, 0.68), hsv(0.11, 0.45, 0.36))
    for k in range(3):
        x, y = (
            -0.08 + 0.34 * float(sine(k / 3 + c.vary[2])),
            0.1 + 0.34 * float(cosine(k / 3 + c.vary[2])),
        )
        hop = 0.04 * c.swing(1, k / 3)
        if c.vary[3] > 0:
            c.fill(oval(x, y + hop, 0.27, 0.23), WHITE)
            c.fill(disc(x, y + hop, 0.1), GOLD)
        else:
            c.body(oval(x, y + hop, 0.27, 0.2))
    for k in range(7):
        s, t, grow = (
            float(sine(0.31 * k + 0.1)),
            float(cosine(0.31 * k + 0.1)),
            c.cycle(1, 0.37 * k),
        )
        r = 0.2 + 0.4 * ((k * 3) % 7) / 7
        c.fill(
            disc(-0.08 + r * s, 0.1 + r * t, 0.02 + 0.1 * c.gain * grow),
            hsv(0.12, 0.3, 1.0),
            opacity=0.9 * (1 - grow * grow),
        )


def toilet(c: Canvas) -> None:
    """Paints a toilet whose water whirls once per movement."""
    c.body(box(0, -0.6, 0.55, 0.34, 0.08))
    c.fill(limb(-0.38, -0.72, -0.2, -0.72 + 0.1 * c.open(), 0.045), SILVER)
    c.body(lathe(0.2, 0.95, 0.5, -0.5, 0.18))
    c.fill(oval(0, 0.2, 0.66, 0.46), c.ink * 0.9)
    c.fill(oval(0, 0.2, 0.5, 0.33), hsv(0.55, 0.45, 0.72))
    whirl = c.moved(0, 0.2)
    for k in range(3):
        turns = c.cycle() + k / 3
        whirl.fill(
            limb(
                0.4 * cosine(turns),
                0.26 * sine(turns),
                0.12 * cosine(turns + 0.2),
                0.08 * sine(turns + 0.2),
                0.05,
                0.03,
            ),
            WHITE,
            rim=False,
        )
    whirl.fill(oval(0, 0, 0.1 + 0.06 * c.open(), 0.06), BLUE * 0.5, rim=False)


def chainsaw(c: Canvas) -> None:
    """Paints a chainsaw: running teeth, flying chips."""
    c.fill(
        box(0.45, 0.1, 0.55, 0.17, 0.16),
        DARK,
        ruled(1 / 0.15, shift=-2 * c.cycle()),
        second=SILVER,
        rim=False,
    )
    c.fill(box(0.42, 0.1, 0.5, 0.1, 0.1), SILVER)
    c.fill(limb(-0.45, -0.4, 0.0, -0.28, 0.07), DARK)
    c.fill(limb(-0.45, -0.4, -0.55, 0.0, 0.07), DARK)
    c.body(box(-0.35, 0.12, 0.4, 0.32, 0.1))
    c.fill(box(-0.35, 0.05, 0.2, 0.08), c.accent, rim=False)
    c.fill(limb(-0.75, 0.3, -0.98, 0.05, 0.08), DARK)
    chips = c.cycle()
    for k in range(3):
        c.fill(
            disc(0.95 - 0.3 * k + 0.2 * chips, 0.32 + 0.5 * chips, 0.05),
            GOLD,
            rim=False,
            opacity=1 - chips,
        )


def mower(c: Canvas) -> None:
    """Paints a lawn mower and the grass it throws."""
    c.fill(limb(-0.35, 0.2, -0.95, -0.75, 0.055), DARK)
    c.fill(limb(-0.98, -0.75, -0.7, -0.8, 0.07), GREY)
    c.body(lathe(0.05, 0.55, 0.42, 0.5, -0.1, x=0.1))
    c.fill(box(0.1, -0.08, 0.26, 0.2, 0.08), GREY)
    c.fill(box(0.1, -0.3, 0.14, 0.07, 0.03), DARK)
    _wheel(c, -0.4, 0.58, 0.22)
    _wheel(c, 0.62, 0.6, 0.2)
    grass = c.cycle()
    for k in range(4):
        c.fill(
            limb(
                0.85 + 0.05 * k + 0.1 * grass,
                0.7 - 0.5 * grass * (0.5 + 0.15 * k),
                0.9 + 0.06 * k + 0.1 * grass,
                0.6 - 0.5 * grass * (0.5 + 0.15 * k),
                0.035,
            ),
            hsv(0.3, 0.7, 0.6),
            rim=False,
            opacity=1 - grass,
        )


def vacuum(c: Canvas) -> None:
    """Paints a vacuum cleaner whose nozzle moves back and forth."""
    push = 0.2 * c.swing()
    c.fill(
        limb(-0.55, 0.1, -0.35, -0.45, 0.07)
        | limb(-0.35, -0.45, 0.2, -0.62, 0.07)
        | limb(0.2, -0.62, 0.5, -0.4, 0.07),
        DARK,
    )
    c.body(box(-0.45, 0.4, 0.45, 0.35, 0.25))
    _wheel(c, -0.62, 0.68, 0.2)
    c.fill(box(-0.3, 0.3, 0.16, 0.09, 0.04), c.accent)
    c.fill(limb(0.5, -0.4, 0.75 + push, 0.68, 0.065), SILVER)
    c.fill(box(0.75 + push, 0.76, 0.25, 0.09, 0.05), c.ink * 0.6)


def blender(c: Canvas) -> None:
    """Paints a jug of something swirling."""
    c.body(lathe(0.42, 0.95, 0.34, 0.18))
    c.fill(disc(0, 0.7, 0.11), SILVER)
    c.fill(lathe(-0.68, 0.42, 0.48, -0.16), GLASS)
    spin = c.cycle()
    drink = Shape(
        (-FAR, -FAR, FAR, FAR),
        lambda p: 0.1 * ripple(p.u * np.float32(1.3) + spin) - np.float32(0.15) - p.v,
    )
    c.fill(
        lathe(-0.66, 0.40, 0.44, -0.15) & drink,
        c.accent,
        ruled(1.2, 2.4, shift=spin),
        second=c.accent * 0.65 + WHITE * 0.35,
    )
    c.fill(box(0, -0.76, 0.5, 0.11, 0.05), c.ink * 0.6)
    c.fill(oval(0.56, -0.15, 0.2, 0.32).hollow(0.05), GLASS * 0.8)


def ball(c: Canvas) -> None:
    """Paints a basketball that turns once per movement."""
    spin = c.moved(0, 0, c.cycle())
    spin.body(disc(0, 0, 0.5))
    lines = (
        box(0, 0, 0.5, 0.028)
        | box(0, 0, 0.028, 0.5)
        | disc(-0.72, 0, 0.48).hollow(0.028)
        | disc(0.72, 0, 0.48).hollow(0.028)
    )
    spin.fill(lines & disc(0, 0, 0.47), DARK, rim=False)
