"""Makes a rendered site lighter without changing how it looks: Quarto runs it after each render
(`post-render` in _quarto.yml); `python tools/site_lighter.py FOLDER` by hand.

Quarto's style sheets are a megabyte a page, most of it for components that no page has, and its
icon font has two thousand icons of which a site shows about ten. So here

- a style sheet of Quarto's loses the rules whose classes occur in no page and no script,
- the icon font keeps the icons that the style sheet still names,
- a figure gets a palette, or fewer steps of each colour, too little to be visible,
- a sound or an explorer's image stored inside a page becomes a file; a sound is loaded when it is
  played.

A second run changes nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import re
import sys
from pathlib import Path

import numpy as np
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image

from avbook.show.explorers.base import wav_file

SHEETS = "site_libs/bootstrap/*.css"  # Quarto's; those of the book are left as they are
ICONS = "site_libs/bootstrap/bootstrap-icons"
VISIBLE = 8  # of 256 steps, in one pixel of a thousand
STEP = 6
SOUND = re.compile(r'(<audio\b[^>]*)>(.*?)"data:audio/wav;base64,([^"]+)"', flags=re.S)
EXPLORER = re.compile(r'<div class="avbook-explorer"[^>]*><img src="data:.*?</script>', flags=re.S)
IMAGE = re.compile(r"data:image/webp;base64,([A-Za-z0-9+/=]+)")
AUDIO = re.compile(r'"samples":"([A-Za-z0-9+/=]+)","rate":(\d+)')


def names_used(folder: Path) -> set[str]:
    """The words that can be a class on some page: those in class attributes, and all in scripts."""
    found: set[str] = set()
    for page in folder.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        for classes in re.findall(r'\bclass\s*=\s*"([^"]*)"', html):
            found.update(classes.split())
        for script in re.findall(r"<script\b[^>]*>(.*?)</script", html, flags=re.S):
            found.update(re.findall(r"[\w-]+", script))
    for script in folder.rglob("*.js"):
        found.update(re.findall(r"[\w-]+", script.read_text(encoding="utf-8")))
    return found


def blocks(css: str):
    """(prelude, body or None) of each rule at the top level of a style sheet; a statement such as
    `@charset "utf-8"` has no body."""
    css = re.sub(r"/\*(?!!).*?\*/", "", css, flags=re.S)  # licences stay
    start = depth = opened = 0
    for found in re.finditer(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|/\*.*?\*/|[{};]', css, re.S):
        mark = found[0]
        if mark == "{":
            depth += 1
            opened = found.end() if depth == 1 else opened
        elif mark == "}":
            depth -= 1
            if not depth:
                yield css[start : opened - 1].strip(), css[opened : found.start()]
                start = found.end()
        elif mark == ";" and not depth:
            yield css[start : found.start()].strip(), None
            start = found.end()


def applies(selector: str, names: set[str]) -> bool:
    """Whether all classes of a selector occur; what stands in brackets is not asked for."""
    bare = re.sub(r"\[[^\]]*\]|\([^()]*\)", "", re.sub(r"\([^()]*\)", "", selector))
    classes = re.findall(r"\.((?:[\w-]|\\.)+)", bare)
    return all("\\" in name or name in names or _built(name, names) for name in classes)


def _built(name: str, names: set[str]) -> bool:
    """Whether a script may put the class together: the search does so with aa-… and bi-…."""
    return name.startswith("aa-") or name.startswith("bi-") and name[3:] in names


def purged(css: str, names: set[str]) -> str:
    """The style sheet without the selectors that match nothing, and the rules left without one."""
    out = []
    for prelude, body in blocks(css):
        licence, told = re.match(r"((?:/\*.*?\*/\s*)*)(.*)", prelude, flags=re.S).groups()
        if body is None:
            kept = f"{prelude};"
        elif told.startswith(("@media", "@supports", "@container", "@layer")):
            inside = purged(body, names)
            kept = f"{prelude}{{{inside}}}" if inside else ""
        elif told.startswith("@"):
            kept = f"{prelude}{{{body}}}"
        else:
            parts = re.split(r",(?![^(\[]*[)\]])", told)
            left = ",".join(part for part in parts if applies(part, names))
            kept = f"{licence}{left}{{{body}}}" if left else ""
        out.append(kept)
    return "".join(out)


def cut_icons(folder: Path) -> None:
    """Leaves the icon font the characters that its style sheet names."""
    for path in sorted(folder.glob(ICONS + ".woff")):
        sheet = path.with_suffix(".css").read_text(encoding="utf-8")
        wanted = {int(code, 16) for code in re.findall(r'content:\s*"\\([0-9a-f]+)"', sheet)}
        # its boxes are all zero; right ones would move the drawings
        font = TTFont(path, recalcBBoxes=False, recalcTimestamp=False)
        if not set(font.getBestCmap()) - wanted:
            continue
        options = subset.Options(flavor="woff")
        chosen = subset.Subsetter(options)
        chosen.populate(unicodes=wanted)
        chosen.subset(font)
        subset.save_font(font, str(path), options)


def small_png(png: bytes) -> bytes:
    """A figure of Matplotlib with a palette of 256 colours or, where colours would change visibly,
    with each channel in steps of `STEP`. Another image, and a figure done before, stays."""
    image = Image.open(io.BytesIO(png))
    if not image.info.get("Software", "").startswith("Matplotlib"):
        return png
    image = image.convert("RGB")
    exact = np.asarray(image).astype(int)
    small = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    off = np.abs(np.asarray(small.convert("RGB")) - exact).max(-1)
    if np.quantile(off, 0.999) > VISIBLE:
        steps = np.minimum(255, (exact + STEP // 2) // STEP * STEP)
        small = Image.fromarray(np.where(exact == 255, 255, steps).astype(np.uint8))
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    return out.getvalue()


def with_media_as_files(page: Path) -> None:
    """Writes the sounds and the explorers' images that are stored in a page beside it. Sounds are
    loaded when they are played, an explorer's static figure where scripts are off."""

    def file(content: bytes, kind: str) -> str:
        name = f"{page.stem}-{hashlib.sha256(content).hexdigest()[:8]}.{kind}"
        page.with_name(name).write_bytes(content)
        return name

    def sound(found: re.Match) -> str:
        return f'{found[1]} preload="none">{found[2]}"{file(base64.b64decode(found[3]), "wav")}"'

    def image(found: re.Match) -> str:
        return file(base64.b64decode(found[1]), "webp")

    def audio(found: re.Match) -> str:
        stored = {"samples": found[1], "rate": int(found[2])}
        return f'"address":"{file(wav_file(stored), "wav")}"'

    def explorer(found: re.Match) -> str:
        return AUDIO.sub(audio, IMAGE.sub(image, found[0].replace("<img ", '<img loading="lazy" ')))

    before = page.read_text(encoding="utf-8")
    after = SOUND.sub(sound, before)
    if "base64," in after:
        after = EXPLORER.sub(explorer, after)
    if after != before:
        page.write_text(after, encoding="utf-8")


def main(folder: Path) -> int:
    for page in sorted(folder.rglob("*.html")):
        with_media_as_files(page)
    names = names_used(folder)
    for sheet in sorted(folder.glob(SHEETS)):
        sheet.write_text(purged(sheet.read_text(encoding="utf-8"), names), encoding="utf-8")
    cut_icons(folder)
    for image in sorted(folder.rglob("*.png")):
        before = image.read_bytes()
        after = small_png(before)
        if after != before:
            image.write_bytes(after)
    return 0


if __name__ == "__main__":
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on the font's own faults
    place = Path(
        sys.argv[1] if len(sys.argv) > 1 else os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "_docs")
    )
    sys.exit(
        main(place) if place.is_dir() else f"{place}: no such folder; expected a rendered site"
    )
