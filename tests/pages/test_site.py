"""The site: every page is reachable, every link and anchor leads somewhere, what pages say of
themselves is in step, nothing is fetched from elsewhere to read one."""

import json
import os
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import api_pages
import pytest
import site_access
import site_anchors
import site_files
import site_finish
import site_lighter
import site_offline
import site_weight
import typer
import yaml
from processes import BIN, ROOT
from tree import NOTEBOOKS, copy_tree, run_there

from avbook.cli import app
from avbook.experiments.recipes import RECIPES
from avbook.papers import TABLES
from avbook.show.pages import _headings, read_page, read_pages, source

SITE = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
PAGES = site_files.listed(site_files.sidebar())
HOME = "{doc_host}{doc_baseurl}".format(**site_files.SETTINGS)


# --------------------------------------------------------------------------------------- navigation
def test_every_page_is_in_the_sidebar_once_and_every_entry_exists():
    assert sorted(PAGES) == sorted(p.relative_to("nbs").as_posix() for p in NOTEBOOKS)
    for entry in SITE["website"]["navbar"]["left"]:
        assert (ROOT / "nbs" / entry["href"]).exists(), entry


def test_files_beside_the_pages_are_published_and_no_page_is_written_over_them():
    """nbdev renders 03_timeline.ipynb as timeline.html."""
    published = SITE["project"]["resources"]
    for path in (ROOT / "nbs").rglob("*.html"):
        assert path.relative_to(ROOT / "nbs").as_posix() in published
        assert not list(path.parent.glob(f"[0-9]*_{path.stem}.ipynb")), path


def test_parts_come_in_reading_order_and_begin_with_an_introduction():
    firsts = [path for path in PAGES if path.endswith("/index.ipynb")]
    assert firsts == [
        f"{part}/index.ipynb"
        for part in (
            "1_problem",
            "2_supervised",
            "3_parsing",
            "4_unsupervised",
            "5_your_videos",
            "6_evidence",
            "appendix_world",
            "reference",
        )
    ]
    for first, entries in site_files.parts().items():
        assert {path.split("/")[0] for path in site_files.listed(entries)} == {first.split("/")[0]}
    on_top = [first for first in firsts if not first.startswith("appendix")]  # nine names are cut
    hrefs = [entry["href"] for entry in SITE["website"]["navbar"]["left"]]
    assert hrefs == ["start.ipynb", *on_top]


def test_what_quarto_is_told():
    """Each line here has cost a build or a link before."""
    html, website = SITE["format"]["html"], SITE["website"]
    assert "commonmark" not in SITE["format"] or html.get("keep-md"), (
        "Quarto deletes the copies of pages without a number and stops"
    )
    for path in PAGES:  # "View source" and "Report an issue" put this folder before the page's path
        assert (ROOT / website["repo-subdir"] / path).is_file(), path
    assert set(website["repo-actions"]) == {"source", "issue"}
    after = [(ROOT / "nbs" / path).resolve() for path in SITE["project"]["post-render"]]
    assert after == [Path(tool.__file__).resolve() for tool in (site_finish, site_lighter)]
    assert html["html-math-method"] == "mathml", "formulas without a script"
    for theme in (html["theme"]["light"], html["theme"]["dark"]):
        assert "$web-font-path: false" in (ROOT / "nbs" / theme[1]).read_text(encoding="utf-8"), (
            "fonts without a server"
        )


def test_the_settings_link_of_nbdev_is_a_link():
    assert (ROOT / "nbs/_quarto.yml").is_symlink() and (ROOT / "nbs/_quarto.yml").resolve() == (
        ROOT / "_quarto.yml"
    ).resolve()


# --------------------------------------------------------------------- what pages say of themselves
@pytest.mark.parametrize("path", PAGES)
def test_the_facts_and_contents_of_a_page_are_in_step(path):
    seconds = site_files.measured()
    stored = json.loads((ROOT / "nbs" / path).read_text(encoding="utf-8"))["cells"]
    assert [source(cell) for cell in stored] == [
        source(cell) for cell in site_files.rendered(path, seconds)
    ], "run: python tools/site_files.py"


