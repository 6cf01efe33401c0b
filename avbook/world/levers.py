"""How hard the clips of a world are: noise, sizes, and what else is in a clip."""

from dataclasses import dataclass

__all__ = ["Levers", "FIRST", "SECOND"]


@dataclass(frozen=True)
class Levers:
    """How hard the clips of a world are.

    Besides its main source an AVE clip may hold a *silent object in view* (`decoys`) and an
    *off-screen sound* (`intruders`)."""

    snr_db: tuple[float, float] = (0.0, 15.0)  # signal-to-noise ratio, uniform between
    size: tuple[float, float] = (0.2, 1.0)  # of sources, uniform between
    # parameters (α, β) of a Beta distribution of a clip's quality, 0..1, on which its SNR, its main
    # source's size and the disturbances of its frames depend; None: each is drawn for itself
    quality: tuple[float, float] | None = None
    off_screen: float = 0.30  # share of AVE's background with the main source heard unseen
    in_silence: float = 0.30  # and with it seen unheard
    decoys: float = 0.35  # share of AVE's clips with a silent object in view
    intruders: float = 0.35  # and with an off-screen sound


FIRST = Levers()  # of the world's first version
SECOND = {
    "ave": Levers(
        snr_db=(-14.0, 15.0),
        size=(0.0, 1.0),
        quality=(0.45, 0.35),
        off_screen=0.03,
        in_silence=0.03,
        decoys=0.2,
        intruders=0.1,
    ),
    "llp": Levers(snr_db=(-3.0, 12.0), size=(0.4, 1.0)),
}  # of the second, by task: see the page on its calibration
