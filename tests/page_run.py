"""Runs a notebook as `nbdev_test` does, in a process of its own that need not import torch and its kin again."""
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

from processes import PATIENCE, ROOT

# imported once, by a server without threads; each page is run by a fork of it, in which nothing has been done yet
LIBRARIES = ["torch", "numpy", "pandas", "h5py", "matplotlib.pyplot", "seaborn", "scipy.stats", "scipy.signal", "sklearn.linear_model", "sklearn.manifold", "sklearn.cluster",
             "sklearn.metrics", "accelerate", "safetensors.torch", "tqdm", "typer", "ipywidgets", "IPython", "matplotlib_inline.backend_inline", "nbdev.test"]


def _server() -> multiprocessing.context.BaseContext:
    context = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
    context.set_forkserver_preload(LIBRARIES)
    return context


def _page(path: str, log: str) -> None:
    """In the new process: everything printed goes to the log; the exit code is `nbdev_test`'s."""
    from nbdev.test import nbdev_test

    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdin = open(os.devnull)
    os.chdir(ROOT)
    nbdev_test.__wrapped__(path=path, n_workers=0)


def run_page(path: Path) -> str:
    """What went wrong, with the last lines that were printed; empty where the page ran through."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.touch()
        process = _server().Process(target=_page, args=(str(path), str(log)))
        process.start()
        process.join(PATIENCE)
        if process.exitcode == 0:
            return ""
        trouble = f"not finished in {PATIENCE} s" if process.is_alive() else f"exit code {process.exitcode}"
        process.kill()
        process.join()
        return f"{trouble}\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}"
