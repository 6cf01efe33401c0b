"""What all explorers share: one HTML output with data, script and a figure for readers without
scripts."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avbook.errors import AvbookError
from avbook.show.embedded import data_address
from avbook.show.style import array

__all__ = [
    "LARGEST",
    "Explorer",
    "script",
    "frame_sheet",
    "audio_samples",
    "wav_file",
    "figure_image",
    "rounded",
]

SCRIPTS = Path(__file__).parent / "js"
LARGEST = 500_000  # bytes of an explorer's data
WIDEST = 16_383  # pixels of a WebP image
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', flags=re.M)


@dataclass(frozen=True)
class Explorer:
    """An interactive figure as the output of a cell: it works in JupyterLab and on a static page,
    needs no kernel after that, and loads nothing.

    Where scripts are off, or the notebook is not trusted, the static figure is shown."""

    kind: str  # the script that draws it, a file of js/
    title: str  # name for screen readers
    data: dict[str, Any]  # what the script reads
    figure: bytes  # the static figure, WebP
    alt: str  # what the static figure shows

    def __post_init__(self):
        size = len(self.json().encode())
        if size > LARGEST:
            raise AvbookError(
                f"the data of the {self.kind} explorer has {size:,} bytes: expected at most"
                f" {LARGEST:,}; show fewer clips or frames"
            )

    def json(self) -> str:
        """The data as JSON that is safe inside a script element."""
        text = json.dumps(
            {"title": self.title} | self.data,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
        for letter in "<>&\u2028\u2029":
            text = text.replace(letter, f"\\u{ord(letter):04x}")
        return text

    def _repr_html_(self) -> str:
        return (
            f'<div class="avbook-explorer" data-kind="{self.kind}">'
            f'<img src="{data_address("image/webp", self.figure)}"'
            f' alt="{html.escape(self.alt)}" style="max-width: 100%; height: auto">'
            f'<script type="application/json">{self.json()}</script></div>\n'
            f'<script type="module" data-script="{self.kind}">\n{script(self.kind)}</script>'
        )

    def __repr__(self) -> str:
        return f"Explorer({self.kind!r}, {len(self.json()) / 1000:.0f} kB of data)"


def script(kind: str) -> str:
    """The modules that an explorer needs as one: what is imported comes first, without `export`."""
    parts: dict[str, str] = {}

    def collect(name: str) -> None:
        text = (SCRIPTS / f"{name}.js").read_text(encoding="utf-8")
        for other in _IMPORT.findall(text):
            if other not in parts:
                collect(other)
        parts[name] = re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.M)

    collect(kind)
    return "\n".join(parts.values())


def frame_sheet(
    frames,  # (n, H, W, 3) uint8
    quality: int = 75,  # of WebP, 0 to 100
) -> dict[str, Any]:
    """All frames beside each other as one image: `source` and `count`, as the scripts read it."""
    from PIL import Image

    frames = array(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise AvbookError(
            f"frames have shape {frames.shape} and type {frames.dtype}: expected (n, H, W, 3) uint8"
        )
    if frames.shape[0] * frames.shape[2] > WIDEST:
        raise AvbookError(
            f"{len(frames)} frames of {frames.shape[2]} pixels beside each other are wider than the"
            f" {WIDEST:,} pixels of a WebP image: show fewer or smaller ones"
        )
    file = io.BytesIO()
    sheet = Image.fromarray(np.concatenate(list(frames), axis=1))
    sheet.save(file, "WEBP", quality=quality, method=6)
    return {"source": data_address("image/webp", file.getvalue()), "count": len(frames)}


def audio_samples(
    samples,  # (n,) in -1..1
    rate: int = 16_000,  # samples a second
    stored: int = 16_000,  # samples a second in the explorer: 8,000 halves its size
) -> dict[str, Any]:
    """Audio with 8 bits a sample, as the scripts read it: `samples` in base64 and `rate`. Steps are
    finer for quiet samples (the μ-law of telephony), so the noise stays 37 dB below the signal."""
    from avbook.features.logmel import resample

    samples = array(samples).astype(float)
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise AvbookError(f"samples have shape {samples.shape}: expected (n,) finite numbers, mono")
    samples = np.clip(samples if rate == stored else resample(samples, rate, stored), -1, 1)
    level = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log(256)
    stored_bytes = np.round((level + 1) / 2 * 255).astype(np.uint8).tobytes()
    return {"samples": base64.b64encode(stored_bytes).decode("ascii"), "rate": stored}


def wav_file(
    stored: dict[str, Any],  # of `audio_samples`
) -> bytes:
    """The stored audio as a WAV file of 16 bits, as the scripts decode it."""
    coded = np.frombuffer(base64.b64decode(stored["samples"]), np.uint8)
    level = coded / 127.5 - 1
    samples = np.sign(level) * (256.0 ** np.abs(level) - 1) / 255
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, stored["rate"], len(samples), "NONE", "not compressed"))
        out.writeframes(np.round(32767 * samples).astype("<i2").tobytes())
    return file.getvalue()


def figure_image(
    figure,  # of matplotlib; it is closed
    quality: int = 85,  # of WebP
) -> bytes:
    """A figure as the bytes of a WebP file, at the resolution of the book's figures."""
    import matplotlib.pyplot as plt

    file = io.BytesIO()
    options = {"quality": quality, "method": 6}
    figure.savefig(file, format="webp", dpi=110, pil_kwargs=options)
    plt.close(figure)
    return file.getvalue()


def rounded(
    values,  # array or tensor of numbers
    digits: int = 4,
) -> list:
    """Nested lists of rounded numbers, to keep the data small; whole numbers stay whole."""
    values = array(values)
    return (values if values.dtype.kind in "iub" else values.astype(float).round(digits)).tolist()
