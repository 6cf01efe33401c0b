"""Images and styles inside an HTML page: data addresses, spectrograms, colours with hatches."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from PIL import Image

from avbook.show.style import LOUD, PALETTE

__all__ = ["HATCHES", "data_address", "class_style", "mel_images"]

HATCHES = (  # as in the figures: for the second, third and fourth pass through the palette
    ("none", "auto"),
    ("repeating-linear-gradient(135deg, #0008 0 2px, #fff6 2px 4px, transparent 4px 9px)", "auto"),
    ("radial-gradient(#fff 0 1.5px, #000 1.6px 2.4px, transparent 2.5px)", "9px 9px"),
    (
        "repeating-linear-gradient(45deg, #0008 0 2px, #fff6 2px 3px, transparent 3px 9px),"
        " repeating-linear-gradient(135deg, #0008 0 2px, #fff6 2px 3px, transparent 3px 9px)",
        "auto",
    ),
)  # background-image and background-size of the style sheet


def data_address(kind: str, data: bytes) -> str:
    """A data: address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def class_style(
    number: int,  # of a class, in the order in which classes appear
) -> list[int]:
    """Indices of its colour in the palette and of its hatch; 32 combinations differ."""
    return [number % len(PALETTE), number // len(PALETTE) % len(HATCHES)]


def mel_images(
    log_mel: np.ndarray,  # (T, 96, 64)
    columns: int = 4000,  # largest width: browsers refuse very wide images
    webp: int | None = None,  # quality of WebP, 0 to 100; None: PNG, without loss
) -> dict[str, str]:
    """The spectrogram as two images from the same values, `light` and `dark`: loud is dark on a
    light page, and bright on a dark one."""
    flat = log_mel.reshape(-1, log_mel.shape[-1])
    step = -(-len(flat) // columns)
    flat = np.pad(flat, [(0, -len(flat) % step), (0, 0)], mode="edge")
    flat = flat.reshape(-1, step, flat.shape[-1]).max(1)  # keeps a short click
    low, high = float(flat.min()), max(float(flat.max()), float(flat.min()) + 1e-6)
    levels = np.round((flat - low) / (high - low) * 255).astype(np.uint8)
    found = {}
    for name, colours in (("light", LOUD), ("dark", LOUD.removesuffix("_r"))):
        image = Image.fromarray(np.ascontiguousarray(levels.T[::-1]), "P")
        table = matplotlib.colormaps[colours](np.arange(256), bytes=True)[:, :3]
        image.putpalette(table.tobytes())
        file = io.BytesIO()
        if webp is None:
            image.save(file, "PNG", optimize=True)
        else:
            image.convert("RGB").save(file, "WEBP", quality=webp, method=6)
        kind = "image/png" if webp is None else "image/webp"
        found[name] = data_address(kind, file.getvalue())
    return found
