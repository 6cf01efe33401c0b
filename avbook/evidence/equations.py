"""The equation index: each numbered equation, its code, its page, and its tests."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avbook.common.markdown import markdown_table
from avbook.errors import AvbookError
from avbook.papers import EQUATIONS
from avbook.papers.schema import implementations
from avbook.show.pages import Page, plain_text, source

_PACKAGE = Path(__file__).parents[1]

__all__ = [
    "equation_rows",
    "gaps",
    "Implementation",
    "import_all",
    "named_equations",
    "read_tests",
    "Test",
    "to_markdown",
]


@dataclass(frozen=True)
class Implementation:
    """A function or class decorated with `@paper(…)`."""

    name: str  # such as "avbook.supervised.psp.pair_similarity"
    file: str  # relative to the repository
    line: int
    # the page that exports it, with the anchor of its documentation; "" for a plain module
    page: str


@dataclass(frozen=True)
class Test:
    """A test function and all names in its source, including those of the helpers it calls in its
    file."""

    file: str
    name: str
    line: int
    mentions: frozenset[str]


def import_all() -> None:
    """Imports every module of the package with `@paper` marks, so that the index is complete."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        if re.search(r"^\s*@paper\(", path.read_text(encoding="utf-8"), flags=re.M):
            inside = path.relative_to(_PACKAGE).with_suffix("")
            importlib.import_module(".".join((_PACKAGE.name, *inside.parts)))


def equation_rows(
    pages: Iterable[Page],  # pages of the book
    tests: Iterable[Test],  # from `read_tests`
) -> list[dict[str, Any]]:
    """One dict per numbered equation: paper, number, words, typeset (links to the formula), code
    (`Implementation`s), explained (links to headings that name it), tests."""
    import_all()
    pages, tests = list(pages), list(tests)
    typeset = _typeset(pages)
    exported = {module: page for page in pages for module in page.exports}
    out = []
    for key, equations in EQUATIONS.items():
        for number, words in equations.items():
            found = [_locate(name, exported) for name in implementations(key, number)]
            used = [
                test
                for test in tests
                if any(_uses(test, implementation.name) for implementation in found)
            ]
            homes = dict.fromkeys(
                implementation.page.partition("#")[0]
                for implementation in found
                if implementation.page
            )
            explained = [
                place for page in pages if page.path in homes for place in _explained(page, number)
            ]
            out.append(
                {
                    "paper": key,
                    "number": number,
                    "words": words,
                    "typeset": typeset.get(f"eq-{key}-{number}", []),
                    "code": found,
                    "explained": explained,
                    "tests": used,
                }
            )
    return out


def gaps(
    rows: list[dict[str, Any]],  # from `equation_rows`
) -> list[str]:
    """The missing parts of each equation, one per line: code, a page that exports the code, a
    sentence there that names it, a test."""
    out = []
    for row in rows:
        name = f"{row['paper']} Eq. {row['number']}"
        if not row["code"]:
            out.append(f"{name}: nothing implements it")
        out += [f"{name}: no page exports {code.name}" for code in row["code"] if not code.page]
        if not row["explained"]:
            out.append(f"{name}: its page never names it")
        if not row["tests"]:
            names = ", ".join(code.name for code in row["code"])
            out.append(f"{name}: no test mentions {names}")
    return out


def named_equations(
    text: str,
) -> set[int]:
    """The equations that a text names, as in "Eq. 3", "Eq. 3-5", "Equations 3 and 5"."""
    out: set[int] = set()
    for run in re.findall(
        r"\bEq(?:s\.?|\.|uations?)\s*\(?(\d+(?:\s*(?:,|and|or|to|-|–)\s*\d+)*)", text
    ):
        parts = re.split(r"\s*(,|and|or|to|-|–)\s*", run)
        out |= {int(part) for part in parts if part.isdigit()}
        for first, joined, last in zip(parts[::2], parts[1::2], parts[2::2]):
            if joined in ("to", "-", "–"):
                out |= set(range(int(first), int(last) + 1))
    return out


def _typeset(pages: list[Page]) -> dict[str, list[str]]:
    """Where each equation is typeset: anchor -> links to the `<span id="eq-psp-3"></span>` above
    the formula."""
    out: dict[str, list[str]] = {}
    for page in pages:
        text = page.words("markdown")
        for anchor in re.findall(r'<span id="(eq-[a-z]+-\d+)"></span>\s*\$\$', text):
            out.setdefault(anchor, []).append(f"{page.path}#{anchor}")
    return out


def _explained(page: Page, number: int) -> list[str]:
    """The first heading whose section names the equation, as a link."""
    for i, cell in enumerate(page.cells):
        if cell["cell_type"] == "markdown":
            for block in re.split(r"(?m)^(?=#{1,6}\s)", source(cell)):
                if number in named_equations(block):
                    heading = next(
                        (
                            h
                            for h in page.headings
                            if h.cell == i
                            and block.startswith("#" * h.level + " ")
                            and h.text in plain_text(block)
                        ),
                        None,
                    )
                    heading = heading or page.heading_at(i)
                    return [
                        (
                            f"{page.path}#{heading.anchor}"
                            if heading and heading.level > 1
                            else page.path
                        )
                    ]
    return []


def _locate(name: str, exported: dict[str, Page]) -> Implementation:
    module, qualified = _parted(name)
    thing = importlib.import_module(module)
    for part in qualified.split("."):
        thing = getattr(thing, part)
    line = inspect.getsourcelines(thing)[1]
    page = exported.get(module.partition(".")[2])
    anchor = f"{page.path}#{qualified.lower()}" if page else ""
    return Implementation(name, module.replace(".", "/") + ".py", line, anchor)


def _parted(name: str) -> tuple[str, str]:
    """The module in a dotted name, and the name inside it."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        module = ".".join(parts[:i])
        if module in sys.modules:
            return module, ".".join(parts[i:])
    raise AvbookError(
        f"{name}: no module of this name is loaded; expected one that `import_all` imports"
    )


def _uses(test: Test, name: str) -> bool:
    """Whether a test mentions the function or class by name; a method counts if its class is
    mentioned as well."""
    return set(_parted(name)[1].split(".")) <= test.mentions


def read_tests(
    folder: Path,  # folder of pytest files
) -> list[Test]:
    """All tests below a folder with the names that each mentions, read from their source."""
    out = []
    for path in sorted(Path(folder).rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {
            node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }
        values = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                out.append(
                    Test(
                        path.relative_to(folder).as_posix(),
                        node.name,
                        node.lineno,
                        frozenset(_mentions(node, functions, values)),
                    )
                )
    return out


def _mentions(
    node: ast.AST, functions: Mapping[str, ast.AST], values: Mapping[str, ast.AST]
) -> set[str]:
    """Names and attributes in a function, and in the functions, fixtures and constants of its file
    that it uses."""
    seen: set[str] = set()
    queue, visited = [node], set()
    while queue:
        for part in ast.walk(queue.pop()):
            name = (
                part.id
                if isinstance(part, ast.Name)
                else (
                    part.attr
                    if isinstance(part, ast.Attribute)
                    else part.arg
                    if isinstance(part, ast.arg)
                    else None
                )
            )
            if name is None or name in visited:
                continue
            visited.add(name)
            seen.add(name)
            queue += [where[name] for where in (functions, values) if name in where]
    return seen


# --------------------------------------------------------------------------------------------- page
def to_markdown(
    rows: list[dict[str, Any]],  # from `equation_rows`
    key: str,  # the paper
    base: str,  # prefix of links to pages, such as "../"
    # address of the repository's files, such as "https://github.com/avbook/avbook/blob/main"
    repository: str,
) -> str:
    """The equations of one paper as a Markdown table with links to the formula on its page, the
    lines of code and the tests. An equation that is typeset nowhere links to the section that names
    it."""
    lines = []
    for row in (r for r in rows if r["paper"] == key):
        places = row["typeset"] or row["explained"]
        page = ", ".join(f"[{Path(_file(place)).stem}]({base}{place})" for place in places)
        code = ", ".join(
            f"[`{_short(c.name)}`]({repository}/{c.file}#L{c.line})" for c in row["code"]
        )
        files: dict[str, list[Test]] = {}
        for test in row["tests"]:
            files.setdefault(test.file, []).append(test)
        tests = ", ".join(
            f"[{Path(file).stem}]({repository}/tests/{file}#L{found[0].line}) ({len(found)})"
            for file, found in files.items()
        )
        lines.append((row["number"], row["words"], page or "–", code or "–", tests or "–"))
    head = ("Eq.", "in our words", "typeset on", "code", "tests")
    return markdown_table(head, lines, right=[0]) + "\n"


def _file(place: str) -> str:
    """The page in a link, without the anchor."""
    return place.partition("#")[0]


def _short(name: str) -> str:
    """A dotted name without the package and the subpackage: "psp.pair_similarity"."""
    return name.split(".", 2)[2]
