"""Gives the code of a rendered site anchors: Quarto runs it after each render (`post-render` in
_quarto.yml); `python tools/site_anchors.py FOLDER` by hand.

A chapter shows the source of what it exports, and nbdev links a name in backticks to the chapter
with the name as anchor, such as psp.html#pair_similarity. Here the listing that defines the name
gets that anchor, and those of a class's methods (#memorybank.update)."""

from __future__ import annotations

import os
import re
import sys
from html import unescape
from pathlib import Path

LISTING = re.compile(r'<div class="sourceCode"[^>]*>\s*<pre\b.*?</pre>', flags=re.S)


def defined(code: str) -> list[str]:
    """The anchors of what a listing defines: functions, classes and their methods, in lower case as
    nbdev writes them."""
    found, inside = [], ""
    for indent, kind, name in re.findall(r"^( *)(def|class) (\w+)", code, flags=re.M):
        if not indent:
            inside = name if kind == "class" else ""
            found.append(name.lower())
        elif inside and len(indent) == 4 and kind == "def":
            found.append(f"{inside}.{name}".lower())
    return found


def anchored(html: str) -> str:
    """The page with an anchor before each listing for every name that it is the first to define."""
    taken = set(re.findall(r'\bid="([^"]+)"', html))

    def with_anchors(found: re.Match) -> str:
        code = unescape(re.sub(r"<[^>]+>", "", found[0]))
        new = [name for name in dict.fromkeys(defined(code)) if name not in taken]
        taken.update(new)
        return "".join(f'<span id="{name}"></span>' for name in new) + found[0]

    return LISTING.sub(with_anchors, html)


def main(folder: Path) -> int:
    """Writes the anchors into every page below the folder."""
    for page in sorted(folder.rglob("*.html")):
        before = page.read_text(encoding="utf-8")
        after = anchored(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    place = Path(
        sys.argv[1] if len(sys.argv) > 1 else os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "_docs")
    )
    sys.exit(
        main(place) if place.is_dir() else f"{place}: no such folder; expected a rendered site"
    )
