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

__all__ = ["Page", "Heading", "read_pages", "read_page", "anchor", "plain_text", "find_book"]


@dataclass(frozen=True)
class Heading:
    """A heading of a page."""

    level: int  # 1 to 6
    text: str
    anchor: str  # as Pandoc gives it, or as the heading says with {#…}
    cell: int  # the cell it stands in


@dataclass(frozen=True)
class Page:
    """A notebook of the book."""

    path: str  # from the folder of notebooks, such as "2_supervised/03_psp.ipynb"
    cells: tuple[dict[str, Any], ...]
    title: str
    about: str  # the line below the title
    headings: tuple[Heading, ...]

    @property
    def exports(self) -> list[str]:
        """The modules it writes, such as ["psp"]."""
        return re.findall(
            r"^#\|\s*default_exp\s+(\S+)",
            "\n".join(source(c) for c in self.cells if c["cell_type"] == "code"),
            flags=re.M,
        )

    def words(self, *kinds: str) -> str:
        """The sources of its cells of some kinds ("markdown", "code"), one after the other."""
        return "\n".join(source(cell) for cell in self.cells if cell["cell_type"] in kinds)

    def heading_at(self, cell: int) -> Heading | None:
        """The last heading at or before a cell, or None above the first one."""
        return next((h for h in reversed(self.headings) if h.cell <= cell), None)


def find_book(
    start: str | os.PathLike = ".",  # anywhere inside a clone of the repository
) -> Path:
    """The folder of notebooks, looked for from `start` upwards; raises `AvbookError` outside a
    clone."""
    for folder in (Path(start).resolve(), *Path(start).resolve().parents):
        if (folder / "settings.ini").exists() and (folder / "nbs").is_dir():
            return folder / "nbs"
    raise AvbookError(
        f"{Path(start).resolve()}: no folder 'nbs' beside a settings.ini here or above; expected a"
        " clone of the book's repository"
    )


def read_pages(
    folder: str | os.PathLike,  # of notebooks
) -> list[Page]:
    """All pages below a folder, by path; work copies of tools are left out."""
    skipped = {".ipynb_checkpoints", "_proc", "_docs"}
    return [
        read_page(path, folder)
        for path in sorted(Path(folder).rglob("*.ipynb"))
        if not skipped & set(path.parts)
    ]


def read_page(
    path: str | os.PathLike,
    folder: str | os.PathLike,  # that its path is told from
) -> Page:
    """One page; raises `AvbookError` where the file does not start with a title and a line of
    description."""
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
    """A cell's text, however the notebook stores it."""
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
    """Markdown of one line without its marks: emphasis, code, links, dollar signs."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"[*`$]|(?<!\w)_|_(?!\w)", "", text)


def anchor(
    heading: str,  # its Markdown
) -> str:
    """The identifier Pandoc gives a heading: letters, digits, `_-.`, spaces as hyphens, nothing
    before the first letter."""
    text = re.sub(r"[^\w\s.-]", "", plain_text(heading)).strip().lower()
    text = re.sub(r"\s+", "-", text)
    return re.sub(r"^[^a-zA-Z\u00aa-\uffff]+", "", text) or "section"
