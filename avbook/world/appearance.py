"""Appearance of AVE's 28 and LLP's 25 categories: a drawing, colours, a texture and a motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avbook.errors import AvbookError
from avbook.world import corpus_objects as corpus
from avbook.world.canvas import Canvas, hsv
from avbook.world.creatures import chicken, crowd, hands, hoofed, person, pet
from avbook.world.objects import (
    accordion,
    aeroplane,
    alarm,
    ball,
    bell,
    blender,
    bowed,
    chainsaw,
    clock,
    flute,
    helicopter,
    motorcycle,
    mower,
    pan,
    plucked,
    shofar,
    telephone,
    toilet,
    train,
    vacuum,
    vehicle,
)

__all__ = [
    "STRAY",
    "APPEARANCES",
    "CORPUS_APPEARANCES",
    "TWINS",
    "Appearance",
    "sample_instance",
    "appearance_of",
]

# from and to of a hue (turns), of a saturation and of a value
Ranges = tuple[float, float, float, float, float, float]
STRAY = 0.08  # share of the individuals whose colour is any colour at all


@dataclass(frozen=True)
class Appearance:
    """How one category is drawn."""

    shape: Callable[..., None]  # paints the parts on a Canvas
    colour: Ranges  # of the body
    texture: str = "plain"  # a name in canvas.TEXTURES
    motion: str = "bob"  # a name in canvas.MOTIONS: how the whole body moves
    options: tuple[tuple[str, str], ...] = ()  # further arguments of the shape function
    family: str = ""  # shared with the categories that it is easily confused with
    accent: Ranges = (0.0, 1.0, 0.3, 0.9, 0.5, 0.95)  # of the second colour

    def paint(
        self,
        canvas: Canvas,  # with its coordinates and colours set
    ) -> Canvas:
        """The canvas with the thing painted on it."""
        self.shape(canvas, **dict(self.options))
        return canvas


def sample_instance(
    look: Appearance,  # its kind
    seed: int,  # of a source
    colour: float = 1.0,  # times STRAY: 0 for individuals true to their kind
) -> dict:
    """What distinguishes one individual, as arguments of Canvas: vary, ink, accent, skin,
    texture."""
    r = np.random.default_rng([int(seed) & 0xFFFFFFFF, 11]).random(19)
    stray = STRAY * colour
    return {
        "vary": tuple((2 * r[:8] - 1).tolist()),
        "ink": _sample_colour(look.colour, r[8:12], stray),
        "accent": _sample_colour(look.accent, r[12:16], stray),
        "skin": hsv(0.05 + 0.04 * r[16], 0.3 + 0.3 * r[17], 0.45 + 0.52 * r[18]),
        "texture": look.texture,
    }


def _sample_colour(ranges: Ranges, draws, stray):
    """A colour within the ranges by three draws; any colour where the fourth is below `stray`."""
    (h0, h1, s0, s1, v0, v1), (a, b, c, chance) = ranges, draws
    if chance < stray:
        return hsv(a, 0.15 + 0.7 * b, 0.35 + 0.6 * c)
    return hsv(h0 + (h1 - h0) * a, s0 + (s1 - s0) * b, v0 + (v1 - v0) * c)


def _near(hue, saturation, value, width=0.03, spread=0.1) -> Ranges:
    """Ranges around a colour."""
    return (
        hue - width,
        hue + width,
        saturation - spread,
        saturation + spread,
        value - spread,
        value + spread,
    )


def _look(shape, colour, texture, motion, family, accent=Appearance.accent, **options):
    return Appearance(shape, colour, texture, motion, tuple(options.items()), family, accent)


# fmt: off
# AVE's categories, then those that LLP alone has
APPEARANCES = {
    "Church bell": _look(bell, _near(0.13, 0.75, 0.8), "gloss", "swing", "bells"),
    "Male speech, man speaking": _look(person, _near(0.6, 0.5, 0.4, 0.12, 0.2), "plain", "nod",
        "faces", kind="man"),
    "Bark": _look(pet, _near(0.08, 0.6, 0.6), "fur", "nod", "pets", kind="dog"),
    "Fixed-wing aircraft, airplane": _look(aeroplane, _near(0.55, 0.08, 0.9, 0.1, 0.05), "gloss",
        "fly", "aircraft", accent=_near(0.62, 0.7, 0.75)),
    "Race car, auto racing": _look(vehicle, _near(1.0, 0.85, 0.85, 0.02), "plain", "drive",
        "vehicles", accent=_near(0.14, 0.85, 0.95), kind="race"),
    "Female speech, woman speaking": _look(person, _near(0.9, 0.5, 0.6, 0.15, 0.2), "plain", "nod",
        "faces", kind="woman"),
    "Helicopter": _look(helicopter, _near(0.24, 0.6, 0.45, 0.05), "plain", "fly", "aircraft",
        accent=_near(0.1, 0.8, 0.9)),
    "Violin, fiddle": _look(bowed, _near(0.04, 0.8, 0.6, 0.02), "grain", "sway", "bowed",
        kind="violin"),
    "Flute": _look(flute, _near(0.55, 0.08, 0.9, 0.05, 0.05), "gloss", "sway", "winds"),
    "Ukulele": _look(plucked, _near(0.09, 0.75, 0.85, 0.02), "grain", "sway", "plucked",
        accent=_near(0.35, 0.6, 0.7), kind="ukulele"),
    "Frying (food)": _look(pan, _near(0.04, 0.7, 0.6), "grain", "jitter", "kitchen"),
    "Truck": _look(vehicle, _near(0.58, 0.7, 0.7), "bands", "drive", "vehicles",
        accent=_near(0.58, 0.8, 0.8), kind="truck"),
    "Shofar": _look(shofar, _near(0.1, 0.35, 0.85), "grain", "nod", "winds",
        accent=_near(0.66, 0.5, 0.35)),
    "Motorcycle": _look(motorcycle, _near(0.83, 0.7, 0.5, 0.05), "gloss", "drive", "vehicles"),
    "Acoustic guitar": _look(plucked, _near(0.1, 0.65, 0.8, 0.02), "grain", "sway", "plucked",
        accent=_near(0.62, 0.5, 0.6), kind="guitar"),
    "Train horn": _look(train, _near(0.4, 0.75, 0.45), "bands", "drive", "vehicles",
        accent=_near(0.0, 0.8, 0.8)),
    "Clock": _look(clock, _near(0.06, 0.6, 0.45), "grain", "still", "bells"),
    "Banjo": _look(plucked, _near(0.08, 0.5, 0.6, 0.02), "grain", "sway", "plucked",
        accent=_near(0.0, 0.6, 0.6), kind="banjo"),
    "Goat": _look(hoofed, _near(0.11, 0.15, 0.9), "patches", "bob", "hoofed", kind="goat"),
    "Baby cry, infant cry": _look(person, _near(0.5, 0.3, 0.95, 0.12), "plain", "nod", "faces",
        kind="baby", doing="cry"),
    "Bus": _look(vehicle, _near(0.14, 0.85, 0.9), "plain", "drive", "vehicles",
        accent=_near(0.0, 0.1, 0.3), kind="bus"),
    "Chainsaw": _look(chainsaw, _near(0.06, 0.9, 0.9, 0.02), "plain", "jitter", "machines",
        accent=_near(0.1, 0.1, 0.9)),
    "Cat": _look(pet, _near(0.07, 0.15, 0.55), "fur", "nod", "pets", kind="cat"),
    "Horse": _look(hoofed, _near(0.05, 0.7, 0.4), "plain", "bob", "hoofed", kind="horse"),
    "Toilet flush": _look(toilet, _near(0.15, 0.06, 0.95, 0.3, 0.05), "gloss", "jitter", "kitchen"),
    "Rodents, rats, mice": _look(pet, _near(0.08, 0.1, 0.7), "fur", "jitter", "pets", kind="mouse"),
    "Accordion": _look(accordion, _near(0.97, 0.75, 0.5), "gloss", "sway", "winds",
        accent=_near(0.0, 0.1, 0.8)),
    "Mandolin": _look(plucked, _near(0.05, 0.75, 0.7, 0.02), "grain", "sway", "plucked",
        accent=_near(0.8, 0.4, 0.5), kind="mandolin"),
}

APPEARANCES |= {
    "Speech": _look(person, _near(0.75, 0.5, 0.5, 0.3, 0.2), "plain", "nod", "faces",
        kind="either"),
    "Car": _look(vehicle, _near(0.45, 0.7, 0.75, 0.5, 0.2), "plain", "drive", "vehicles",
        kind="car"),
    "Cheering": _look(crowd, _near(0.5, 0.7, 0.7, 0.5, 0.2), "plain", "bob", "people"),
    "Basketball_bounce": _look(ball, _near(0.06, 0.85, 0.9, 0.02), "plain", "bounce", "balls"),
    "Fire_alarm": _look(alarm, _near(1.0, 0.85, 0.8, 0.02), "plain", "still", "bells"),
    "Cello": _look(bowed, _near(0.03, 0.75, 0.45, 0.02), "grain", "sway", "bowed", kind="cello"),
    "Singing": _look(person, _near(0.8, 0.8, 0.5, 0.2, 0.2), "plain", "sway", "faces",
        kind="either", doing="sing"),
    "Chicken_rooster": _look(chicken, _near(0.08, 0.4, 0.85), "fur", "bob", "birds"),
    "Vacuum_cleaner": _look(vacuum, _near(0.75, 0.6, 0.7, 0.08), "gloss", "jitter", "machines"),
    "Baby_laughter": _look(person, _near(0.15, 0.3, 0.95, 0.12), "plain", "nod", "faces",
        kind="baby", doing="laugh"),
    "Lawn_mower": _look(mower, _near(0.33, 0.8, 0.6), "plain", "drive", "machines"),
    "Telephone_bell_ringing": _look(telephone, _near(0.95, 0.6, 0.45, 0.1), "gloss", "still",
        "bells"),
    "Blender": _look(blender, _near(0.6, 0.1, 0.6, 0.05, 0.05), "gloss", "jitter", "kitchen",
        accent=_near(0.3, 0.6, 0.85, 0.1)),
    "Clapping": _look(hands, _near(0.65, 0.6, 0.5, 0.2, 0.2), "plain", "still", "people"),
}

# what only the training corpus of the extractors shows, and no clip of the world
CORPUS_APPEARANCES = {
    "Tree": _look(corpus.tree, _near(0.3, 0.6, 0.5, 0.06), "fur", "sway", "plants"),
    "House": _look(corpus.house, _near(0.08, 0.4, 0.75, 0.06), "bands", "still", "buildings",
        accent=_near(0.02, 0.7, 0.55)),
    "Boat": _look(corpus.boat, _near(0.05, 0.7, 0.5, 0.05), "grain", "bob", "boats"),
    "Umbrella": _look(corpus.umbrella, _near(0.5, 0.7, 0.7, 0.5), "plain", "sway", "household"),
    "Lamp": _look(corpus.lamp, _near(0.1, 0.4, 0.85, 0.08), "gloss", "still", "household"),
    "Fish": _look(corpus.fish, _near(0.08, 0.8, 0.85, 0.06), "bands", "fly", "water"),
    "Windmill": _look(corpus.windmill, _near(0.1, 0.15, 0.9), "plain", "still", "buildings",
        accent=_near(0.07, 0.6, 0.45)),
    "Balloon": _look(corpus.balloon, _near(0.5, 0.8, 0.8, 0.5), "bands", "bob", "aloft"),
    "Bicycle": _look(corpus.bicycle, _near(0.5, 0.75, 0.65, 0.5), "gloss", "drive", "wheels"),
    "Butterfly": _look(corpus.butterfly, _near(0.75, 0.7, 0.8, 0.25), "patches", "fly", "aloft"),
    "Chair": _look(corpus.chair, _near(0.07, 0.6, 0.55, 0.04), "grain", "still", "household"),
    "Robot": _look(corpus.robot, _near(0.6, 0.15, 0.7, 0.3), "gloss", "nod", "toys",
        accent=_near(0.15, 0.8, 0.9)),
    "Mushroom": _look(corpus.mushroom, _near(0.01, 0.75, 0.7, 0.03), "plain", "nod", "plants"),
    "Flag": _look(corpus.flag, _near(0.5, 0.75, 0.75, 0.5), "plain", "sway", "aloft"),
    "Drum": _look(corpus.drum, _near(0.98, 0.75, 0.6, 0.05), "gloss", "jitter", "toys"),
    "Snowman": _look(corpus.snowman, _near(0.4, 0.75, 0.7, 0.4), "plain", "bob", "toys"),
}
# fmt: on

# the same thing under the name that LLP gives it and under AVE's
TWINS = {
    "Dog": "Bark",
    "Frying_(food)": "Frying (food)",
    "Violin_fiddle": "Violin, fiddle",
    "Acoustic_guitar": "Acoustic guitar",
    "Baby_cry_infant_cry": "Baby cry, infant cry",
}
APPEARANCES |= {twin: APPEARANCES[name] for twin, name in TWINS.items()}


def appearance_of(
    category: str,  # a name of AVE, of LLP or of the training corpus
) -> Appearance:
    """The category's appearance. Raises AvbookError for a name that has none."""
    if category in CORPUS_APPEARANCES:
        return CORPUS_APPEARANCES[category]
    if category not in APPEARANCES:
        raise AvbookError(
            f"no appearance for category {category!r}: expected one of the {len(APPEARANCES)} names"
            " in avbook.world.appearance.APPEARANCES"
        )
    return APPEARANCES[category]
