"""The book's pages as data: titles, headings with anchors, which page explains which module."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avbook.errors import AvbookError

__all__ = [
    "Page",
    "Heading",
    "read_pages",
    "read_page",
    "anchor",
    "plain_text",
    "find_book",
    "find_stored",
]

REPOSITORY = "https://github.com/avbook/avbook"  # as in settings.ini, which is not installed
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Heading:
    """A heading of a page."""

    level: int  # 1 to 6
    text: str
    anchor: str  # from Pandoc, or given in the heading with {#…}
    cell: int  # its cell


@dataclass(frozen=True)
class Page:
    """A notebook of the book."""

    path: str  # relative to the folder of notebooks, such as "2_supervised/03_psp.ipynb"
    cells: tuple[dict[str, Any], ...]
    title: str
    about: str  # the line below the title
    headings: tuple[Heading, ...]

    @property
    def exports(self) -> list[str]:
        """The modules that the page exports, such as ["psp"]."""
        return re.findall(
            r"^#\|\s*default_exp\s+(\S+)",
            "\n".join(source(c) for c in self.cells if c["cell_type"] == "code"),
            flags=re.M,
        )

    def words(self, *kinds: str) -> str:
        """The sources of its cells of some kinds ("markdown", "code"), joined."""
        return "\n".join(source(cell) for cell in self.cells if cell["cell_type"] in kinds)

    def heading_at(self, cell: int) -> Heading | None:
        """The last heading at or before a cell, or None above the first one."""
        return next((h for h in reversed(self.headings) if h.cell <= cell), None)


def find_book(
    start: str | os.PathLike = ".",  # a folder
) -> Path:
    """The folder of notebooks: of the clone that contains `start`, else of the clone from which the
    package was installed with `pip install -e`. Raises `AvbookError` if there is none."""
    start = Path(start).resolve()
    for folder in (start, *start.parents, _PACKAGE.parent):
        if (folder / "settings.ini").is_file() and (folder / "nbs" / "records").is_dir():
            return folder / "nbs"
    raise AvbookError(f"{start}: not in a clone of the book's repository; {_not_installed()}")


def find_stored(
    path: str,  # relative to the repository: "nbs/records", or a file such as "benchmarks/…/a.json"
    start: str | os.PathLike = ".",  # the notebook's folder
) -> Path:
    """Run records or a benchmark's results: next to the notebook or in a folder above, if they were
    copied along, else in the clone that `find_book` finds.

    Raises `AvbookError` if they are in neither place."""
    start, name = Path(start).resolve(), Path(path).name
    for place in (start / name, start.parent / name):
        if place.is_file() or next(place.glob("*/*/seed-*.json"), None):
            return place
    place = find_book(start).parent / path
    if not place.exists():
        raise AvbookError(f"{place}: not found; {_not_installed()}")
    return place


def _not_installed() -> str:
    return (
        "the pages, their run records and results are part of the repository, not of the package:"
        f" `git clone {REPOSITORY}`, and open the notebook there"
    )


def read_pages(
    folder: str | os.PathLike,  # folder of notebooks
) -> list[Page]:
    """All pages below a folder, by path; working copies of tools are left out."""
    skipped = {".ipynb_checkpoints", "_proc", "_docs"}
    return [
        read_page(path, folder)
        for path in sorted(Path(folder).rglob("*.ipynb"))
        if not skipped & set(path.parts)
    ]


def read_page(
    path: str | os.PathLike,
    folder: str | os.PathLike,  # start of its relative path
) -> Page:
    """One page; raises `AvbookError` if the file does not start with a title and a one-line
    summary."""
    cells = tuple(json.loads(Path(path).read_text(encoding="utf-8"))["cells"])
    first = re.match(r"# (.+)\n\s*\n?> (.+)", source(cells[0])) if cells else None
    if first is None:
        raise AvbookError(
            f"{path}: expected a first cell with '# Title' and '> one line of description'"
        )
    return Page(
        Path(path).relative_to(folder).as_posix(),
        cells,
        first[1].strip(),
        first[2].strip(),
        tuple(_headings(cells)),
    )


def source(cell: dict[str, Any]) -> str:
    """A cell's text, in either form of a notebook."""
    return "".join(cell["source"])


def _headings(cells: Sequence[dict[str, Any]]) -> Iterator[Heading]:
    taken: dict[str, int] = {}
    for i, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        bare = re.sub(
            r"^(```|~~~).*?^\1", "", source(cell), flags=re.M | re.S
        )  # a # in a listing is a comment
        for marks, text in re.findall(r"^(#{1,6})\s+(.+?)\s*#*$", bare, flags=re.M):
            given = re.search(r"\{[^}]*#([\w.:-]+)[^}]*\}\s*$", text)
            text = re.sub(r"\s*\{[^}]*\}\s*$", "", text)
            name = given[1] if given else anchor(text)
            times = taken.get(name, 0)
            taken[name] = times + 1
            yield Heading(len(marks), plain_text(text), f"{name}-{times}" if times else name, i)


def plain_text(
    markdown: str,
) -> str:
    """One line of Markdown without markup: emphasis, code, links, dollar signs."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"[*`$]|(?<!\w)_|_(?!\w)", "", text)


def anchor(
    heading: str,  # Markdown of the heading
) -> str:
    """Pandoc's identifier of a heading: letters, digits, `_-.`, spaces as hyphens, nothing before
    the first letter."""
    text = re.sub(r"[^\w\s.-]", "", plain_text(heading)).strip().lower()
    text = re.sub(r"\s+", "-", text)
    return re.sub(r"^[^a-zA-Z\u00aa-\uffff]+", "", text) or "section"
