"""Audio: log-mel spectrograms and waveforms."""

from __future__ import annotations

import numpy as np

from avbook.errors import AvbookError
from avbook.show.style import LOUD, PALETTE, WIDTH, array, axes, styled

__all__ = ["mel", "spectrogram", "waveform"]


def mel(hertz):
    """The mel value of a frequency, as VGGish counts it."""
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@styled
def spectrogram(
    log_mel,  # (seconds, 96, 64) patches, or (frames, 64)
    # length; by default the number of patches, or a hundredth for each frame
    seconds: float | None = None,
    title: str | None = None,  # above the axes
    ax=None,  # axes to draw on
):
    """Axes with a log-mel spectrogram: time along the bottom, frequency in hertz on the mel scale,
    loud is dark."""
    log_mel = array(log_mel).astype(float)
    if log_mel.ndim not in (2, 3) or not log_mel.size:
        raise AvbookError(
            f"spectrogram() got shape {log_mel.shape}: expected (seconds, 96, bands) or (frames,"
            " bands)"
        )
    length = seconds or (len(log_mel) if log_mel.ndim == 3 else len(log_mel) / 100)
    flat = log_mel.reshape(-1, log_mel.shape[-1])
    ax = axes(ax, WIDTH, 2.7)
    image = ax.imshow(
        flat.T,
        origin="lower",
        aspect="auto",
        cmap=LOUD,
        extent=(0, length, 0, flat.shape[1]),
        interpolation="antialiased",
    )
    for t in range(1, len(log_mel) if log_mel.ndim == 3 else 0):
        ax.axvline(t, color="white", lw=0.6)
    hertz, low, high = (
        np.array([250, 500, 1000, 2000, 4000]),
        mel(125),
        mel(7500),
    )  # VGGish's bands lie between the last two
    ax.set(
        xlabel="time (s)",
        ylabel="frequency (Hz)",
        title=title,
        yticks=(mel(hertz) - low) / (high - low) * flat.shape[1],
        yticklabels=hertz,
    )
    ax.figure.colorbar(image, ax=ax, label="log mel energy", pad=0.02)
    return ax


@styled
def waveform(
    wave,  # (samples,) in -1..1
    rate: int = 16000,  # samples a second
    title: str | None = None,  # above the axes
    ax=None,  # axes to draw on
):
    """Axes with the envelope of a waveform: the lowest and highest sample of each hundredth of a
    second."""
    wave = array(wave).astype(float)
    if wave.ndim != 1 or not len(wave):
        raise AvbookError(f"waveform() got shape {wave.shape}: expected (samples,), one channel")
    hop = max(1, rate // 100)
    blocks = np.pad(wave, (0, -len(wave) % hop), mode="edge").reshape(-1, hop)
    ax = axes(ax, WIDTH, 1.9)
    ax.fill_between(
        (np.arange(len(blocks)) + 0.5) * hop / rate,
        blocks.min(1),
        blocks.max(1),
        color=PALETTE[0],
        lw=0.4,
    )
    ax.set(
        xlim=(0, len(wave) / rate),
        ylim=(-1.05, 1.05),
        xlabel="time (s)",
        ylabel="amplitude",
        title=title,
    )
    return ax
