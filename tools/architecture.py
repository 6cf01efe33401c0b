"""Draws the package in ARCHITECTURE.md from its code: `python tools/architecture.py` writes it.

Two parts stand between marks: the table of folders, with the first sentence of each, and the floors
in the order of .importlinter, each folder with the folders that it imports. tests/test_floors.py
checks that both are up to date.
"""

import ast
import configparser
import re
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
START, END = "<!-- {}: written by tools/architecture.py -->", "<!-- end of {} -->"
NOT_DRAWN = {"__init__", "__main__", "_modidx"}  # modules without code of their own


def floors(config: Path = ROOT / ".importlinter") -> list[list[str]]:
    """The entries of the package floor by floor, the highest first, as in .importlinter."""
    parser = configparser.ConfigParser()
    parser.read(config, encoding="utf-8")
    package = parser["importlinter"]["root_package"]
    lines = parser["importlinter:contract:floors"]["layers"].strip().splitlines()
    return [re.findall(rf"{package}\.(\w+)", line) for line in lines]


def entries(package: Path = ROOT / "avbook") -> list[str]:
    """The folders and modules at the top of the package that are drawn."""
    found = {path.stem for path in package.iterdir() if path.suffix == ".py" or _is_package(path)}
    return sorted(found - NOT_DRAWN)


def _is_package(path: Path) -> bool:
    return path.is_dir() and path.name != "__pycache__"


def imports(package: str = "avbook") -> dict[str, set[str]]:
    """Entry -> the other entries that its modules import, at their top or inside a function."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            here, there = (name.split(".")[1:2] for name in (module, imported))
            if here and there and here != there:
                found.setdefault(here[0], set()).update(there)
    return found


def about(entry: str, package: Path = ROOT / "avbook") -> str:
    """The first sentence of the docstring of a folder or module."""
    path = package / entry
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s", " ".join(text.split("\n\n")[0].split()))[0]


def modules(entry: str, package: Path = ROOT / "avbook") -> list[str]:
    """The modules and folders inside a folder."""
    inside = (package / entry).iterdir() if (package / entry).is_dir() else ()
    found = {
        f"{path.name}/" if path.is_dir() else path.stem
        for path in inside
        if path.suffix == ".py" or _is_package(path)
    }
    return sorted(found - NOT_DRAWN)


def draw_folders() -> str:
    """The table of folders, the lowest floor first."""
    lines = ["| folder | content | modules |", "|:--|:--|:--|"]
    for floor in reversed(floors()):
        for entry in floor:
            inside = ", ".join(f"`{name}`" for name in modules(entry))
            lines.append(f"| `{entry}` | {about(entry)} | {inside} |")
    return "\n".join(lines)


def draw_floors() -> str:
    """The floors as boxes, the highest first, each folder with its imports from below."""
    order, found = floors(), imports()
    listed = [entry for floor in order for entry in floor]
    below = {entry: " ".join(e for e in listed if e in found.get(entry, ())) for entry in listed}
    wide, rest = max(map(len, listed)), max(map(len, below.values()))
    rule = "├────┼" + "─" * (wide + 2) + "┼" + "─" * (rest + 2) + "┤"
    lines = []
    for number, floor in zip(range(len(order), 0, -1), order):
        lines.append(rule)
        for i, entry in enumerate(floor):
            lines.append(f"│ {'' if i else number:>2} │ {entry:{wide}} │ {below[entry]:{rest}} │")
    lines[0] = rule.translate(str.maketrans("├┼┤", "┌┬┐"))
    lines.append(rule.translate(str.maketrans("├┼┤", "└┴┘")))
    return "\n".join(["```text", *lines, "```"])


DRAWINGS = {"folders": draw_folders, "floors": draw_floors}


def render(text: str) -> str:
    """The page with the text between the marks drawn again."""
    for name, draw in DRAWINGS.items():
        start, end = START.format(name), END.format(name)
        before, rest = text.split(start)
        text = f"{before}{start}\n\n{draw()}\n\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
