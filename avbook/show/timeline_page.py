"""Timelines as an HTML page: the video with audio, frames, spectrogram, and events in rows.

The page is one file that loads nothing from elsewhere: it contains style and script
(avbook/show/assets), the images, and the video if it is small enough; larger videos are linked."""

from __future__ import annotations

import html
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

import avbook
from avbook.common.files import check_regular, os_fault, read_bytes, write_text
from avbook.errors import AvbookError
from avbook.features.small_clip import SmallClip, Thumbnail
from avbook.features.timelines import Timeline
from avbook.show.embedded import HATCHES, class_style, data_address, mel_images
from avbook.show.plots import PALETTE

__all__ = ["EMBEDDED_MB", "PageClip", "page_clip", "write_page"]

EMBEDDED_MB = 25  # largest embedded video, in 10**6 bytes
ASSETS = Path(__file__).parent / "assets"
DARK = {"#000000": "#E9EBEE"}  # colours of the palette that are invisible on a dark page
TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # browsers refuse "video/quicktime" but can play its content
    ".webm": "video/webm",
    ".mkv": "video/webm",
    ".ogv": "video/ogg",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
}  # by suffix; others are left to the browser


@dataclass(frozen=True)
class PageClip:
    """What the page shows of one video."""

    timeline: Timeline
    path: Path | None = None  # path of the video; None: the page has only the timeline
    thumbnails: tuple[Thumbnail, ...] = ()
    log_mel: np.ndarray | None = None  # (T, 96, 64)


def page_clip(
    timeline: Timeline,
    path: str | os.PathLike | None = None,  # path of the video
    small: SmallClip | None = None,  # the same video, decoded
) -> PageClip:
    """The content of the page: thumbnails and, if there is audio, the spectrogram."""
    video = None if path is None else Path(path)
    if small is None:
        return PageClip(timeline, video)
    log_mel = None if small.clip.silent else small.log_mel
    return PageClip(timeline, video, tuple(small.thumbnails()), log_mel)


def write_page(
    path: str | os.PathLike,  # ends in .html; its folder is made
    clips: Sequence[PageClip],  # with several, the page has a list to choose from
    title: str | None = None,  # title of the window; None: the first video's name
    embed_mb: float = EMBEDDED_MB,  # larger videos are linked, relative to the page
) -> int:
    """Writes the page whole or not at all, and returns its size in bytes.

    Raises `AvbookError` without a clip, for a missing video, and if the page cannot be written."""
    if not clips:
        raise AvbookError(f"{path}: no clip to show; expected at least one")
    folder = Path(path).parent
    names = dict.fromkeys(event.event for clip in clips for event in clip.timeline.events)
    data = {
        "clips": [_clip_data(clip, folder, embed_mb) for clip in clips],
        "styles": {name: class_style(number) for number, name in enumerate(names)},
    }
    parts = {
        "version": html.escape(avbook.__version__),
        "title": html.escape(title or clips[0].timeline.video),
        "colours": _colours(),
        "style": _asset("timeline.css"),
        "script": _asset("timeline.js"),
        "data": _for_script(data),
    }
    # in one pass, so that a name such as "{{data}}" stays unchanged
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("timeline.html"))
    try:
        write_text(path, text)
    except OSError as error:
        raise os_fault(path, error) from None
    return len(text.encode())


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8").strip()


def _for_script(data: Any) -> str:
    """JSON that is safe inside a <script>: nothing in it can end the script or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


# ------------------------------------------------------------------------------------------ colours
def _colours() -> str:
    """The palette and the hatches as variables of the style sheet."""
    light = [f"--colour-{k}: {colour};" for k, colour in enumerate(PALETTE)]
    dark = [f"--colour-{k}: {DARK[c]};" for k, c in enumerate(PALETTE) if c in DARK]
    for k, (hatch, size) in enumerate(HATCHES):
        light.append(f"--hatch-{k}: {hatch}; --hatch-size-{k}: {size};")
    told = [":root {", *light, "}"]
    return "\n".join(
        [*told, "@media screen and (prefers-color-scheme: dark) { :root {", *dark, "} }"],
    )


# ----------------------------------------------------------------------------------------- one clip
def _clip_data(clip: PageClip, folder: Path, embed_mb: float) -> dict[str, Any]:
    """The data of a clip for the page's script."""
    told = clip.timeline.to_json()
    return {
        "name": told["video"],
        "seconds": told["seconds"],
        "model": _model_words(clip.timeline),
        "notes": told["notes"],
        "source": None if clip.path is None else _source(clip.path, folder, embed_mb),
        "picture": bool(clip.thumbnails),
        "frames": [_frame_data(thumbnail) for thumbnail in clip.thumbnails],
        "mel": None if clip.log_mel is None else mel_images(clip.log_mel),
        "events": told["events"],
    }


def _model_words(timeline: Timeline) -> str:
    """The model and its extractors, such as "zero-shot (yamnet, efficientnet-lite0)"."""
    entries = (timeline.extractors or {}).values()
    names = [entry["name"] for entry in entries if isinstance(entry, dict) and "name" in entry]
    return f"{timeline.model} ({', '.join(names)})" if names else timeline.model


def _source(path: Path, folder: Path, embed_mb: float) -> str:
    """The video itself as a data address, or a link to it from the page's folder."""
    size = check_regular(path).st_size
    if size <= embed_mb * 1e6:
        kind = TYPES.get(path.suffix.lower(), "video/mp4")
        return data_address(kind, read_bytes(path))
    try:
        link = os.path.relpath(path, folder)
    except ValueError:  # another drive on Windows
        return path.absolute().as_uri()
    address = "/".join(quote(os.fsencode(part)) for part in Path(link).parts)
    return address if link.startswith(os.pardir) else f"./{address}"  # "a:b.mp4" has no scheme


def _frame_data(thumbnail: Thumbnail) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(thumbnail.picture).save(file, "JPEG", quality=75)
    return {
        "time": round(thumbnail.time, 2),
        "source": data_address("image/jpeg", file.getvalue()),
    }
