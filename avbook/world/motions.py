"""How drawn things move: the motions of whole bodies, and where a movement stands in each frame."""

from __future__ import annotations

import numpy as np

from avbook.world.sdf import cosine, sine, single

__all__ = ["MOTIONS", "Rhythm"]

# a motion: the position in turns and the gain -> how far sideways, how far down (object units), and
# how far clockwise (turns); all have a period of one turn


def _still(turn, gain):
    return 0.0 * turn, 0.0 * turn, 0.0 * turn


def _swing(turn, gain):
    angle = 0.07 * gain * sine(turn)
    return -0.9 * sine(angle), 0.0 * turn, angle


def _bob(turn, gain):
    return 0.0 * turn, 0.11 * gain * sine(turn), 0.0 * turn


def _sway(turn, gain):
    return 0.06 * gain * sine(turn), 0.0 * turn, 0.025 * gain * sine(turn)


def _jitter(turn, gain):
    return (
        0.05 * gain * sine(2 * turn),
        0.05 * gain * sine(3 * turn),
        0.012 * gain * sine(3 * turn + 0.2),
    )


def _drive(turn, gain):
    return (
        0.14 * gain * sine(turn),
        0.035 * gain * sine(2 * turn),
        0.006 * gain * sine(2 * turn + 0.3),
    )


def _fly(turn, gain):
    return (
        0.10 * gain * sine(turn),
        0.10 * gain * sine(turn + 0.25),
        0.018 * gain * sine(turn + 0.1),
    )


def _bounce(turn, gain):
    f = turn - np.floor(turn)
    return 0.0 * turn, 0.55 - (0.5 + 0.6 * gain) * 4 * f * (1 - f), 0.0 * turn


def _nod(turn, gain):
    return 0.0 * turn, 0.05 * gain * sine(turn), 0.03 * gain * sine(turn + 0.25)


MOTIONS = {
    "still": _still,
    "swing": _swing,
    "bob": _bob,
    "sway": _sway,
    "jitter": _jitter,
    "drive": _drive,
    "fly": _fly,
    "bounce": _bounce,
    "nod": _nod,
}


class Rhythm:
    """Where a movement stands in each of F frames, as values that parts can be drawn with."""

    def __init__(
        self,
        turn: np.ndarray,  # (F,) the movement's position, in turns
        gain: float = 1.0,  # how far parts move, 0..1
    ):
        self.turn, self.gain = np.atleast_1d(np.asarray(turn, np.float64)), float(gain)

    def swing(
        self,
        times: float = 1,  # whole swings per movement
        shift: float = 0.0,  # head start, in turns
    ) -> np.ndarray:
        """A value per frame that goes -gain..gain, (F, 1, 1)."""
        return single(self.gain * sine(self.turn * times + shift))

    def open(
        self,
        times: float = 1,  # whole openings per movement
        shift: float = 0.0,  # head start, in turns
    ) -> np.ndarray:
        """A value per frame that goes 0..gain and back, (F, 1, 1): 0 is closed."""
        return single(self.gain * (0.5 - 0.5 * cosine(self.turn * times + shift)))

    def cycle(
        self,
        times: float = 1,  # whole cycles per movement
        shift: float = 0.0,  # head start, in turns
    ) -> np.ndarray:
        """A value per frame that climbs from 0 to 1 and starts again, (F, 1, 1)."""
        x = self.turn * times + shift
        return single(x - np.floor(x))