def test_the_text_for_language_models_is_in_step():
    assert (ROOT / "nbs/llms.txt").read_text(encoding="utf-8") == site_files.llms(), (
        "run: python tools/site_files.py"
    )
    assert "*.txt" in SITE["project"]["resources"]


def test_facts_of_a_page_by_hand(tmp_path):
    cells = [
        ("markdown", "# A\n\n> about"),
        ("markdown", "word " * 401 + "PSP says so"),
        ("code", "#| default_exp supervised.psp"),
        ("code", "\n".join(["x = Records()"] * 20)),
    ]
    (tmp_path / "a.ipynb").write_text(
        json.dumps({"cells": [{"cell_type": kind, "source": text} for kind, text in cells]})
    )
    page = read_page(tmp_path / "a.ipynb", tmp_path)
    said = site_files.facts(page, {"a.ipynb": 12.0})
    assert "4 min to read" in said, (
        "407 words are two minutes and a bit, 21 lines of code one minute and a bit"
    )
    assert (
        "under half a minute" in said
        and "data: run records" in said
        and "PSP ([Zhou et al., 2021](reference/bibliography.ipynb#zhou2021psp))" in said
        and "blob/main/avbook/supervised/psp.py" in said
        and "nbs/a.ipynb" in said
    )


@pytest.mark.parametrize("path", [api_pages.TOP, *map(api_pages.page_of, api_pages.FOLDERS)])
def test_the_api_pages_are_in_step(path, documentation):
    cells = api_pages.stored(path)
    assert [source(cell) for cell in cells] == [text for _, text in documentation[path]], (
        "run: python tools/api_pages.py, then the page"
    )
    bare = [
        source(cell)
        for cell in cells
        if source(cell).endswith(")") and cell["cell_type"] == "code" and not cell["outputs"]
    ]
    assert not bare, f"run the page: {bare[:3]}"


@pytest.fixture(scope="module")
def documentation():
    return api_pages.generated()


def test_every_subpackage_has_an_api_page():
    folders = {path.parent.name for path in (ROOT / "avbook").glob("*/__init__.py")}
    assert folders - {"cli"} == set(api_pages.FOLDERS)


# ------------------------------------------------------------------------------------- bibliography
def test_citations_are_in_the_bibliography():
    """They are links, which JupyterLab shows as such too."""
    bibliography = (ROOT / "nbs/references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", bibliography, flags=re.M))
    text = {page.path: page.words("markdown") for page in read_pages(ROOT / "nbs")}
    raw = [path for path, said in text.items() if re.search(r"\[[^\]]*?@[a-z]+\d{4}", said)]
    assert not raw, f"write a link to {site_files.BIBLIOGRAPHY}: {raw}"
    cited = set(re.findall(r"bibliography\.ipynb#(\w+)\)", "\n".join(text.values())))
    assert cited <= known and {"zhou2021psp", "wu2021ma", "bao2023cmlcl"} <= cited, cited ^ known
    assert set(re.findall(r'<span id="(\w+)">', text[site_files.BIBLIOGRAPHY])) == known
    for line in re.findall(
        r"title: \"(.+?)\"", (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    ):
        assert line in bibliography, f"CITATION.cff and references.bib differ: {line}"


# ---------------------------------------------------------------------------------- processed pages
def git(folder: Path, *words) -> str:
    who = (
        "-c",
        "user.name=avbook",
        "-c",
        "user.email=avbook@example.org",
        "-c",
        "commit.gpgsign=false",
    )
    return subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, list[str]]:
    """A copy of the tree after `nbdev_docs`, and what it asked of Quarto, whose place a script
    takes that renders nothing."""
    place = tmp_path_factory.mktemp("site")
    folder = copy_tree(place / "avbook")
    os.utime(folder / "README.md", (0, 0))  # older than the front page, as it can be in any clone
    if shutil.which("git"):
        git(folder, "init", "-q")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "as it was")
    quarto = place / "bin" / "quarto"
    quarto.parent.mkdir()
    quarto.write_text(f'#!/bin/sh\necho "$*" >> "{place / "asked"}"\nmkdir -p _docs\n')
    quarto.chmod(0o755)
    run_there(folder, BIN / "nbdev_docs", first_in_path=quarto.parent)
    return folder, (place / "asked").read_text().splitlines()


