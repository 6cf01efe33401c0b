"""Every notebook runs, is clean, keeps its outputs and says the same as the package."""

import ast
import json
import os
import re
from pathlib import Path

import language
import pytest
from forked import FewerEpochs, run_page
from processes import BIN, ROOT
from tree import NOTEBOOKS, copy_tree, run_there


def code_cells(path: Path) -> list[dict]:
    return [
        c
        for c in json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
        if c["cell_type"] == "code"
    ]


@pytest.mark.page_run
@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_runs(path):
    # the subject of these is what happens in thirty epochs or more
    long = path.stem in ("06_training", "training")
    whole = long or os.environ.get("AVBOOK_TEST_PAGES") == "whole"
    trouble = run_page(path, short=not whole)
    assert not trouble, trouble


@pytest.mark.parametrize(
    "said, done",
    [
        ("fit(net, epochs=12, lr=1)", "fit(net, epochs=2, lr=1)"),
        ("fit(epochs=settings['epochs'])", "fit(epochs=min(settings['epochs'], 2))"),
        ("quick = {'epochs': 30, 'k': 9}", "quick = {'epochs': 2, 'k': 9}"),
        ("train = lambda name, epochs=12: name", "train = lambda name, epochs=2: name"),
        ("fit(epochs=1)",) * 2,
        ("f(epochs=(epochs, 1))",) * 2,
        ("epochs = 30", "epochs = 30"),
        ("def fit(net, epochs: int=30):\n    pass",) * 2,
    ],
)
def test_a_short_run_trains_for_two_epochs(said, done):
    assert ast.unparse(FewerEpochs(2).visit(ast.parse(said))) == done


def made_page(folder: Path, source: str) -> Path:
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "c1",
        "metadata": {},
        "outputs": [],
        "source": [source],
    }
    kernel = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    (folder / "page.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    )
    return folder / "page.ipynb"


@pytest.mark.parametrize("short, epochs", [(True, 2), (False, 12)])
def test_only_a_short_run_of_a_page_trains_less(tmp_path, short, epochs):
    trouble = run_page(
        made_page(tmp_path, f"assert [*dict(epochs=12).values()] == [{epochs}]"), short
    )
    assert not trouble, trouble


@pytest.mark.parametrize(
    "source, said",
    [
        ("print('fine')", ()),
        ("assert 1 == 2, 'as it should'", ("exit code 1", "AssertionError: as it should")),
        ("import os; os._exit(3)", ("exit code 3",)),
    ],
)
def test_a_page_that_fails_is_told(tmp_path, source, said):
    trouble = run_page(made_page(tmp_path, source))
    assert all(words in trouble for words in said) and bool(trouble) == bool(said), trouble


def one_piece(source: str) -> bool:
    """Whether a cell holds a single exported function or class, which cannot be parted, or only
    constants or imports."""
    if re.search(r"^\s*[%!]", source, flags=re.M):
        return False
    kinds = {type(part) for part in ast.parse(source).body}
    alone = language.one_definition(source) and source.startswith("#| export")
    return alone or kinds <= {ast.Assign} or kinds <= {ast.Import, ast.ImportFrom}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_form(path):
    cells = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
    code = code_cells(path)
    sources = ["".join(c["source"]) for c in code]
    first = "".join(cells[0]["source"])
    assert cells[0]["cell_type"] == "markdown" and first.startswith("# ") and "\n> " in first, (
        "starts with a title and a line of description"
    )
    assert not [o for c in code for o in c["outputs"] if o["output_type"] == "error"], (
        "stores an error"
    )
    long = [i for i, s in enumerate(sources) if len(s.splitlines()) > (77 if one_piece(s) else 45)]
    assert not long, f"code cells over 45 lines, or over 77 for one definition: {long}"
    read_by_quarto = r"^#\|\s*(?:fig-|code-)\S+"  # they would stand above the code in JupyterLab
    shown = [line for s in sources for line in re.findall(read_by_quarto, s, flags=re.M)]
    assert not shown, f"write these into the cell's metadata: {shown}"
    assert not code or any(c["outputs"] for c in code), "shows no output"
    drawn = [c for c in code if any("image/png" in o.get("data", {}) for o in c["outputs"])]
    assert not ["".join(c["source"])[:80] for c in drawn if not c["metadata"].get("fig-alt")], (
        "a figure without alternative text in its cell's metadata"
    )
    percent = [c["metadata"]["fig-alt"] for c in drawn if "%" in c["metadata"]["fig-alt"]]
    assert not percent, f"Quarto takes a % for part of an address, write percent: {percent}"


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """The tree copied, exported and cleaned there."""
    folder = copy_tree(tmp_path_factory.mktemp("copy") / "avbook")
    run_there(folder, BIN / "nbdev_export")
    run_there(folder, BIN / "nbdev_clean")
    return folder


def test_export_leaves_no_difference(copied):
    def sources(root: Path) -> dict[str, str]:
        return {
            p.relative_to(root).as_posix(): p.read_text(encoding="utf-8")
            for p in (root / "avbook").rglob("*.py")
        }

    exported, here = sources(copied), sources(ROOT)
    changed = sorted(
        name for name in exported.keys() | here.keys() if exported.get(name) != here.get(name)
    )
    assert not changed, "run nbdev_export: notebooks and package are out of step"
    for name, text in here.items():  # nbdev never deletes the module of a page that has gone
        found = re.search(r"File to edit: (\S+\.ipynb)", text)
        assert found is None or (ROOT / name).parent.joinpath(found[1]).exists(), (
            f"{name}: its page is gone"
        )


def test_clean_leaves_no_difference(copied):
    changed = [str(p) for p in NOTEBOOKS if (copied / p).read_bytes() != (ROOT / p).read_bytes()]
    assert not changed, "run nbdev_clean"
