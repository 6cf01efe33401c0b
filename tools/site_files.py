"""What the site's pages say of themselves, written from the sources: `python tools/site_files.py`;
test_site.py checks that it was.

Each page (or those named) gets a line of facts below its title, each part's first page the list of
its pages, nbs/llms.txt that of all. `--measure PAGE…` runs pages and notes their seconds of
processor time in tests/page_seconds.json."""

import configparser
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from avbook.show.pages import Page, read_page, source

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
SECONDS = ROOT / "tests/page_seconds.json"
FACTS, CONTENTS = (
    "<!-- facts: written by tools/site_files.py -->",
    "<!-- contents: written by tools/site_files.py -->",
)
SETTINGS = configparser.ConfigParser(delimiters=["="])
SETTINGS.read(ROOT / "settings.ini", encoding="utf-8")
SETTINGS = SETTINGS["DEFAULT"]
FILES = f"{SETTINGS['git_url']}/blob/{SETTINGS['branch']}"
COLAB = f"https://colab.research.google.com/github/{SETTINGS['user']}/{SETTINGS['repo']}/blob/{SETTINGS['branch']}"
PAPERS = {
    "PSP": "zhou2021psp",
    "AVEL": "tian2018avel",
    "CMRAN": "xu2020cmran",
    "HAN": "tian2020han",
    "MA": "wu2021ma",
    "CMLCL": "bao2023cmlcl",
}
BIBLIOGRAPHY = "reference/bibliography.ipynb"
ENTRIES = "<!-- bibliography: written by tools/site_files.py -->"
DATA = {
    "the world": (
        r"world_folder|open_data\(|write_world|open_clip|\"world|make_clip|render_|clip_script"
    ),
    "run records": r"\bRecords\(",
    "benchmark results": r"benchmarks.*results",
    "the book's own pages": r"read_pages\(",
    "official annotations, if available": r"AVBOOK_DATA",
    "arrays of the released code, if available": r"AVBOOK_GOLDEN",
}


# --------------------------------------------------------------------------------------- navigation
def sidebar() -> list:
    return yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]["sidebar"][
        "contents"
    ]


def listed(contents: list) -> list[str]:
    """The pages of a sidebar in reading order."""
    out = []
    for entry in contents:
        if isinstance(entry, str):
            out.append(entry)
        else:
            out += [entry["section"]] if entry["section"].endswith(".ipynb") else []
            out += listed(entry["contents"])
    return out


def parts() -> dict[str, list]:
    """The first page of each part and the content of the part."""
    return {
        entry["section"]: entry["contents"]
        for entry in sidebar()
        if isinstance(entry, dict) and entry["section"].endswith("/index.ipynb")
    }


# -------------------------------------------------------------------------------------------- facts
def reading_minutes(page: Page) -> int:
    """Prose at 200 words a minute and three seconds per line of code, rounded up. Solutions of
    exercises count as well; folded code and hidden cells do not."""
    words = len(re.findall(r"\w+", page.words("markdown")))
    shown = [
        source(cell)
        for cell in page.cells
        if cell["cell_type"] == "code"
        and not cell.get("metadata", {}).get("code-fold")
        and not re.search(r"^#\|\s*(hide\b|echo:\s*false|default_exp)", source(cell), re.M)
    ]
    lines = sum(bool(line.strip()) for code in shown for line in code.splitlines())
    return max(1, math.ceil(words / 200 + lines * 3 / 60))


