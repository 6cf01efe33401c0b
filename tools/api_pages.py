"""The API pages, one a subpackage, written from the modules: `python tools/api_pages.py`, then run
the pages it names; test_site.py checks that it was done.

A page keeps the cells above its first generated one: a title, and an example by hand."""

import importlib
import inspect
import json
import os
import re
from pathlib import Path

from site_files import NBS, ROOT, read_page, source

import avbook
from avbook.show.pages import Page, anchor, read_pages

MARK = "<!-- api: written by tools/api_pages.py -->"
TOP = "reference/api.ipynb"  # the names that `import avbook` offers
# in the order of the floors, from below
FOLDERS = (
    "common",
    "data",
    "metrics",
    "papers",
    "training",
    "supervised",
    "parsing",
    "unsupervised",
    "features",
    "world",
    "experiments",
    "show",
    "evidence",
)


def page_of(folder: str) -> str:
    """The path of a subpackage's page, from the folder of notebooks."""
    return f"reference/api/{folder}.ipynb"


def modules(folder: str) -> list[str]:
    """The modules of a subpackage that offer names, as dotted names below `avbook`."""
    found = []
    for path in sorted((ROOT / "avbook" / folder).rglob("*.py")):
        if re.search(r"^__all__ = ", path.read_text(encoding="utf-8"), flags=re.M):
            dotted = ".".join(path.relative_to(ROOT / "avbook").with_suffix("").parts)
            found.append(dotted.removesuffix(".__init__"))
    return sorted(found)


def names(module: str) -> list[str]:
    """The functions and classes that a module offers."""
    loaded = importlib.import_module(f"avbook.{module}")
    offered = [getattr(loaded, name) for name in loaded.__all__]
    return [
        name
        for name, thing in zip(loaded.__all__, offered)
        if (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == f"avbook.{module}"  # what it hands on is documented at home
    ]


def documented(module: str) -> list[str]:
    """Those names, and the methods of its classes that have a docstring of their own."""
    loaded, out = importlib.import_module(f"avbook.{module}"), []
    for name in names(module):
        thing = getattr(loaded, name)
        out.append(name)
        if inspect.isclass(thing):
            out += [
                f"{name}.{key}"
                for key, value in vars(thing).items()
                if inspect.isfunction(value) and value.__doc__ and not key.startswith("_")
            ]
    return out


def first_sentence(thing) -> str:
    """The first sentence of a docstring, on one line and safe in a table."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=\.) (?=[A-Z`])", text)[0].rstrip(":. ")
    return sentence.replace("|", "\\|")


def place(thing, path: str) -> str:
    """A link from the page at `path` to the documentation of a function or class."""
    folder = thing.__module__.removeprefix("avbook.").split(".")[0]
    at = anchor(thing.__name__)
    if page_of(folder) == path:
        return f"[{thing.__name__}](#{at})"
    # no backticks: nbdev would put a link of its own into the link
    return f"[{thing.__name__}]({os.path.relpath(page_of(folder), Path(path).parent)}#{at})"


def table(rows: list[tuple[str, str]], heads: tuple[str, str]) -> str:
    """A Markdown table of two columns."""
    lines = [f"| {heads[0]} | {heads[1]} |", "|:--|:--|"]
    return "\n".join([*lines, *(f"| {left} | {right} |" for left, right in rows)])


def cells_of(folder: str, pages: list[Page]) -> list[tuple[str, str]]:
    """The generated cells of a subpackage's page: the modules in a table, the imports, and a
    section a module."""
    path = page_of(folder)
    offering = [module for module in modules(folder) if names(module)]
    rows = [
        (f"[`avbook.{module}`](#avbook.{module})", first_sentence(_load(module)))
        for module in offering
    ]
    cells = [("markdown", f"{MARK}\n## Modules\n\n{table(rows, ('module', 'what it offers'))}")]
    imports = [f"import avbook.{module} as {module.replace('.', '_')}" for module in offering]
    lines = ["#| echo: false", "from nbdev.showdoc import show_doc", "", *imports]
    cells.append(("code", "\n".join(lines)))
    for module in offering:
        text = f"## avbook.{module}\n\n{(_load(module).__doc__ or '').strip()}"
        for page in pages:
            if module in page.exports:
                link = os.path.relpath(page.path, Path(path).parent)
                text += f"\n\nExplained step by step on [{page.title}]({link})."
        cells.append(("markdown", text))
        cells += [
            (
                "code",
                f"#| echo: false\n#| output: asis\nshow_doc({module.replace('.', '_')}.{name})",
            )
            for name in documented(module)
        ]
    return cells


def top_cells() -> list[tuple[str, str]]:
    """The generated cell of the page on the top-level names, and that on the subpackages."""
    rows = [
        (place(getattr(avbook, name), TOP), first_sentence(getattr(avbook, name)))
        for module, offered in avbook._MODULES.items()
        for name in offered
        if module != "errors"
    ]
    rows.append(("`AvbookError`", first_sentence(avbook.AvbookError)))
    text = f"{MARK}\n## Names of `avbook`\n\n{table(sorted(rows), ('name', 'what it does'))}"
    folders = [
        (f"[`avbook.{folder}`](api/{folder}.ipynb)", first_sentence(_load(folder)))
        for folder in FOLDERS
    ]
    below = f"## Subpackages\n\n{table(folders, ('subpackage', 'what it offers'))}"
    return [("markdown", text), ("markdown", below)]


def _load(module: str):
    return importlib.import_module(f"avbook.{module}")


def generated() -> dict[str, list[tuple[str, str]]]:
    """The generated cells of each API page by its path."""
    pages = list(read_pages(NBS))
    return {TOP: top_cells()} | {page_of(folder): cells_of(folder, pages) for folder in FOLDERS}


def stored(path: str) -> list[dict]:
    """The cells of a page from its first generated one on."""
    cells = read_page(NBS / path, NBS).cells
    start = next(i for i, cell in enumerate(cells) if source(cell).startswith(MARK))
    return list(cells[start:])


def write() -> None:
    """Writes each page whose generated cells have changed, and names it, to be run."""
    for path, made in generated().items():
        notebook = json.loads((NBS / path).read_text(encoding="utf-8"))
        before = []
        for cell in notebook["cells"]:
            if "".join(cell["source"]).startswith(MARK):
                break
            before.append(cell)
        old = ["".join(cell["source"]) for cell in notebook["cells"][len(before) :]]
        if old == [text for _, text in made]:
            continue
        notebook["cells"] = before + [
            _cell(f"n{i:03d}", kind, text) for i, (kind, text) in enumerate(made)
        ]
        (NBS / path).write_text(
            json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n",
            encoding="utf-8",
        )
        print(f"nbs/{path}")


def _cell(id: str, kind: str, text: str) -> dict:
    cell = {"cell_type": kind, "id": id, "metadata": {}, "source": text.splitlines(True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


if __name__ == "__main__":
    write()
