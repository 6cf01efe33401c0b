"""The tree of the repository copied, and nbdev's commands run in the copy."""

import os
import shutil
import subprocess
from pathlib import Path

from processes import BIN, ROOT

NOTEBOOKS = sorted(
    p.relative_to(ROOT)
    for p in (ROOT / "nbs").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in p.parts and "_proc" not in p.parts
)


def copy_tree(folder: Path) -> Path:
    """What export, cleaning and processing need of the tree, copied."""
    folder.mkdir()
    for name in (
        "nbs",
        "avbook",
        "tools",
        "settings.ini",
        "setup.py",
        "_quarto.yml",
        "README.md",
        ".gitignore",
    ):
        source = ROOT / name
        ignore = shutil.ignore_patterns(
            "__pycache__", ".ipynb_checkpoints", "_proc", "nbdev.yml", "sidebar.yml"
        )
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore, symlinks=True)
        else:
            shutil.copy(source, folder / name)
    return folder


def run_there(folder: Path, *command, first_in_path: Path = BIN) -> str:
    """Runs a command of nbdev in a copied tree, on its own package; what it printed."""
    path = os.pathsep.join([str(first_in_path), str(BIN), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(c) for c in command],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout
