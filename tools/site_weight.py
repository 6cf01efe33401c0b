"""What each page of a rendered site weighs: `python tools/site_weight.py FOLDER` prints a table and
exits with 1 if a page is over its limit, or if there is none.

Counted is what a browser loads to show the whole page: the page itself, its style sheets with
their fonts, scripts, images, frames and what these load. The index of the search, a sound that
is loaded when it is played and an explorer's static figure do not count."""

from __future__ import annotations

import gzip
import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

LIMIT, RESULTS_LIMIT = 1_500_000, 3_000_000  # bytes
RESULTS = re.compile(  # pages of results, with many figures and tables
    r"2_supervised/(results|cases)|3_parsing/(refinement_)?results|6_evidence/.*"
    r"|4_unsupervised/(results|stages|labels_and_relevance)"
)
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
}


@dataclass(frozen=True)
class Weight:
    """A page and the bytes that it loads."""

    page: str  # its path in the site, without .html
    raw: int  # as a plain server sends them
    compressed: int  # by gzip, file by file

    @property
    def limit(self) -> int:
        return RESULTS_LIMIT if RESULTS.fullmatch(self.page) else LIMIT


class _Loaded(HTMLParser):
    """The addresses that a page loads."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[str] = []
        self.when_played = False  # inside a player that loads nothing before
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        told = {name: value or "" for name, value in attrs}
        if tag in ("audio", "video"):
            self.when_played = told.get("preload") == "none"
        if tag == "link" and set(told.get("rel", "").split()) & {"stylesheet", "icon", "preload"}:
            self.found.append(told.get("href", ""))
        elif told.get("loading") == "lazy":  # an explorer's figure for readers without scripts
            pass
        elif tag in LOADS and not (tag in ("audio", "video", "source") and self.when_played):
            self.found.append(told.get(LOADS[tag], ""))

    def handle_endtag(self, tag):
        if tag in ("audio", "video"):
            self.when_played = False


def loaded(file: Path, seen: set[Path] | None = None) -> set[Path]:
    """The file and all files that it loads."""
    seen = set() if seen is None else seen
    if file in seen or not file.is_file():
        return seen
    seen.add(file)
    found: list[str] = []
    if file.suffix == ".html":
        found = _Loaded(file.read_text(encoding="utf-8")).found
    elif file.suffix == ".css":
        found = re.findall(r"url\(\s*['\"]?([^'\")]+)", file.read_text(encoding="utf-8"))
    for address in found:
        if not re.match(r"[a-z][a-z+.-]*:|//|#|$", address):
            loaded((file.parent / unquote(re.split(r"[?#]", address)[0])).resolve(), seen)
    return seen


def weigh(folder: Path) -> list[Weight]:
    """All pages, the heaviest first."""
    folder = folder.resolve()
    sizes: dict[Path, tuple[int, int]] = {}
    out = []
    for page in folder.rglob("*.html"):
        files = loaded(page)
        for file in files - set(sizes):
            content = file.read_bytes()
            sizes[file] = len(content), len(gzip.compress(content))
        raw, compressed = (sum(sizes[file][i] for file in files) for i in (0, 1))
        out.append(Weight(page.relative_to(folder).with_suffix("").as_posix(), raw, compressed))
    return sorted(out, key=lambda weight: -weight.raw)


def main(folder: Path) -> int:
    weights = weigh(folder)
    print("    MB   gzip")
    for w in weights:
        over = f"  over {w.limit / 1e6:.1f} MB" if w.raw > w.limit else ""
        print(f"{w.raw / 1e6:6.2f} {w.compressed / 1e6:6.2f}  {w.page}{over}")
    return int(not weights or any(w.raw > w.limit for w in weights))


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "_docs")
    sys.exit(
        main(place) if place.is_dir() else f"{place}: no such folder; expected a rendered site"
    )
