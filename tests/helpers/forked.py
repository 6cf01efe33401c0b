"""Runs things in processes of their own that need not import torch and its kin again: notebooks as
`nbdev_test` does, and avbook's command line."""

import ast
import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from processes import PATIENCE, ROOT

# imported once, by a server without threads; what is run is run in a fork of it, in which nothing
# has been done yet
LIBRARIES = [
    "torch",
    "torch._dynamo",
    "numpy",
    "pandas",
    "h5py",
    "matplotlib.pyplot",
    "seaborn",
    "scipy.stats",
    "scipy.signal",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.cluster",
    "sklearn.metrics",
    "accelerate",
    "safetensors.torch",
    "tqdm",
    "typer",
    "rich.table",
    "ipywidgets",
    "IPython",
    "matplotlib_inline.backend_inline",
    "nbdev.test",
]


def run_forked(
    call: Callable, *arguments, cwd: Path = ROOT, environment: dict[str, str] | None = None
) -> tuple[int | None, str, str]:
    """The exit code of a process that makes the call, what it printed and what it said on standard
    error; no code where it hangs."""
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    )
    context.set_forkserver_preload(LIBRARIES)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = context.Process(
            target=_child,
            args=(
                str(out),
                str(err),
                str(cwd),
                {**os.environ, **(environment or {})},
                call,
                arguments,
            ),
        )
        process.start()
        process.join(PATIENCE)
        code = process.exitcode
        process.kill()
        process.join()
        return code, *(
            path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            for path in (out, err)
        )


def _child(
    out: str, err: str, cwd: str, environment: dict[str, str], call: Callable, arguments: tuple
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.stdin = open(os.devnull)  # noqa: SIM115  until the process ends
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    call(*arguments)


def run_page(path: Path, short: bool = False) -> str:
    """What went wrong in a notebook, with the last lines that were printed; empty where it ran
    through.

    A short run executes every cell, too, but trains for two epochs where a cell asks for more, ends
    t-SNE early, and draws each figure once, where notebooks draw it three times (as the cell ends,
    to find its borders, and inside them)."""
    code, out, err = run_forked(_page, str(path), short)
    trouble = f"not finished in {PATIENCE} s" if code is None else f"exit code {code}"
    return "" if code == 0 else f"{trouble}\n{(out + err)[-4000:]}"


def _page(path: str, short: bool) -> None:
    from nbdev import test

    if short:
        from IPython.core import pylabtools
        from matplotlib._pylab_helpers import Gcf
        from sklearn.manifold import TSNE

        shell, print_figure = test.CaptureShell, pylabtools.print_figure

        def short_shell(*arguments):
            made = shell(*arguments)
            made.ast_transformers.append(FewerEpochs(2))
            return made

        test.CaptureShell = short_shell
        TSNE.__init__.__kwdefaults__["max_iter"] = 250
        Gcf.draw_all = lambda force=False: None
        pylabtools.print_figure = lambda *arguments, **options: print_figure(
            *arguments, **{**options, "bbox_inches": None}
        )
    test.nbdev_test.__wrapped__(path=path, n_workers=0)


class FewerEpochs(ast.NodeTransformer):
    """Lowers every number of epochs that a cell asks for: in a call, as a number in a dictionary,
    or as a default without a type (exported functions have types)."""

    def __init__(self, most: int):
        self.most = most

    def lowered(self, value: ast.expr) -> ast.expr:
        if isinstance(value, ast.Constant) and isinstance(value.value, int):
            return ast.copy_location(ast.Constant(min(value.value, self.most)), value)
        if isinstance(value, ast.Subscript):  # settings["epochs"]
            return ast.fix_missing_locations(
                ast.copy_location(
                    ast.Call(ast.Name("min", ast.Load()), [value, ast.Constant(self.most)], []),
                    value,
                )
            )
        return value

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        self.generic_visit(node)
        if node.arg == "epochs":
            node.value = self.lowered(node.value)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        self.generic_visit(node)
        node.values = [
            (
                self.lowered(value)
                if isinstance(key, ast.Constant) and key.value == "epochs"
                else value
            )
            for key, value in zip(node.keys, node.values)
        ]
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        self.generic_visit(node)
        for name, place in zip(reversed(node.args), reversed(range(len(node.defaults)))):
            if name.arg == "epochs" and name.annotation is None:
                node.defaults[place] = self.lowered(node.defaults[place])
        return node


def avbook_command(*words: str) -> None:
    """The command line, as if these words had been typed."""
    from avbook.cli import main

    sys.argv = ["avbook", *words]
    main()


def patched_command(code: str, *words: str) -> None:
    """The same after some lines of Python, which put something else in the place of a function."""
    exec(code, {})
    avbook_command(*words)


def script(path: str, *words: str) -> None:
    """A Python script, as if it had been called with these words."""
    sys.argv = [path, *words]
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(path, run_name="__main__")