def bibliography() -> dict[str, dict[str, str]]:
    """The entries of nbs/references.bib by key."""
    text = (NBS / "references.bib").read_text(encoding="utf-8")
    return {
        key: {name: value.replace("{", "").replace("}", "") for name, value in fields}
        for key, fields in (
            (entry[1], re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", entry[2], flags=re.M))
            for entry in re.finditer(r"^@\w+\{(\w+),\n(.*?)^\}", text, flags=re.M | re.S)
        )
    }


def short_name(entry: dict[str, str]) -> str:
    """An entry as it is cited in the text, such as "Zhou et al., 2021"."""
    authors = [name.split(",")[0] for name in entry["author"].split(" and ")]
    if len(authors) > 2:
        return f"{authors[0]} et al., {entry['year']}"
    return f"{' and '.join(authors)}, {entry['year']}"


def citation(key: str, path: str) -> str:
    """A link from the page at `path` to an entry of the bibliography; it reads well in JupyterLab
    too, where `[@key]` would stay as it is."""
    place = os.path.relpath(BIBLIOGRAPHY, Path(path).parent)
    return f"[{short_name(bibliography()[key])}]({place}#{key})"


def entries() -> str:
    """The list of the bibliography's page."""
    lines = []
    for key, entry in bibliography().items():
        authors = []
        for name in entry["author"].split(" and "):
            last, _, first = name.partition(", ")
            authors.append(f"{first} {last}".strip())
        where = entry.get("booktitle") or entry.get("note", "")
        url = f" <{entry['url']}>" if "url" in entry else ""
        lines.append(
            f'- <span id="{key}"></span>**{short_name(entry)}.** {", ".join(authors)}.'
            f" *{entry['title']}.* {where}, {entry['year']}.{url}"
        )
    return "\n".join(lines)


def running(seconds: float | None) -> str:
    """How long a page runs, in words that survive another machine."""
    if seconds is None:
        return ""
    for limit, words in (
        (10, "runs in seconds"),
        (25, "runs in under half a minute"),
        (50, "runs in under a minute"),
        (100, "runs in a minute or two"),
    ):
        if seconds < limit:
            return words
    return "runs in minutes"


def data_used(page: Page) -> str:
    code = page.words("code")
    found = [name for name, pattern in DATA.items() if re.search(pattern, code)]
    return "data: " + (
        ", ".join(found) if found else "made on the page" if code.strip() else "none"
    )


def papers_named(page: Page) -> str:
    text = page.title + "\n" + page.about + "\n" + page.words("markdown")
    named = [
        f"{name} ({citation(key, page.path)})"
        for name, key in PAPERS.items()
        if re.search(rf"\b{name}\b", text)
    ]
    return "papers: " + ", ".join(named) if named else ""


def words_of(page: Page) -> str:
    """Links to the glossary and the notation, on the pages that explain."""
    if not page.path[0].isdigit():
        return ""
    return " · ".join(
        f"[{name}]({os.path.relpath(f'reference/{path}.ipynb', Path(page.path).parent)})"
        for name, path in (("words", "glossary"), ("symbols", "notation"))
    )


def facts(page: Page, seconds: dict[str, float]) -> str:
    """The line below a page's title: how long it is to read and to run, its data, its papers, and
    where it can be had."""
    modules = [
        f"[`avbook.{module}`]({FILES}/avbook/{module.replace('.', '/')}.py)"
        for module in page.exports
    ]
    code = any(cell["cell_type"] == "code" for cell in page.cells)
    parts = [
        f"{reading_minutes(page)} min to read",
        running(seconds.get(page.path)) if code else "nothing to run",
        data_used(page),
        papers_named(page),
        words_of(page),
        f"[open in Colab]({COLAB}/nbs/{page.path})" if code else "",
        f"[notebook]({FILES}/nbs/{page.path})",
        *modules,
    ]
    return f"{FACTS}\n<small>{' · '.join(part for part in parts if part)}</small>"


def contents(page: Page, entries: list, level: int = 0) -> str:
    """The pages of a part as a list, with what each is about and, for a chapter, how many minutes
    it takes to read."""
    lines = []
    for entry in entries:
        path, below = (
            (entry, []) if isinstance(entry, str) else (entry["section"], entry["contents"])
        )
        told = read_page(NBS / path, NBS)
        minutes = f" ({reading_minutes(told)} min)" if Path(path).name[0].isdigit() else ""
        lines.append(
            f"{'  ' * level}- [{told.title}]({os.path.relpath(path, Path(page.path).parent)})"
            f"{minutes}: {told.about}"
        )
        if below:
            lines.append(contents(page, below, level + 1))
    return "\n".join(lines)


def rendered(path: str, seconds: dict[str, float]) -> list[dict]:
    """A page's cells as they should be: its facts below the title, and a part's contents, in
    their cells."""
    cells = [
        cell for cell in read_page(NBS / path, NBS).cells if not source(cell).startswith(FACTS)
    ]
    bare = Page(
        path, tuple(cells), *(lambda p: (p.title, p.about, p.headings))(read_page(NBS / path, NBS))
    )
    if path in parts():
        text = f"{CONTENTS}\n{contents(bare, parts()[path])}"
        cells = [
            {**cell, "source": text.splitlines(True)} if source(cell).startswith(CONTENTS) else cell
            for cell in cells
        ]
        bare = Page(path, tuple(cells), bare.title, bare.about, bare.headings)
    if path == BIBLIOGRAPHY:
        text = f"{ENTRIES}\n{entries()}"
        return [
            {**cell, "source": text.splitlines(True)} if source(cell).startswith(ENTRIES) else cell
            for cell in cells
        ]
    if path.endswith(
        "index.ipynb"
    ):  # the front page is also README.md; the parts' first pages are short
        return cells
    line = {
        "cell_type": "markdown",
        "id": "facts",
        "metadata": {},
        "source": facts(bare, seconds).splitlines(True),
    }
    return [cells[0], line, *cells[1:]]


def llms() -> str:
    """The book in one text for language models: what it is, and each page with its address and what
    it is about."""
    front = read_page(NBS / "index.ipynb", NBS)
    lines = [
        f"# {front.title}",
        "",
        f"> {front.about}",
        "",
        (
            "Each page is a Jupyter notebook: prose, code and stored outputs. Raw text of a page:"
            " its address below."
        ),
        "",
    ]

    def write(entries: list, level: int) -> None:
        for entry in entries:
            if isinstance(entry, dict) and not entry["section"].endswith(".ipynb"):
                lines.extend(["", f"## {entry['section']}", ""])
            else:
                path = entry if isinstance(entry, str) else entry["section"]
                page = read_page(NBS / path, NBS)
                if path.endswith("/index.ipynb"):
                    lines.extend(["", f"## {page.title}", ""])
                lines.append(
                    f"- [{page.title}]({FILES.replace('/blob/', '/raw/')}/nbs/{path}): {page.about}"
                )
            if isinstance(entry, dict):
                write(entry["contents"], level + 1)

    write(sidebar(), 0)
    return "\n".join(lines) + "\n"


# -------------------------------------------------------------------------------------------- doing
def measured() -> dict[str, float]:
    return json.loads(SECONDS.read_text(encoding="utf-8")) if SECONDS.exists() else {}


def measure(paths: list[str]) -> None:
    """Runs pages one after the other and notes the processor seconds of each; one that fails is
    named and left out."""
    for path in paths:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [Path(sys.executable).parent / "nbdev_test", "--path", NBS / path, "--n_workers", "0"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            print(f"{path}: failed")
            continue
        found = measured() | {path: round(usage.ru_utime + usage.ru_stime, 1)}
        SECONDS.write_text(
            json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8"
        )
        print(f"{path}: {found[path]} s", flush=True)


def write(only: list[str]) -> None:
    """Writes the pages named, or all of them, and llms.txt."""
    seconds = measured()
    for path in only or listed(sidebar()):
        notebook = json.loads((NBS / path).read_text(encoding="utf-8"))
        notebook["cells"] = rendered(path, seconds)
        (NBS / path).write_text(
            json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n",
            encoding="utf-8",
        )
    (NBS / "llms.txt").write_text(llms(), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2:])
    else:
        write(sys.argv[1:])