@pytest.fixture(scope="module")
def processed(built) -> dict[str, list]:
    """The pages as Quarto is given them: imports, exports and the documentation of every export,
    run as the docs build runs them."""
    place = built[0] / "_proc"
    return {
        p.relative_to(place).as_posix(): json.loads(p.read_text(encoding="utf-8"))["cells"]
        for p in sorted(place.rglob("*.ipynb"))
    }


def test_the_build_renders_the_site_and_no_readme(built):
    assert [words.split()[0] for words in built[1]] == ["render"] and "README" not in built[1][0], (
        built[1]
    )


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_build_leaves_the_tree_as_it_was(built):
    assert git(built[0], "status", "--porcelain") == ""


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
    broken = [
        f"{path}: {source(cell)[:80]!r}"
        for path, cells in processed.items()
        for cell in cells
        if any(
            o["output_type"] == "error" or "Traceback" in json.dumps(o)
            for o in cell.get("outputs", [])
        )
    ]
    assert not broken, broken


def test_every_link_and_anchor_leads_somewhere(processed):
    anchors, addresses = {}, {}
    for path, cells in processed.items():
        found = [{"cell_type": "markdown", "source": text} for text in texts(cells)]
        shown = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")
        anchors[path] = {
            *(heading.anchor for heading in _headings(found)),
            *re.findall(r"\bid=\"([^\"]+)\"", "\n".join(texts(cells))),
            *site_anchors.defined(shown),  # which the render gives its listings
        }
        front = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "raw")
        file = re.search(r"^output-file: (\S+)$", front, flags=re.M)
        addresses[
            HOME
            + "/"
            + Path(path).with_name(file[1] if file else Path(path).stem + ".html").as_posix()
        ] = path
    broken, checked, of_names = [], 0, 0
    for path, cells in processed.items():
        text = re.sub(r"```.*?```", "", "\n\n".join(texts(cells)), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"href=\"([^\"]+)\"", text):
            file, _, name = unquote(target).partition("#")
            if target.startswith(HOME):  # what nbdev makes of a name of the package
                of_names += 1
                if name and name not in anchors.get(addresses.get(file), ()):
                    broken.append(
                        f"{path}: {target}: no page has that anchor; write the name so that nbdev"
                        " does not link it"
                    )
            if re.match(r"https?:|mailto:", target):
                continue
            checked += 1
            place = (ROOT / "nbs" / path).parent.joinpath(file).resolve()
            if file and not place.exists():
                broken.append(f"{path}: {target}")
            elif name and name not in anchors.get(
                place.relative_to(ROOT / "nbs").as_posix() if file else path, {name}
            ):
                broken.append(f"{path}: no such heading: {target}")
    assert checked > 500 and of_names > 50 and not broken, "\n".join(broken)


def test_nothing_is_fetched_from_elsewhere_to_read_a_page(processed):
    for path, cells in processed.items():
        for text in texts(cells):
            assert not re.search(
                r"<(?:script|img|iframe|audio|video|source)\b[^>]*\bsrc=[\"']?https?:|<link\b[^>]*href=|@import",
                text,
            ), path
            assert not re.search(r"!\[[^\]]*\]\(https?:", text), path


def test_no_link_stands_in_a_link(processed):
    """nbdev links a name in backticks, in the text of a link too, which breaks that link."""
    nested = [
        f"{path}: {found}"
        for path, cells in processed.items()
        for text in texts(cells)
        for found in re.findall(r"\[[^\]\n]*\[`[^\]\n]*\]\([^)\n]*\)[^\[\n]*\]\([^)\n]*\)", text)
    ]
    assert not nested, nested


def test_no_warning_is_published():
    """A warning names a path of the machine that ran the page."""
    told = [
        f"{path.relative_to(ROOT)}: {text[:100]!r}"
        for path in NOTEBOOKS
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        for text in ["".join(output.get("text", output.get("data", {}).get("text/plain", "")))]
        if output.get("name") == "stderr" or re.search(r"^\S*:\d+: \w*Warning", text, flags=re.M)
    ]
    assert not told, told


