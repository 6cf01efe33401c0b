"""The package keeps its form: folders import downwards, few entries at its top, no long module."""

import re
import subprocess

import architecture
import pytest
from processes import BIN, ROOT

PACKAGE = ROOT / "avbook"
TOP = 18  # entries of the package; a nineteenth belongs into a folder
LONGEST = 511  # lines of the longest module: lower this when it shrinks, never raise it
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "_modidx.py")  # nbdev's own index


def test_folders_import_from_those_below_and_no_two_modules_in_a_circle():
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_every_folder_stands_on_one_floor():
    listed = [entry for floor in architecture.floors() for entry in floor]
    assert sorted(listed) == architecture.entries(), "list it in .importlinter"


def test_the_top_of_the_package_stays_small():
    found = sorted(p.name for p in PACKAGE.iterdir() if p.name != "__pycache__")
    assert len(found) <= TOP, found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_says_first_what_it_holds_and_is_not_too_long(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[0] if lines else ""
    assert re.match(r'"""\w|"""[`"]', first), "begins with no docstring"
    assert len(first) <= 100, f"{len(first)} columns: {first}"
    assert len(lines) <= LONGEST, f"{len(lines)} lines: split it"


def test_the_ceiling_is_that_of_the_longest_module():
    longest = max(len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES)
    assert longest > LONGEST - 50, f"the longest module has {longest} lines: lower LONGEST to that"


def test_the_drawing_is_that_of_the_code():
    text = architecture.PAGE.read_text(encoding="utf-8")
    assert architecture.render(text) == text, "run: python tools/architecture.py"


def test_the_map_in_the_reference_has_every_folder():
    text = (ROOT / "nbs/reference/index.ipynb").read_text(encoding="utf-8")
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert not [name for name in folders if not re.search(rf"\b{name}=", text)]
