"""Drawings of people and animals, part by part on a `Canvas`; `appearance` assigns them."""

from __future__ import annotations

from avbook.world.canvas import (
    BLUE,
    BROWN,
    DARK,
    GOLD,
    GREY,
    LIGHT,
    PINK,
    RED,
    SILVER,
    WHITE,
    Canvas,
    hsv,
)
from avbook.world.sdf import box, disc, half, lathe, limb, oval

__all__ = ["person", "crowd", "hands", "pet", "hoofed", "chicken"]

MOUTH, FLOOR = hsv(0.98, 0.65, 0.42), 1.08  # FLOOR: where busts are cut off


def person(c: Canvas, kind: str = "man", doing: str = "talk") -> None:
    """Paints head and shoulders: kind man, woman, either or baby; doing talk, sing, cry or
    laugh."""
    kind = kind if kind != "either" else ("man" if c.vary[4] < 0 else "woman")
    hair = (DARK, BROWN, GOLD, hsv(0.05, 0.7, 0.55), GREY)[int((c.vary[5] + 1) * 2.49)]
    baby = kind == "baby"
    if kind == "woman":
        c.fill(box(0, 0.05, 0.5, 0.52 + 0.1 * c.vary[3], 0.35), hair)
    c.fill(oval(0, 1.0, 0.62 if baby else 0.8, 0.52) & half(0, 1, FLOOR), c.ink)
    c.fill(limb(0, 0.3, 0, 0.6, 0.15), c.skin, rim=False)
    head = c.moved(0, 0.03 * c.swing())
    if not baby:
        head.fill(oval(0, -0.3, 0.45, 0.5), hair)
    head.fill(oval(0, -0.12, 0.5 if baby else 0.4, 0.46), head.skin)
    if kind == "man" and c.vary[3] > 0.3:
        head.fill(oval(0, -0.1, 0.4, 0.47) & half(0, -1, -0.06), hair, rim=False)
    if kind == "woman":
        head.fill(oval(0, -0.32, 0.46, 0.36) & half(0.24, 0.97, -0.32), hair, rim=False)
    if baby:
        head.fill(limb(-0.02, -0.6, 0.1, -0.48, 0.06), hair)
        for x in (-0.28, 0.28):
            head.fill(disc(x, 0.02, 0.11), PINK, rim=False)
    shut = doing in ("cry", "laugh")
    for x in (-0.16, 0.16):
        head.fill(oval(x, -0.18, 0.085, 0.025 if shut else 0.065), DARK, rim=False)
    mouth = head.open()
    if doing == "laugh":
        head.fill(oval(0, 0.06, 0.24, 0.10 + 0.2 * mouth) & half(0, -1, -0.06), MOUTH)
    else:
        wide = {"talk": 0.13, "sing": 0.13, "cry": 0.22}[doing]
        tall = {
            "talk": 0.03 + 0.11 * mouth,
            "sing": 0.08 + 0.12 * mouth,
            "cry": 0.06 + 0.14 * mouth,
        }[doing]
        head.fill(oval(0, 0.14, wide, tall), MOUTH)
    if doing == "cry":
        fall = c.cycle()
        for x in (-0.3, 0.3):
            head.fill(oval(x, -0.05 + 0.45 * fall, 0.07, 0.1), BLUE, rim=False)
    if doing == "sing":
        c.fill(limb(0.15, 0.42, 0.55, 0.95, 0.07), DARK)
        c.fill(disc(0.12, 0.36, 0.16), SILVER)


def crowd(c: Canvas) -> None:
    """Paints three people who throw up their arms."""
    for k, (x, y) in enumerate(((-0.6, 0.1), (0.6, 0.1), (0.0, 0.3))):
        lift = c.open(1, 0.13 * k)
        shirt = (c.ink, c.accent, hsv(0.15 + 0.2 * k, 0.6, 0.8))[k]
        up = c.moved(x, y - 0.18 * lift)
        for side in (-1, 1):
            up.fill(limb(side * 0.2, 0.25, side * 0.3, -0.55 - 0.2 * lift, 0.075), up.skin)
        up.fill(box(0, 0.5, 0.26, 0.42, 0.15), shirt)
        up.fill(disc(0, -0.12, 0.22), up.skin)
        up.fill(oval(0, 0.0, 0.09, 0.02 + 0.06 * lift), hsv(0.98, 0.7, 0.4), rim=False)