def test_headings_leave_out_no_level_and_links_have_words(processed):
    """A screen reader offers both as lists; it reads no name for a formula."""
    for path, cells in processed.items():
        text = re.sub(r"```.*?```", "", "\n\n".join(texts(cells)), flags=re.S)
        levels = [1, *(len(marks) for marks in re.findall(r"^(#{1,6}) ", text, flags=re.M))]
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:])), f"{path}: {levels}"
        wordless = re.findall(r"(?<!!)\[(?:\s*|\$[^$\n]*\$)\]\([^)]*\)", text)
        assert not wordless, f"{path}: {wordless}"


def test_pictures_in_text_say_what_they_show(processed):
    for path, cells in processed.items():
        for text in texts(cells):
            assert not re.search(r"!\[\s*\]\(", text) and not re.search(
                r"<img(?![^>]*\balt=)[^>]*>", text
            ), path


# ----------------------------------------------------------------------------------- rendered pages
ADDED = """<html><head>
<script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js" integrity="sha512-c3==" crossorigin="anonymous"></script>
<script src="https://cdnjs.cloudflare.com/ajax/libs/jquery/3.5.1/jquery.min.js" crossorigin="anonymous" data-relocate-top="true"></script>
<script type="application/javascript">define('jquery', [],function() {return window.jQuery;})</script>
<script src="https://unpkg.com/@jupyter-widgets/html-manager@*/dist/embed-amd.js" crossorigin="anonymous"></script>
<script src="../site_libs/quarto-nav/quarto-nav.js"></script><link rel="canonical" href="https://avbook.github.io/">
</head><body><table><tr><td>1</td></tr></table><a href="https://example.org">elsewhere</a>
<script>window.ours = "<script src='https://example.org/x.js'>";</script>
<script type=application/vnd.jupyter.widget-state+json>
{"state": {}}
</script>
# by Quarto 1.7, the two last lines but one by nbconvert
<script type="application/vnd.jupyter.widget-view+json">{"model_id": "a"}</script></body></html>"""  # noqa: E501


def test_what_quarto_adds_from_elsewhere_goes_and_nothing_else(tmp_path):
    assert len(site_offline.requests(ADDED)) == 3
    (tmp_path / "deep").mkdir()
    page = tmp_path / "deep/page.html"
    page.write_text(ADDED)
    assert site_finish.main(tmp_path) == 0
    left = page.read_text()
    assert re.findall(r"<script\b[^>]*>", left) == [
        '<script src="../site_libs/quarto-nav/quarto-nav.js">',
        "<script>",
        "<script src='https://example.org/x.js'>",
    ]
    assert (
        "<td>1</td>" in left
        and 'href="https://example.org"' in left
        and "canonical" in left
        and "widget" not in left
    )
    assert site_finish.main(tmp_path) == 0 and page.read_text() == left


def test_a_listing_gets_the_anchors_of_what_it_defines():
    html = (
        '<h3 id="fit">fit</h3><div class="sourceCode" id="cb1"><pre><code><span>def</span> fit():'
        '\n    pass</code></pre></div><div class="sourceCode" id="cb2"><pre><code>class Bank:\n'
        "    def update(self):\n        def inner():</code></pre></div>"
    )
    after = site_anchors.anchored(html)
    assert after.count('id="fit"') == 1, "the heading has it already"
    assert '<span id="bank"></span><span id="bank.update"></span><div class="sourceCode"' in after
    assert "inner" not in re.findall(r'id="([^"]+)"', after)
    assert site_anchors.anchored(after) == after


def page_of_quarto(body: str) -> str:
    return f'<html><body><main id="quarto-content">{body}</main></body></html>'


