"""Voices of AVE's and LLP's classes and of the training corpus: the settings of a synthesiser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from avbook.errors import AvbookError

__all__ = [
    "Voice",
    "ENGINES",
    "STRINGS",
    "BOWED",
    "VOCAL",
    "ANIMALS",
    "THINGS",
    "CORPUS_VOICES",
    "SAME",
    "VOICES",
    "voice_of",
]


@dataclass(frozen=True)
class Voice:
    """How a class sounds. Each source varies these settings by its own seed."""

    # pitch and timbre
    pitch: tuple[float, float]  # Hz of a source of size 1 and of one of size 0
    spread: float = 0.15  # octaves (standard deviation) by which sources of the class differ
    # ratios of the partials to the pitch, to the nearest tenth; empty: 1, 2, 3, …
    partials: tuple[float, ...] = ()
    tilt: float = 1.2  # partial r has strength r to the power -tilt
    even: float = 1.0  # strength of the even partials
    formants: tuple[tuple[float, float], ...] = ()  # resonances: Hz and decibels
    # resonances of a second timbre, which each pulse mixes in at random
    vowels: tuple[tuple[float, float], ...] = ()
    # noise
    hiss: float = 0.1  # its share of the power
    band: tuple[float, float] = (1500.0, 2.0)  # its centre in Hz, its width in octaves
    crackle: float = 1.0  # exponent on its samples: 3 makes clicks of it
    # pulses
    beats: float = 1.0  # pulses per movement
    attack: float = 0.02  # seconds a pulse takes to rise
    decay: float = 0.0  # seconds in which it falls to a third; 0: held
    duty: float = 1.0  # share of the pulse's time after which it is released
    depth: float = 1.0  # 1: silence between pulses, 0: no pulses
    skip: float = 0.1  # share of pulses left out
    # changes of pitch and level
    melody: float = 0.0  # semitones (standard deviation) from pulse to pulse
    glide: float = 0.0  # semitones from the beginning of a pulse to its end
    arch: float = 0.0  # semitones by which the middle of a pulse is higher
    vibrato: tuple[float, float] = (5.5, 0.0)  # Hz, semitones
    wander: float = 0.3  # semitones (standard deviation) of slow drift
    rough: tuple[float, float] = (0.0, 0.0)  # fast modulation of the level: Hz, depth 0..1
    loud: float = 0.0  # decibels relative to the other classes


# tables, kept as they are
# fmt: off
# engines differ in pitch, roughness and noise; their ranges overlap
_ENGINE = Voice((45, 130), spread=0.15, tilt=0.9, formants=((300, 8), (1100, 5)), hiss=0.35,
    band=(900, 2.5), depth=0.35, attack=0.1, duty=0.8, skip=0, melody=1.0, wander=1.5,
    rough=(14, 0.3))
ENGINES = {
    "Race car, auto racing": replace(_ENGINE, pitch=(110, 300), glide=-4, wander=3, hiss=0.25,
        rough=(30, 0.2), loud=3),
    "Truck": replace(_ENGINE, pitch=(38, 95), formants=((180, 9), (800, 4)), hiss=0.4,
        rough=(11, 0.3)),
    "Bus": replace(_ENGINE, pitch=(48, 110), formants=((300, 8), (1500, 7)), hiss=0.45,
        band=(1900, 2), rough=(9, 0.15)),
    "Car": replace(_ENGINE, pitch=(60, 160), hiss=0.5),
    "Motorcycle": replace(_ENGINE, pitch=(55, 150), tilt=0.7, rough=(20, 0.5), hiss=0.25),
    "Lawn_mower": replace(_ENGINE, pitch=(70, 160), rough=(28, 0.4), depth=0.15, hiss=0.45),
    "Chainsaw": replace(_ENGINE, pitch=(90, 210), tilt=0.5, formants=((900, 8), (2800, 6)),
        rough=(28, 0.4), hiss=0.35, band=(2400, 2.2), loud=2),
    "Vacuum_cleaner": replace(_ENGINE, pitch=(140, 330), hiss=0.75, band=(1800, 2.5), depth=0.1,
        rough=(0, 0), wander=0.6),
    "Blender": replace(_ENGINE, pitch=(170, 420), hiss=0.55, band=(2500, 2), depth=0.2,
        rough=(18, 0.2)),
    "Fixed-wing aircraft, airplane": replace(_ENGINE, pitch=(70, 200), hiss=0.55, band=(700, 2.4),
        rough=(8, 0.15), depth=0.2, loud=1.5),
    "Helicopter": replace(_ENGINE, pitch=(50, 120), hiss=0.55, band=(600, 2.5), rough=(13, 0.65),
        depth=0.2),
}

# plucked strings share attack and timbre; they differ in pitch range, in how fast a note decays
# and in the notes per movement
_PLUCK = Voice((110, 330), spread=0.15, tilt=1.3, formants=((250, 4), (900, 2)), hiss=0.03,
    band=(2500, 2), beats=2, attack=0.004, decay=0.45, melody=4, skip=0.15, wander=0.1)
STRINGS = {
    "Acoustic guitar": _PLUCK,
    "Ukulele": replace(_PLUCK, pitch=(240, 520), decay=0.25, tilt=1.4,
        formants=((400, 4), (1200, 2))),
    "Banjo": replace(_PLUCK, pitch=(150, 420), decay=0.16, tilt=0.8, formants=((600, 5), (2200, 6)),
        beats=3),
    "Mandolin": replace(_PLUCK, pitch=(200, 560), decay=0.14, tilt=1.0,
        formants=((500, 4), (1700, 5)), beats=4, skip=0.05),
}

_BOWED = Voice((196, 700), spread=0.3, tilt=1.0, formants=((450, 5), (1200, 6), (2800, 4)),
    hiss=0.06, band=(4500, 2), attack=0.09, duty=0.95, depth=0.7, melody=4, vibrato=(5.5, 0.35),
    skip=0.05, wander=0.2)
BOWED = {
    "Violin, fiddle": _BOWED,
    "Cello": replace(_BOWED, pitch=(65, 300), formants=((250, 6), (700, 6), (2000, 3))),
}

# speech has two timbres, roughly an open and a closed vowel; each syllable mixes them
_SPEECH = Voice((85, 260), spread=0.15, tilt=1.1, formants=((600, 10), (1100, 7), (2600, 5)),
    vowels=((320, 10), (2200, 8), (3000, 5)), hiss=0.12, band=(4000, 1.5), beats=2.5, attack=0.04,
    duty=0.75, skip=0.2, melody=2, glide=-2, wander=1.5)
VOCAL = {
    "Male speech, man speaking": replace(_SPEECH, pitch=(80, 170)),
    "Female speech, woman speaking": replace(_SPEECH, pitch=(130, 280),
        formants=((680, 10), (1250, 7), (2900, 5))),
    "Speech": replace(_SPEECH, spread=0.4),
    "Singing": replace(_SPEECH, pitch=(110, 500), beats=1, duty=0.9, vibrato=(5.5, 0.5), melody=4,
        glide=0, wander=0.2, skip=0.1, hiss=0.05),
    "Cheering": Voice((220, 500), 0.3, tilt=0.9, formants=((700, 9), (1300, 6)), hiss=0.65,
        band=(1400, 1.6), depth=0.35, duty=0.8, attack=0.15, wander=2.5, rough=(9, 0.3)),
}

# cries and calls, with rising and falling pitch
_BABY = Voice((330, 560), spread=0.15, tilt=0.8, formants=((1100, 9), (2900, 8)), hiss=0.1,
    band=(3000, 2), attack=0.08, duty=0.75, arch=5, melody=1.5, skip=0.1, wander=0.8)
ANIMALS = {
    "Baby cry, infant cry": _BABY,
    "Baby_laughter": replace(_BABY, beats=3, duty=0.5, arch=2, glide=-3, hiss=0.2, skip=0.25,
        attack=0.02),
    "Cat": replace(_BABY, pitch=(420, 800), tilt=0.6, formants=((1300, 9), (3400, 8)), arch=3,
        glide=-6, skip=0.25, duty=0.6),
    "Goat": replace(_BABY, pitch=(220, 420), formants=((800, 8), (1900, 7)), vibrato=(9, 1.2),
        arch=1, glide=-2, skip=0.3, rough=(9, 0.5)),
    "Bark": Voice((180, 520), 0.3, tilt=0.8, formants=((700, 8), (1500, 6)), hiss=0.3,
        band=(1300, 2), attack=0.015, decay=0.09, glide=-5, melody=1, skip=0.25),
    "Horse": Voice((110, 220), 0.2, tilt=1.0, formants=((900, 9), (1800, 5)), hiss=0.6,
        band=(1100, 1.3), beats=3, attack=0.003, decay=0.035, skip=0.15, melody=3),
    "Chicken_rooster": Voice((380, 700), 0.2, tilt=0.7, formants=((1300, 8), (2800, 6)), hiss=0.2,
        duty=0.6, arch=5, attack=0.03, melody=2, skip=0.25, rough=(25, 0.3)),
    "Rodents, rats, mice": Voice((1200, 3200), 0.3, tilt=1.2, hiss=0.45, band=(4500, 1.5),
        crackle=2, beats=2, attack=0.01, decay=0.06, glide=4, melody=3, skip=0.4),
}

# bells, clocks and horns have partials at ratios that are not whole
THINGS = {
    "Flute": Voice((260, 1100), 0.3, tilt=2.4, hiss=0.2, band=(2200, 2.5), attack=0.06, duty=0.92,
        depth=0.8, melody=4, vibrato=(5, 0.25), skip=0.08),
    "Shofar": Voice((180, 420), 0.25, tilt=0.5, formants=((1300, 9),), hiss=0.08, attack=0.08,
        duty=0.85, beats=0.6, melody=2, glide=2, skip=0.1),
    "Accordion": Voice((150, 520), 0.35, tilt=0.8, even=0.7, formants=((1000, 5), (2500, 4)),
        hiss=0.04, attack=0.05, duty=0.95, depth=0.6, melody=4, rough=(6.5, 0.3), skip=0.05),
    "Train horn": Voice((180, 380), 0.2, partials=(1, 1.3, 1.5, 2, 2.6, 3, 3.9, 4.5, 5.2, 6),
        tilt=0.7, formants=((700, 6),), hiss=0.15, attack=0.1, duty=0.85, beats=0.5, depth=0.9,
        skip=0.1, loud=3),
    "Church bell": Voice((160, 520), 0.35, partials=(0.5, 1, 1.2, 1.5, 2, 2.7, 3, 4.1, 5.4),
        tilt=0.8, hiss=0.02, beats=0.7, attack=0.004, decay=0.9, skip=0.1),
    "Clock": Voice((700, 2200), 0.35, partials=(1, 1.7, 2.3, 3.1), tilt=0.6, hiss=0.6,
        band=(3000, 2), beats=2, attack=0.002, decay=0.025, skip=0.05),
    "Fire_alarm": Voice((2300, 3400), 0.1, tilt=1.5, hiss=0.02, beats=2, attack=0.005, duty=0.6,
        skip=0.0),
    "Telephone_bell_ringing": Voice((900, 1900), 0.2, partials=(1, 1.6, 2.4, 3.2), tilt=0.6,
        hiss=0.05, beats=0.5, duty=0.6, attack=0.01, rough=(20, 0.8), skip=0.1),
    "Basketball_bounce": Voice((70, 160), 0.2, tilt=1.2, hiss=0.4, band=(500, 2), attack=0.002,
        decay=0.06, skip=0.15, glide=-3),
    "Clapping": Voice((500, 900), 0.2, hiss=0.97, band=(1500, 1.8), crackle=1.5, beats=3,
        attack=0.002, decay=0.03, skip=0.1),
    "Frying (food)": Voice((300, 500), 0.2, hiss=0.98, band=(4500, 2.2), crackle=2.2, depth=0.25,
        attack=0.1, duty=0.8, skip=0),
    "Toilet flush": Voice((90, 160), 0.3, hiss=0.95, band=(1400, 2.2), crackle=1.6, depth=0.3,
        attack=0.2, duty=0.8, skip=0, rough=(6, 0.4)),
}

# of the extractors' training corpus: neither AVE nor LLP names these
CORPUS_VOICES: dict[str, Voice] = {
    "Wind": Voice((100, 200), hiss=0.98, band=(500, 2.0), depth=0.2, attack=0.3, skip=0, wander=2),
    "Rain": Voice((300, 500), hiss=0.99, band=(5500, 1.5), crackle=1.4, depth=0.1, skip=0),
    "Thunder": Voice((40, 80), tilt=1.6, hiss=0.9, band=(200, 1.5), beats=0.5, attack=0.02,
        decay=0.5, skip=0.2),
    "Siren": Voice((500, 900), tilt=1.3, hiss=0.03, arch=9, beats=0.6, wander=0.2, skip=0),
    "Foghorn": Voice((70, 130), tilt=0.8, formants=((300, 8),), hiss=0.1, beats=0.4, attack=0.15,
        duty=0.7, skip=0),
    "Marimba": Voice((180, 700), 0.3, partials=(1, 4, 9.2), tilt=1.0, hiss=0.03, beats=2,
        attack=0.003, decay=0.15, melody=5),
    "Glockenspiel": Voice((900, 2600), 0.3, partials=(1, 2.8, 5.4), tilt=0.9, hiss=0.02, beats=2,
        attack=0.002, decay=0.4, melody=5),
    "Organ": Voice((100, 500), 0.3, partials=(1, 2, 3, 4, 6, 8), tilt=0.6, hiss=0.03, attack=0.06,
        duty=0.95, depth=0.5, melody=4),
    "Snare": Voice((180, 260), 0.1, tilt=1.4, hiss=0.85, band=(3200, 2), beats=4, attack=0.002,
        decay=0.06, skip=0.2),
    "Kettledrum": Voice((60, 140), 0.3, partials=(1, 1.5, 2, 2.4), tilt=1.0, hiss=0.1,
        band=(300, 2), beats=1.5, attack=0.004, decay=0.3, melody=3),
    "Cricket": Voice((3800, 5200), 0.1, tilt=2.0, hiss=0.05, beats=3, duty=0.5, attack=0.01,
        rough=(30, 0.9), skip=0.1),
    "Frog": Voice((200, 420), 0.3, tilt=0.7, formants=((900, 9), (2100, 6)), hiss=0.15, glide=3,
        duty=0.45, rough=(22, 0.8), skip=0.2),
    "Owl": Voice((280, 420), 0.1, tilt=2.6, hiss=0.08, band=(600, 2), beats=0.8, attack=0.08,
        duty=0.5, glide=-1.5, skip=0.1),
    "Whistle": Voice((1400, 2600), 0.2, tilt=3.0, hiss=0.08, band=(2500, 1.5), melody=3, glide=2,
        duty=0.8, attack=0.03),
    "Typewriter": Voice((900, 1600), 0.2, tilt=0.6, hiss=0.85, band=(2600, 1.8), crackle=1.5,
        beats=5, attack=0.001, decay=0.015, skip=0.3),
    "Saw": Voice((300, 600), 0.2, tilt=0.4, hiss=0.7, band=(3200, 1.6), beats=2, attack=0.06,
        duty=0.7, glide=5, rough=(26, 0.4)),
}
# fmt: on

SAME = {  # LLP's name -> AVE's, where they differ
    "Dog": "Bark",
    "Violin_fiddle": "Violin, fiddle",
    "Frying_(food)": "Frying (food)",
    "Acoustic_guitar": "Acoustic guitar",
    "Baby_cry_infant_cry": "Baby cry, infant cry",
}
VOICES: dict[str, Voice] = ENGINES | STRINGS | BOWED | VOCAL | ANIMALS | THINGS
VOICES |= {name: VOICES[other] for name, other in SAME.items()}


def voice_of(
    category: str,  # a class name of AVE or LLP, or of the training corpus
) -> Voice:
    """The voice of a class. Raises AvbookError for a name that has none."""
    if category in CORPUS_VOICES:
        return CORPUS_VOICES[category]
    if category not in VOICES:
        near = get_close_matches(str(category), VOICES, 1)
        hint = f", perhaps {near[0]!r}" if near else ""
        raise AvbookError(
            f"audio: no voice for category {category!r}; expected a class of AVE or LLP{hint}"
        )
    return VOICES[category]
