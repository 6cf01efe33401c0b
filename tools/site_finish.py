"""Finishes a rendered site: Quarto runs it after each render (`post-render` in _quarto.yml);
`python tools/site_finish.py FOLDER` by hand.

Every page is read once, passes through the steps below, and is written if one of them changed it.
The render fails if a page or a style sheet still asks another host for anything."""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

from site_access import accessible
from site_anchors import anchored
from site_offline import STYLE_REQUEST, requests, stripped

SETTINGS = configparser.ConfigParser(delimiters=["="])
SETTINGS.read(Path(__file__).resolve().parent.parent / "settings.ini", encoding="utf-8")


def versioned(html: str) -> str:
    """The page with the package's version in its footer."""
    version = SETTINGS["DEFAULT"]["version"]
    return html.replace('<span class="version"></span>', f'<span class="version">{version}</span>')


STEPS = (stripped, accessible, anchored, versioned)


def main(folder: Path) -> int:
    """Finishes every page below the folder; returns 1, with a line each on standard error, if one
    still sends a request to another host."""
    left = []
    for page in sorted(folder.rglob("*.html")):
        before = after = page.read_text(encoding="utf-8")
        for step in STEPS:
            after = step(after)
        if after != before:
            page.write_text(after, encoding="utf-8")
        left += [f"{page}: asks {address}" for address in requests(after)]
    for sheet in sorted(folder.rglob("*.css")):
        left += [
            f"{sheet}: asks {address}"
            for address in STYLE_REQUEST.findall(sheet.read_text(encoding="utf-8"))
        ]
    print(*left, sep="\n", end="\n" if left else "", file=sys.stderr)
    return int(bool(left))


if __name__ == "__main__":
    place = Path(
        sys.argv[1] if len(sys.argv) > 1 else os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "_docs")
    )
    sys.exit(
        main(place) if place.is_dir() else f"{place}: no such folder; expected a rendered site"
    )
