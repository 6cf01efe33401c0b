"""Random draws that the samplers of scripts share: one stream a clip, the latents of sources."""

from collections.abc import Sequence

import numpy as np

from avbook.common.options import is_whole
from avbook.errors import AvbookError
from avbook.world.levers import FIRST, Levers

__all__ = [
    "random_stream",
    "world_id",
    "sample_latents",
    "sample_recording",
    "sample_main_latents",
    "check_whole",
    "shares",
    "apportion",
]

_TAGS = {"ave": "a", "background": "b", "llp": "l"}


def random_stream(
    seed: int,  # of the world
    kind: str,  # "ave", "background" or "llp"
    index: int,  # the clip's place among those of its kind
    use: int = 0,  # 0: sampled clips, 1: their splits, 2: clips of annotation files
) -> np.random.Generator:
    """The generator of one clip, so that a clip does not change when others follow it."""
    return np.random.default_rng(
        np.random.SeedSequence([int(seed), ord(_TAGS[kind]), int(index), use])
    )


def world_id(
    seed: int,  # of the world
    kind: str,  # "ave", "background" or "llp"
    index: int,  # the clip's place among those of its kind
) -> str:
    """The id of a sampled clip: 11 characters, as those of a video."""
    return f"W{seed % 1000:03d}{_TAGS[kind]}{index:06d}"


def sample_latents(
    rng: np.random.Generator,
    levers: Levers = FIRST,
) -> dict:
    """The latents of a source's body (size, tempo, phase, motion, place, seed), drawn independently
    of its class."""
    return {
        "size": float(rng.uniform(*levers.size)),
        "tempo": float(np.exp(rng.uniform(np.log(0.6), np.log(3.5)))),
        "phase": float(rng.random()),
        "motion": float(rng.beta(2, 2)),
        "x": float(rng.uniform(0.15, 0.85)),
        "y": float(rng.uniform(0.2, 0.8)),
        "seed": int(rng.integers(2**31)),
    }


def sample_recording(
    rng: np.random.Generator,
    levers: Levers = FIRST,
) -> dict:
    """The latents of a clip's recording: seed, lead, SNR, shake and, where the levers have a
    quality, difficulty."""
    found = {
        "seed": int(rng.integers(2**31)),
        "lead": float(np.clip(rng.normal(0, 0.1), -0.3, 0.3)),
        "snr_db": float(rng.uniform(*levers.snr_db)),
        "shake": float(rng.beta(1.5, 3.0)),
    }
    if levers.quality is not None:
        quality = float(rng.beta(*levers.quality))
        found |= {"snr_db": _between(levers.snr_db, quality), "difficulty": 1 - quality}
    return found


def sample_main_latents(
    rng: np.random.Generator,
    levers: Levers,
    recording: dict | None,  # of the clip; needed where the levers have a quality
) -> dict:
    """Those of a clip's main source: in a poor recording it is small."""
    latents = sample_latents(rng, levers)
    if levers.quality is not None and recording is not None:
        latents["size"] = _between(levers.size, 1 - recording["difficulty"])
    return latents


def _between(ends, share):
    low, high = ends
    return low + (high - low) * share


def check_whole(**values) -> None:
    """Raises AvbookError, naming the option, unless each is a whole number, 0 or more."""
    for name, value in values.items():
        if not is_whole(value) or value < 0:
            raise AvbookError(f"{name}={value!r}: expected a whole number, 0 or more")


def shares(
    weights: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """The weights divided by their sum, float64."""
    weights = np.asarray(weights, float)
    return weights / weights.sum()


def apportion(
    total: int,
    weights: Sequence[float] | np.ndarray,
    least: int = 0,  # for each, if there is room
) -> np.ndarray:
    """Whole numbers that add up to `total`, near it times the shares of the weights (largest
    remainder), each at least `least` if there is room."""
    weights = np.asarray(weights, float)
    least = least if total >= least * len(weights) else 0
    spare = np.maximum(shares(weights) * total - least, 0)
    if not spare.any():  # none is left to share out, as where total is 0
        return np.full(len(weights), int(least))
    ideal = least + (total - least * len(weights)) * shares(spare)
    counts = np.floor(ideal).astype(int)
    counts[np.argsort(counts - ideal, kind="stable")[: total - counts.sum()]] += 1
    return counts
