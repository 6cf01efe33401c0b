"""The site: every page is reachable, every link and anchor leads somewhere, what pages say of themselves is in step, nothing is fetched from elsewhere to read one."""
import json
import re
import shlex
from urllib.parse import unquote

import pytest
import site_files
import typer
import yaml
from test_notebooks import BIN, NOTEBOOKS, ROOT, copy_tree, run_there

from avbook.cli import app
from avbook.pages import _headings, read_page, read_pages, source
from avbook.paper import TABLES
from avbook.recipes import RECIPES

SITE = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
PAGES = site_files.listed(site_files.sidebar())


# ----------------------------------------------------------------------------------------------------------- navigation
def test_every_page_is_in_the_sidebar_once_and_every_entry_exists():
    assert sorted(PAGES) == sorted(p.relative_to("nbs").as_posix() for p in NOTEBOOKS)
    for entry in SITE["website"]["navbar"]["left"]:
        assert (ROOT / "nbs" / entry["href"]).exists(), entry


def test_parts_come_in_reading_order_and_begin_with_an_introduction():
    firsts = [path for path in PAGES if path.endswith("/index.ipynb")]
    assert firsts == [f"{part}/index.ipynb" for part in ("1_problem", "2_supervised", "3_parsing", "4_unsupervised", "5_evidence", "reference")]
    for first, entries in site_files.parts().items():
        assert {path.split("/")[0] for path in site_files.listed(entries)} == {first.split("/")[0]}
    assert [entry["href"] for entry in SITE["website"]["navbar"]["left"]] == ["start.ipynb", *firsts]


def test_the_settings_link_of_nbdev_is_a_link():
    assert (ROOT / "nbs/_quarto.yml").is_symlink() and (ROOT / "nbs/_quarto.yml").resolve() == (ROOT / "_quarto.yml").resolve()


# ------------------------------------------------------------------------------------------ what pages say of themselves
@pytest.mark.parametrize("path", PAGES)
def test_the_facts_and_contents_of_a_page_are_in_step(path):
    seconds = site_files.measured()
    stored = json.loads((ROOT / "nbs" / path).read_text(encoding="utf-8"))["cells"]
    assert [source(cell) for cell in stored] == [source(cell) for cell in site_files.rendered(path, seconds)], "run: python tests/site_files.py"


def test_the_text_for_language_models_is_in_step():
    assert (ROOT / "nbs/llms.txt").read_text(encoding="utf-8") == site_files.llms(), "run: python tests/site_files.py"
    assert "*.txt" in SITE["project"]["resources"]


def test_facts_of_a_page_by_hand(tmp_path):
    cells = [("markdown", "# A\n\n> about"), ("markdown", "word " * 401 + "PSP says so"), ("code", "#| default_exp psp"), ("code", "\n".join(["x = Records()"] * 20))]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": kind, "source": text} for kind, text in cells]}))
    page = read_page(tmp_path / "a.ipynb", tmp_path)
    said = site_files.facts(page, {"a.ipynb": 12.0})
    assert "4 min to read" in said, "407 words are two minutes and a bit, 21 lines of code one minute and a bit"
    assert "under half a minute" in said and "data: run records" in said and "PSP [@zhou2021psp]" in said and "avbook/psp.py" in said and "nbs/a.ipynb" in said


def test_the_plain_modules_are_documented():
    assert sorted(site_files.MODULES) == site_files.plain_modules()
    cells = read_page(site_files.API, ROOT / "nbs").cells
    start = next(i for i, cell in enumerate(cells) if source(cell).startswith("## avbook."))
    assert [source(cell) for cell in cells[start:]] == [text for _, text in site_files.api_cells()], "run: python tests/site_files.py --api, then the page"
    bare = [source(cell) for cell in cells[start:] if cell["cell_type"] == "code" and not cell["outputs"]]
    assert not bare, f"run the page: {bare[:3]}"


# ---------------------------------------------------------------------------------------------------------- bibliography
def test_citations_are_in_the_bibliography():
    bibliography = (ROOT / "nbs" / SITE["bibliography"]).read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", bibliography, flags=re.M))
    cited = {key for page in read_pages(ROOT / "nbs") for key in re.findall(r"\[[^\]]*?@([a-z]+\d{4}\w*)", page.words("markdown"))}
    assert cited <= known and {"zhou2021psp", "wu2021ma", "bao2023cmlcl"} <= cited, cited ^ known
    for line in re.findall(r"title: \"(.+?)\"", (ROOT / "CITATION.cff").read_text(encoding="utf-8")):
        assert line in bibliography, f"CITATION.cff and references.bib differ: {line}"


# ----------------------------------------------------------------------------------------------------- processed pages
@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    """The pages as Quarto is given them: imports, exports and the documentation of every export, run as the docs build runs them."""
    folder = copy_tree(tmp_path_factory.mktemp("site") / "avbook")
    run_there(folder, BIN / "python", "-c", "from nbdev.serve import proc_nbs; proc_nbs()")
    return {p.relative_to(folder / "_proc").as_posix(): json.loads(p.read_text(encoding="utf-8"))["cells"] for p in sorted((folder / "_proc").rglob("*.ipynb"))}