@pytest.mark.parametrize(
    "before, after",
    [
        pytest.param(
            '<table class="table"><tr><th style="a"></th><th>n</th></tr></table>',
            '<div class="scrolls"><table class="table"><tr><td style="a"></td><th>n</th></tr>'
            "</table></div>",
            id="a table scrolls in a box, its empty corner is no header",
        ),
        pytest.param(
            '<p><math display="block"><mi>a</mi></math> of <math display="inline"></math></p>',
            '<p><span class="scrolls"><math display="block"><mi>a</mi></math></span> of'
            ' <math display="inline"></math></p>',
            id="a formula scrolls in a box",
        ),
        pytest.param(
            '<div class="cell-output"><pre><code>one line</code></pre></div>',
            '<div class="cell-output"><pre class="wraps"><code>one line</code></pre></div>',
            id="an output of one line wraps",
        ),
        pytest.param(
            '<h2>The <em>sound</em></h2><audio controls="controls"></audio>',
            '<h2>The <em>sound</em></h2><audio aria-label="Audio of: The sound"'
            ' controls="controls"></audio>',
            id="a player is named by the heading above",
        ),
        pytest.param(
            '<h3 id="f">f</h3>\n<div class="sourceCode"><pre><code>f()</code></pre></div>\n'
            "<p><em>First line,</em> and <em>second</em>.</p>",
            '<h3 id="f">f</h3>\n<div class="sourceCode"><pre><code>f()</code></pre></div>\n'
            "<p>First line, and <em>second</em>.</p>",
            id="a docstring is one text",
        ),
        pytest.param(
            '<a href="#a.b" id="toc-a.b" class="nav-link">a.b_c</a> <a href="#a.b">a.b</a>',
            '<a href="#a.b" id="toc-a.b" class="nav-link">a.<wbr>b_<wbr>c</a>'
            ' <a href="#a.b">a.b</a>',
            id="long names break in lists of contents",
        ),
        pytest.param(
            '<a class="sidebar-item-toggle" role="navigation" aria-label="Toggle section"></a>',
            '<a class="sidebar-item-toggle" role="button" tabindex="0"'
            ' aria-label="Toggle section"></a>',
            id="what opens a section is a button",
        ),
    ],
)
def test_a_rendered_page_is_made_accessible(before, after):
    html = site_access.accessible(page_of_quarto(before))
    assert html == page_of_quarto(after).replace("</body>", f"{site_access.SCRIPT}</body>")
    assert site_access.accessible(html) == html, "a second run changes nothing"


@pytest.mark.parametrize(
    "html",
    [
        "<html><body><table><tr><th></th></tr></table></body></html>",
        page_of_quarto(
            '<div class="ledger"><table data-quarto-disable-processing="true"></table>'
        ).replace("</body>", f"{site_access.SCRIPT}</body>"),
        page_of_quarto('<div class="cell-output"><pre><code>two\nlines</code></pre></div>').replace(
            "</body>", f"{site_access.SCRIPT}</body>"
        ),
    ],
    ids=["a file that is no page", "a table with a box of its own", "an output of two lines"],
)
def test_what_is_accessible_stays_as_it_is(html):
    assert site_access.accessible(html) == html


def test_the_footer_gives_version_licence_and_citation(tmp_path):
    footer = SITE["website"]["page-footer"]
    links = re.findall(r"\]\(([^)]+)\)", footer["left"] + footer["right"])
    files = [link.removeprefix(f"{site_files.FILES}/") for link in links]
    assert {"CHANGELOG.md", "LICENSE", "CITATION.cff"} < set(files)
    for name in files:
        place = ROOT / ("nbs" + name if name.endswith(".ipynb") else name)  # from the site's top
        assert place.is_file() or name == f"{site_files.SETTINGS['git_url']}/issues/new", name
    (tmp_path / "a.html").write_text(f"<html><body>{footer['left']}</body></html>")
    assert site_finish.main(tmp_path) == 0
    assert f">{site_files.SETTINGS['version']}</span>" in (tmp_path / "a.html").read_text()
    assert site_files.SETTINGS["version"] not in (ROOT / "_quarto.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "html",
    [
        '<img src="//example.org/a.png">',
        '<link rel="stylesheet" href="https://fonts.example.org/css">',
        '<link rel="preconnect" href="https://example.org">',
        "<style>@import url('https://example.org/a.css');</style>",
        '<p style="background: url(https://example.org/a.png)">',
        '<iframe src="https://example.org"></iframe>',
        '<video poster="https://example.org/a.png"></video>',
        '<img srcset="a.png 1x, https://example.org/b.png 2x">',
    ],
)
def test_what_still_asks_another_host_fails_the_render(html, tmp_path, capsys):
    (tmp_path / "a.html").write_text(f"<html><body>{html}</body></html>")
    assert site_finish.main(tmp_path) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "a.html: asks" in told[0] and "example.org" in told[0]