def hands(c: Canvas) -> None:
    """Paints two hands that meet once per movement."""
    apart = 0.42 * (1 - c.open() / max(c.gain, 1e-6) * (0.5 + 0.5 * c.gain))
    for side in (-1, 1):
        hand = c.moved(side * (0.17 + apart), 0, side * (0.03 + 0.05 * apart))
        hand.fill(box(side * 0.1, 0.85, 0.2, 0.35, 0.05), c.ink)
        for k in range(4):
            hand.fill(
                limb(-0.17 + 0.115 * k, -0.1, -0.2 + 0.135 * k, -0.78 + 0.1 * abs(k - 1.5), 0.075),
                c.skin,
            )
        hand.fill(box(0, 0.2, 0.23, 0.4, 0.16), c.skin)
        hand.fill(limb(side * -0.2, 0.3, side * -0.42, -0.1, 0.08), c.skin)


def pet(c: Canvas, kind: str = "dog") -> None:
    """Paints a furry head that opens its mouth: kind dog, cat or mouse."""
    mouth = c.open()
    c.body(oval(0, 0.9, 0.62, 0.55) & half(0, 1, FLOOR))
    head = c.moved(0, -0.05 - 0.06 * mouth)
    if kind == "dog":
        head.body(oval(0, -0.12, 0.52, 0.5))
        for side in (-1, 1):
            head.fill(
                limb(side * 0.48, -0.4, side * (0.66 + 0.06 * mouth), 0.15, 0.14, 0.2), c.ink * 0.6
            )
        head.fill(oval(0, 0.3 + 0.1 * mouth, 0.22, 0.08 + 0.2 * mouth), hsv(0.97, 0.6, 0.5))
        head.fill(oval(0, 0.36 + 0.2 * mouth, 0.11, 0.04 + 0.13 * mouth), PINK, rim=False)
        head.fill(oval(0, 0.14, 0.29, 0.2), c.ink * 0.5 + LIGHT * 0.5)
        head.fill(oval(0, 0.03, 0.12, 0.08), DARK)
    else:
        for side in (-1, 1):
            if kind == "cat":
                ear = head.moved(side * 0.4, -0.48, side * 0.06)
                ear.body(lathe(-0.34, 0.3, 0, 0.37))
                ear.fill(lathe(-0.16, 0.2, 0, 0.21), PINK, rim=False)
            else:
                head.body(disc(side * 0.46, -0.42, 0.27))
                head.fill(disc(side * 0.46, -0.42, 0.17), PINK, rim=False)
        head.body(
            oval(0, -0.05, 0.58, 0.46) if kind == "cat" else limb(0, -0.12, 0, 0.26, 0.47, 0.24)
        )
        for k in (-1, 0, 1):
            head.fill(
                limb(0.15, 0.14 + 0.03 * k, 0.7, 0.1 + 0.14 * k, 0.014)
                | limb(-0.15, 0.14 + 0.03 * k, -0.7, 0.1 + 0.14 * k, 0.014),
                WHITE,
                rim=False,
            )
        head.fill(oval(0, 0.25, 0.13, 0.02 + 0.14 * mouth), hsv(0.97, 0.6, 0.45))
        if kind != "cat":
            head.fill(box(0, 0.34, 0.06, 0.08), WHITE)
        head.fill(oval(0, 0.1, 0.09, 0.06), PINK)
    for side in (-1, 1):
        if kind == "cat":
            head.fill(oval(side * 0.24, -0.14, 0.12, 0.12), hsv(0.2, 0.7, 0.85))
            head.fill(oval(side * 0.24, -0.14, 0.04, 0.11), DARK, rim=False)
        else:
            head.fill(disc(side * 0.22, -0.2, 0.085), DARK, rim=False)
            head.fill(disc(side * 0.22 - 0.03, -0.23, 0.03), WHITE, rim=False)


