"""The extractors' training corpus: single images and single seconds of sound, labelled with what is
visible or audible in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avbook.common.options import check_int
from avbook.errors import AvbookError
from avbook.features.logmel import log_mel
from avbook.world.appearance import CORPUS_APPEARANCES
from avbook.world.audio import CORPUS_VOICES, LEVEL, MARGIN, ambience, render_source
from avbook.world.clips import Clip, Source, sample_latents, sample_recording
from avbook.world.video import render_at

__all__ = ["PICTURES", "SOUNDS", "STEP", "Scene", "sample_scene", "render_pair", "render_second"]

# Shared with AVE or LLP, under their names. What ImageNet has no category for is not among them,
# such as people, a shofar, a mandolin, food that fries or running water.
_SHARED_PICTURES = (
    "Bark",
    "Cat",
    "Goat",
    "Race car, auto racing",
    "Bus",
    "Truck",
    "Motorcycle",
    "Fixed-wing aircraft, airplane",
    "Acoustic guitar",
    "Violin, fiddle",
    "Flute",
    "Accordion",
    "Clock",
    "Chainsaw",
)
# The tags of the videos that VGGish was trained on name other things, speech among them.
_SHARED_SOUNDS = (
    "Church bell",
    "Male speech, man speaking",
    "Bark",
    "Fixed-wing aircraft, airplane",
    "Race car, auto racing",
    "Female speech, woman speaking",
    "Helicopter",
    "Violin, fiddle",
    "Flute",
    "Acoustic guitar",
    "Train horn",
    "Motorcycle",
    "Clock",
)
PICTURES = (*_SHARED_PICTURES, *CORPUS_APPEARANCES)  # categories of the images
SOUNDS = (*_SHARED_SOUNDS, *CORPUS_VOICES)  # and of the sounds
STEP = 1 / 8  # seconds between the two images of a pair
AUDIBLE = 0.25  # a sound is labelled where its level in the second is at least this share of LEVEL
_KINDS = {"picture": PICTURES, "sound": SOUNDS}


@dataclass(frozen=True)
class Scene:
    """One example of the corpus: a clip of one second and what its sources are."""

    clip: Clip
    labels: np.ndarray  # (sources,) indices into `PICTURES` or `SOUNDS`


def sample_scene(
    kind: str,  # `"picture"` or `"sound"`
    index: int,  # of the example
    seed: int = 0,  # of the corpus
) -> Scene:
    """The example's script: one to three sources of different categories, drawn like the world's.

    Every category is equally likely. Raises AvbookError for an unknown kind or a negative number.
    """
    if kind not in _KINDS:
        raise AvbookError(f"corpus kind {kind!r}: expected one of {', '.join(_KINDS)}")
    check_int(index=(index, 0), seed=(seed, 0))
    rng = np.random.default_rng([seed, 0xC0, list(_KINDS).index(kind), index])
    count = int(rng.choice((1, 2, 3), p=(0.6, 0.3, 0.1)))
    labels = rng.choice(len(_KINDS[kind]), count, replace=False)
    there = np.ones(1, bool)
    sources = tuple(Source(_KINDS[kind][k], there, there, **sample_latents(rng)) for k in labels)
    clip = Clip(f"C{kind[0]}{index:09d}", sources, seconds=1, labels=(), **sample_recording(rng))
    return Scene(clip, labels)


def _multi_hot(labels, categories):
    found = np.zeros(categories, np.float32)
    found[labels] = 1
    return found


def render_pair(
    index: int,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Two images of a scene an eighth of a second apart, (2, 56, 56, 3) uint8, and its labels,
    (categories,) float32 of 0 and 1."""
    scene = sample_scene("picture", index, seed)
    start = np.random.default_rng([seed, 0xC1, index]).uniform(0, 1 - STEP - 1e-6)
    frames = render_at(scene.clip, [start, start + STEP])
    return frames, _multi_hot(scene.labels, len(PICTURES))


def render_second(
    index: int,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """A second of sound as a log-mel patch, (96, 64) float32, and the labels of what is audible in
    it, (categories,) float32 of 0 and 1."""
    scene = sample_scene("sound", index, seed)
    wave = ambience(scene.clip)
    audible = []
    for source, label in zip(scene.clip.sources, scene.labels):
        sound = render_source(source, 1)[MARGIN * len(wave) : (MARGIN + 1) * len(wave)]
        if np.sqrt(np.square(sound, dtype=np.float64).mean()) >= AUDIBLE * LEVEL:
            audible.append(label)
        wave = wave + sound
    patch = log_mel(np.clip(wave, -1, 1))[0]
    return patch, _multi_hot(np.array(audible, int), len(SOUNDS))
