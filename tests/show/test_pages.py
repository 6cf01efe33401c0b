"""Where the pages find what they read: the clone they lie in, what was taken along with them, the
clone that the package was installed from; else one line."""

import configparser
import json
import re
from pathlib import Path

import pytest
from processes import ROOT
from tree import NOTEBOOKS

from avbook.errors import AvbookError
from avbook.show import pages
from avbook.show.pages import find_book, find_stored


@pytest.fixture()
def clone(tmp_path) -> Path:
    """A clone, as far as it matters."""
    top = tmp_path / "clone"
    for name in (
        "settings.ini",
        "nbs/2_supervised/05_results.ipynb",
        "nbs/records/psp-full/key/seed-0.json",
        "benchmarks/results/search.json",
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("{}")
    return top


@pytest.fixture()
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A folder outside any clone, with a package that was installed from a wheel."""
    monkeypatch.setattr(pages, "_PACKAGE", tmp_path / "site-packages" / "avbook")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    return folder


RECORDS, RESULTS = "nbs/records", "benchmarks/results/search.json"


@pytest.mark.parametrize("start", [".", "nbs", "nbs/2_supervised", "benchmarks/results"])
def test_in_a_clone_its_own_are_found(clone, elsewhere, start):
    assert find_book(clone / start) == clone / "nbs"
    assert find_stored(RECORDS, clone / start) == clone / RECORDS
    assert find_stored(RESULTS, clone / start) == clone / RESULTS


def test_outside_a_clone_those_it_was_installed_from(clone, elsewhere, monkeypatch):
    monkeypatch.setattr(pages, "_PACKAGE", clone / "avbook")
    assert find_book(elsewhere) == clone / "nbs"
    assert find_stored(RESULTS, elsewhere) == clone / RESULTS


@pytest.mark.parametrize("beside", [".", ".."])
def test_what_was_taken_along_with_a_page_comes_first(clone, elsewhere, beside, monkeypatch):
    monkeypatch.setattr(pages, "_PACKAGE", clone / "avbook")
    place = (elsewhere / beside).resolve()
    (place / "records/ma/key").mkdir(parents=True)
    assert find_stored(RECORDS, elsewhere) == clone / RECORDS  # a folder without records is none
    (place / "records/ma/key/seed-3.json").write_text("{}")
    (place / "search.json").write_text("{}")
    assert find_stored(RECORDS, elsewhere) == place / "records"
    assert find_stored(RESULTS, elsewhere) == place / "search.json"


def test_elsewhere_one_line_says_what_to_do(elsewhere):
    (elsewhere / "settings.ini").write_text("[DEFAULT]\n")  # of another project with notebooks
    (elsewhere / "nbs").mkdir()
    for call in (find_book, lambda start: find_stored(RECORDS, start)):
        with pytest.raises(AvbookError, match="git clone https://.*open the notebook") as error:
            call(elsewhere)
        assert str(elsewhere) in str(error.value) and "\n" not in str(error.value)


def test_what_a_clone_lacks_is_named(clone, elsewhere):
    with pytest.raises(AvbookError, match=r"metrics\.json: not found.*git clone"):
        find_stored("benchmarks/results/metrics.json", clone)


def test_the_repository_is_that_of_the_settings():
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    assert settings["DEFAULT"]["git_url"] == pages.REPOSITORY


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_no_page_reads_by_a_path_relative_to_itself(path):
    cells = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    found = re.findall(r"(?:Records|Path|open|read_pages|np\.load)\(\"(?:\.|records|nbs).*", code)
    assert not found, "use avbook.show.pages.find_stored"