def hoofed(c: Canvas, kind: str = "horse") -> None:
    """Paints an animal on four moving legs: kind horse or goat."""
    legs, tall = c.swing(), 0.1 if kind == "horse" else 0.0
    for x, shift in ((-0.5, 0.0), (-0.33, 0.5), (0.22, 0.5), (0.38, 0.0)):
        step = 0.16 * c.swing(1, shift)
        c.fill(limb(x, 0.25, x + step, 0.88, 0.085, 0.06), c.ink * 0.8)
    tail = c.swing(1, 0.2)
    if kind == "horse":
        c.fill(limb(-0.66, 0.05, -0.9 + 0.1 * tail, 0.6, 0.06, 0.11), c.ink * 0.45)
    else:
        c.fill(limb(-0.62, 0.05, -0.78, -0.1 + 0.06 * tail, 0.06, 0.04), c.ink * 0.8)
    c.body(box(-0.08, 0.14, 0.62, 0.3, 0.28))
    nod = c.moved(0.4, 0.05, 0.015 * legs)
    nod.body(limb(0.0, 0.0, 0.25, -0.55 - tall, 0.22, 0.14))
    if kind == "horse":
        nod.fill(limb(-0.14, -0.05, 0.1, -0.72, 0.1, 0.08), c.ink * 0.45)
    jaw = 0.12 * c.open()
    nod.fill(limb(0.25, -0.5 - tall, 0.52, -0.26 + jaw, 0.1, 0.07), c.ink * 0.75)
    nod.body(limb(0.22, -0.6 - tall, 0.58, -0.38, 0.15, 0.1))
    if kind == "goat":
        nod.fill(limb(0.5, -0.25 + jaw, 0.47, 0.0 + jaw, 0.07, 0.02), LIGHT)
        nod.fill(
            limb(0.18, -0.7, 0.05, -0.98, 0.065, 0.035)
            | limb(0.05, -0.98, -0.2, -0.9, 0.045, 0.02),
            GREY,
        )
    nod.fill(limb(0.13, -0.72 - tall, 0.08, -0.88 - tall, 0.06, 0.02), c.ink * 0.7)
    nod.fill(disc(0.3, -0.58 - tall, 0.045), DARK, rim=False)


def chicken(c: Canvas) -> None:
    """Paints a hen that pecks and opens its beak."""
    peck = c.swing()
    c.fill(limb(-0.5, 0.1, -0.8, -0.35 + 0.06 * peck, 0.25, 0.12), c.ink * 0.55)
    for x in (-0.12, 0.12):
        c.fill(limb(x, 0.5, x + 0.03, 0.9, 0.045), GOLD)
    c.body(oval(-0.08, 0.22, 0.6, 0.42))
    c.fill(oval(-0.18, 0.2, 0.32, 0.2 + 0.08 * c.open()), c.ink * 0.7)
    head = c.moved(0.35, 0.1, 0.03 * peck)
    head.body(limb(-0.02, 0.0, 0.13, -0.55, 0.26, 0.18))
    for k in range(3):
        head.fill(disc(0.02 + 0.12 * k, -0.78 + 0.04 * abs(k - 1), 0.1), RED)
    beak = 0.1 * c.open()
    head.fill(limb(0.28, -0.55, 0.48, -0.55 - beak, 0.07, 0.015), GOLD)
    head.fill(limb(0.28, -0.52, 0.46, -0.48 + beak, 0.06, 0.015), GOLD)
    head.fill(oval(0.24, -0.3, 0.07, 0.13), RED)
    head.fill(disc(0.17, -0.6, 0.045), DARK, rim=False)
