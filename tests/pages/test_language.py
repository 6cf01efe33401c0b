"""The book's language and path: the field's words, short code, one width of figures; each page says
what to know before it and what comes next; each equation is typeset once."""

import re

import language
import pytest
import site_files
from processes import ROOT

from avbook.papers import EQUATIONS
from avbook.show.pages import read_page, source

PAGES = site_files.listed(site_files.sidebar())
CHAPTERS = [
    path for path in PAGES if re.match(r"[1-6]_\w+/\d", path) or re.match(r"appendix\w*/\d", path)
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_uses_the_words_of_the_field(path):
    found = language.words_of_page(ROOT / "nbs" / path)
    assert not found, f"python tools/language.py nbs/{path}\n" + "\n".join(found[:20])


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_short_cells_short_lines_and_figures_of_one_width(path):
    found = language.form_of_page(ROOT / "nbs" / path)
    assert not found, f"python tools/language.py nbs/{path}\n" + "\n".join(found[:20])


def test_the_package_uses_the_words_of_the_field():
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in language.modules()
        if (lines := language.words_of_module(path))
    }
    assert not found, "\n".join(f"{path}: {lines[0]}" for path, lines in found.items())


def test_house_words_are_found_where_they_stand():
    assert language.house_words("The picture is named rightly.", "nbs/a.ipynb")
    assert language.house_words("MA less HAN", "nbs/a.ipynb") == ["'MA less HAN': minus"]
    assert not language.house_words("The frames are classified correctly.", "nbs/a.ipynb")
    assert not language.house_words(language.plain("`picture` and [x](picture.ipynb)"), "a")
    said = list(language.strings('"""A docstring."""\nx = "key"  # a comment\nf"a picture {x}"'))
    assert '"""A docstring."""' in said and "# a comment" in said and '"key"' not in said


def test_an_allowed_word_still_stands_in_its_place():
    for path, pattern in language.ALLOWED:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(pattern, text, flags=re.I), f"{path}: no {pattern!r} any more"


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_chapter_says_what_comes_before_and_what_comes_next(path):
    page = read_page(ROOT / "nbs" / path, ROOT / "nbs")
    text = [source(cell) for cell in page.cells if cell["cell_type"] == "markdown"]
    assert any(said.startswith("**Before this page:**") for said in text[1:4]), path
    told = re.search(r"^\*\*Next:\*\* .*?\]\(([^)#]+)", text[-1], flags=re.M)
    assert told, f"{path}: the last cell ends without **Next:**"
    place = (ROOT / "nbs" / path).parent.joinpath(told[1]).resolve()
    following = PAGES[PAGES.index(path) + 1]
    if following.endswith("/index.ipynb"):  # a part ends: any page of another
        assert place.parent.name != path.split("/")[0], f"{path}: the part ends here"
    else:
        assert place == (ROOT / "nbs" / following).resolve(), f"{path}: next is {following}"


def test_no_chapter_is_longer_than_half_an_hour():
    long = {
        path: minutes
        for path in PAGES
        if (minutes := site_files.reading_minutes(read_page(ROOT / "nbs" / path, ROOT / "nbs")))
        > 30
    }
    assert not long, f"make two pages of each: {long}"


def test_each_equation_of_the_papers_is_typeset_once_with_its_number():
    found: dict[str, list[str]] = {}
    for path in PAGES:
        text = read_page(ROOT / "nbs" / path, ROOT / "nbs").words("markdown")
        for name, number, formula in re.findall(
            r'<span id="(eq-(?:psp|ma|cmlcl)-(\d+))"></span>\s*\$\$(.*?)\$\$', text, flags=re.S
        ):
            assert re.search(rf"\({number}\)\s*$", formula), f"{path}: {name} without its number"
            found.setdefault(name, []).append(path)
    wanted = {f"eq-{key}-{number}" for key, numbers in EQUATIONS.items() for number in numbers}
    assert set(found) == wanted, sorted(set(found) ^ wanted)
    twice = {name: paths for name, paths in found.items() if len(paths) > 1}
    assert not twice, twice