def test_a_style_sheet_that_asks_another_host_fails_the_render(tmp_path):
    (tmp_path / "a.css").write_text('@font-face { src: url("https://example.org/a.woff") }')
    assert site_finish.main(tmp_path) == 1


class Marks(HTMLParser):
    """A page's anchors, and where its links and pictures lead."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors, self.targets = {"", "top"}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.anchors |= {told[name] for name in ("id", "name") if told.get(name)}
        self.targets += [told[name] for name in ("href", "src") if told.get(name)]


@pytest.fixture(scope="module")
def rendered() -> Path:
    """The site that `make site` left here, where it did."""
    if not (ROOT / "_docs/index.html").is_file():
        pytest.skip("no rendered site in _docs: `make site` makes one where Quarto is installed")
    return ROOT / "_docs"


def test_a_rendered_page_asks_no_other_host(rendered):
    asked = {
        page: site_offline.requests(page.read_text(encoding="utf-8"))
        for page in rendered.rglob("*.html")
    }
    assert len(asked) >= len(PAGES)
    assert not {str(page): found for page, found in asked.items() if found}, "run `make site` again"


def test_rendered_links_and_anchors_lead_somewhere(rendered):
    pages = {
        page.resolve(): Marks(page.read_text(encoding="utf-8")) for page in rendered.rglob("*.html")
    }
    broken, checked = set(), 0
    for page, marks in pages.items():
        for target in marks.targets:
            if target.startswith(HOME):
                target = os.path.relpath(
                    rendered.resolve() / target[len(HOME) :].lstrip("/"), page.parent
                )
            if re.match(r"[a-z][a-z+.-]*:|//", target):
                continue
            checked += 1
            file, _, name = target.partition("#")
            place = (page.parent / unquote(file.partition("?")[0])).resolve() if file else page
            place = place / "index.html" if place.is_dir() else place
            if not place.exists() or place in pages and unquote(name) not in pages[place].anchors:
                broken.add(f"{page.relative_to(rendered.resolve())}: {target}")
    assert checked > 5000 and not broken, "\n".join(sorted(broken))


def test_a_rendered_page_names_its_source(rendered):
    paths = [
        found
        for page in rendered.rglob("*.html")
        for found in re.findall(
            rf'href="{re.escape(site_files.FILES)}/([^"#]+)', page.read_text(encoding="utf-8")
        )
    ]
    assert len(paths) > len(PAGES) and not [
        path for path in set(paths) if not (ROOT / unquote(path)).exists()
    ]


def test_a_rendered_page_is_under_its_limit_of_weight(rendered):
    over = {w.page: w.raw for w in site_weight.weigh(rendered) if w.raw > w.limit}
    assert not over, "python tools/site_weight.py"


# ---------------------------------------------------------------------- what pages tell one to type
def commands(page) -> list[list[str]]:
    """The `avbook …` commands of a page's prose: lines of shell listings and inline code."""
    text = page.words("markdown")
    listings = "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", text, flags=re.S))
    lines = [line.split("#")[0] for line in listings.splitlines()] + re.findall(
        r"`(avbook [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S)
    )
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
                known = r"(psp|ma|cmlcl|cmran)-[\w-]+"
                keys = [word for word in words[1:] if re.fullmatch(known, word)]
                assert set(keys) <= set(TABLES), f"{page.path}: avbook {' '.join(words)}"
            if words[:1] == ["run"] and page.path != "extend.ipynb":
                assert words[1] in RECIPES, f"{page.path}: avbook {' '.join(words)}"


def test_the_names_of_the_notation_are_in_the_code():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "avbook").rglob("*.py"))
    table = read_page(ROOT / "nbs/reference/notation.ipynb", ROOT / "nbs").words("markdown")
    names = {
        name
        for row in table.splitlines()
        if row.startswith("|")
        for name in re.findall(r"`(\w+)`", row)
    }
    assert len(names) > 25 and not [name for name in names if not re.search(rf"\b{name}\b", code)]
