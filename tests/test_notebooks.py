"""Every notebook runs, is clean, keeps its outputs and says the same as the package."""
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(p.relative_to(ROOT) for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts and "_proc" not in p.parts)
BIN = Path(sys.executable).absolute().parent
TIMEOUT = 600  # seconds, on a slow machine that first has to build the worlds; with them a page is meant to take under 90 on two cores


def code_cells(path: Path) -> list[dict]:
    return [c for c in json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]


@pytest.fixture(scope="session")
def runs(request):
    """Each notebook asked for under nbdev_test in a process of its own, as many at once as there are cores."""
    wanted = [item.callspec.params["path"] for item in request.session.items if item.name.startswith("test_runs[")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def run(path: Path) -> tuple[int, str]:
        try:
            done = subprocess.run([BIN / "nbdev_test", "--path", path, "--n_workers", "0"], cwd=ROOT, env=env, timeout=TIMEOUT,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
        except subprocess.TimeoutExpired as late:
            return 124, f"over {TIMEOUT} s: {(late.stdout or b'')[-2000:]}"
        return done.returncode, done.stdout

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield {path: pool.submit(run, path) for path in wanted}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_runs(path, runs):
    code, output = runs[path].result()
    assert code == 0, output[-4000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_form(path):
    cells = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
    code = code_cells(path)
    sources = ["".join(c["source"]) for c in code]
    first = "".join(cells[0]["source"])
    assert cells[0]["cell_type"] == "markdown" and first.startswith("# ") and "\n> " in first, "starts with a title and a line of description"
    assert not [o for c in code for o in c["outputs"] if o["output_type"] == "error"], "stores an error"
    long = [i for i, s in enumerate(sources) if len(s.splitlines()) > 45]
    assert not long, f"code cells over 45 lines: {long}"
    assert not code or any(c["outputs"] for c in code), "shows no output"
    drawn = [s for c, s in zip(code, sources) if any("image/png" in o.get("data", {}) for o in c["outputs"])]
    assert not [s.splitlines()[0] for s in drawn if "fig-alt" not in s], "a figure without alternative text"


def copy_tree(folder: Path) -> Path:
    """What export, cleaning and processing need of the tree, copied."""
    folder.mkdir()
    for name in ("nbs", "avbook", "settings.ini", "setup.py", "_quarto.yml", "README.md"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "_proc", "nbdev.yml", "sidebar.yml")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore, symlinks=True)
        else:
            shutil.copy(source, folder / name)
    return folder


def run_there(folder: Path, *command) -> str:
    """Runs a command of nbdev in a copied tree, on its own package; what it printed."""
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(c) for c in command], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """The tree copied, exported and cleaned there."""
    folder = copy_tree(tmp_path_factory.mktemp("copy") / "avbook")
    run_there(folder, BIN / "nbdev_export")
    run_there(folder, BIN / "nbdev_clean")
    return folder


def test_export_leaves_no_difference(copied):
    changed = [p.name for p in sorted((copied / "avbook").glob("*.py")) if not (ROOT / "avbook" / p.name).exists()
               or p.read_text(encoding="utf-8") != (ROOT / "avbook" / p.name).read_text(encoding="utf-8")]
    assert not changed, "run nbdev_export: notebooks and package are out of step"


def test_clean_leaves_no_difference(copied):
    changed = [str(p) for p in NOTEBOOKS if (copied / p).read_bytes() != (ROOT / p).read_bytes()]
    assert not changed, "run nbdev_clean"
