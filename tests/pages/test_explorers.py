"""The explorers that pages hold: up to date, and each opens from its stored output."""

import json

import explorer_scripts
import pytest
from browser import overflow, violations
from tree import NOTEBOOKS, ROOT

from avbook.show.explorers.base import SCRIPTS

KINDS = {p.stem for p in SCRIPTS.glob("*.js") if "\nstart(" in p.read_text(encoding="utf-8")}


def found(path) -> list[str]:
    """The HTML of a notebook's explorers."""
    cells = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
    stored = [data for cell in cells for data in explorer_scripts.stored(cell)]
    return ["".join(data["text/html"]) for data in stored]


STORED = {path.as_posix(): html for path in NOTEBOOKS if (html := found(path))}


def test_every_explorer_is_on_a_page():
    on_pages = {kind for html in STORED.values() for text in html for kind in kinds(text)}
    assert on_pages == KINDS


def kinds(html: str) -> list[str]:
    return [kind for _, kind, _, _ in explorer_scripts.STORED.findall(html)]


@pytest.mark.parametrize("path", STORED)
def test_a_stored_script_is_the_present_one(path):
    assert not explorer_scripts.outdated(ROOT / path), "run `python tools/explorer_scripts.py`"


@pytest.mark.parametrize("width, dark", [(1280, False), (390, True)])
@pytest.mark.parametrize("path", STORED)
def test_a_stored_explorer_opens(path, width, dark, browser):
    for html in STORED[path]:
        page = browser.open(html, width, dark)
        assert page.locator(".avbook-explorer[data-started=true]").count() == 1
        assert overflow(page) == 0 and violations(page) == []