def texts(cells):
    """The Markdown and HTML a reader gets of each cell."""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            yield source(cell)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            yield "".join(data.get("text/markdown", data.get("text/html", "")))


def test_processed_pages_hold_no_error(processed):
    assert len(processed) == len(NOTEBOOKS)
    broken = [f"{path}: {source(cell)[:80]!r}" for path, cells in processed.items() for cell in cells
              if any(o["output_type"] == "error" or "Traceback" in json.dumps(o) for o in cell.get("outputs", []))]
    assert not broken, broken


def test_every_link_and_anchor_leads_somewhere(processed):
    anchors = {}
    for path, cells in processed.items():
        found = [{"cell_type": "markdown", "source": text} for text in texts(cells)]
        anchors[path] = {heading.anchor for heading in _headings(found)} | set(re.findall(r"\bid=\"([^\"]+)\"", "\n".join(texts(cells))))
    broken, checked = [], 0
    for path, cells in processed.items():
        text = re.sub(r"```.*?```", "", "\n\n".join(texts(cells)), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"href=\"([^\"]+)\"", text):
            if re.match(r"https?:|mailto:", target):
                continue
            checked += 1
            file, _, name = unquote(target).partition("#")
            place = (ROOT / "nbs" / path).parent.joinpath(file).resolve()
            if file and not place.exists():
                broken.append(f"{path}: {target}")
            elif name and name not in anchors.get(place.relative_to(ROOT / "nbs").as_posix() if file else path, {name}):
                broken.append(f"{path}: no such heading: {target}")
    assert checked > 200 and not broken, "\n".join(broken)


def test_nothing_is_fetched_from_elsewhere_to_read_a_page(processed):
    for path, cells in processed.items():
        for text in texts(cells):
            assert not re.search(r"<(?:script|img|iframe|audio|video|source)\b[^>]*\bsrc=[\"']?https?:|<link\b[^>]*href=|@import", text), path
            assert not re.search(r"!\[[^\]]*\]\(https?:", text), path
    html = SITE["format"]["html"]
    assert html["html-math-method"] == "mathml", "formulas without a script"
    for theme in (html["theme"]["light"], html["theme"]["dark"]):
        assert "$web-font-path: false" in (ROOT / "nbs" / theme[1]).read_text(encoding="utf-8"), "fonts without a server"


def test_pictures_in_text_say_what_they_show(processed):
    for path, cells in processed.items():
        for text in texts(cells):
            assert not re.search(r"!\[\s*\]\(", text) and not re.search(r"<img(?![^>]*\balt=)[^>]*>", text), path


# ------------------------------------------------------------------------------------------- what pages tell one to type
def commands(page) -> list[list[str]]:
    """The `avbook …` commands of a page's prose: lines of shell listings and inline code."""
    text = page.words("markdown")
    listings = "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", text, flags=re.S))
    lines = [line.split("#")[0] for line in listings.splitlines()] + re.findall(r"`(avbook [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [shlex.split(line)[1:] for line in map(str.strip, lines) if line.startswith("avbook ")]


def test_the_commands_pages_name_can_be_typed():
    group = typer.main.get_command(app)
    tried = 0
    for page in read_pages(ROOT / "nbs"):
        for words in commands(page):
            if any(word in ("…", "COMMAND", "DIR", "FOLDER") or "…" in word for word in words):
                continue
            found, rest = group, words
            try:
                while hasattr(found, "commands") and rest and not rest[0].startswith("-"):
                    found, rest = found.commands[rest[0]], rest[1:]
                if rest and "--help" not in rest and not hasattr(found, "commands"):
                    found.make_context("avbook", list(rest))
            except Exception as error:
                fault = error.format_message() if hasattr(error, "format_message") else repr(error)
                pytest.fail(f"{page.path}: avbook {' '.join(words)}: {fault}")
            tried += 1
    assert tried > 20


def test_the_recipes_and_tables_pages_name_exist():
    for page in read_pages(ROOT / "nbs"):
        for words in commands(page):
            if words[:1] == ["table"]:
                keys = [word for word in words[1:] if re.fullmatch(r"(psp|ma|cmlcl)-[\w-]+", word)]
                assert set(keys) <= set(TABLES), f"{page.path}: avbook {' '.join(words)}"
            if words[:1] == ["run"] and page.path != "extend.ipynb":
                assert words[1] in RECIPES, f"{page.path}: avbook {' '.join(words)}"


def test_the_names_of_the_notation_are_in_the_code():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "avbook").glob("*.py"))
    table = read_page(ROOT / "nbs/reference/notation.ipynb", ROOT / "nbs").words("markdown")
    names = {name for row in table.splitlines() if row.startswith("|") for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 25 and not [name for name in names if not re.search(rf"\b{name}\b", code)]
