"""The `avbook` command: make the world, check and pack data, train a recipe, fill a table."""

import sys
from typing import Any

__all__ = ["main", "app"]


def main() -> None:
    """Runs the command given on the command line."""
    from avbook.cli.signals import STOPPED, Signals, Stopped

    signals = Signals()
    try:
        signals.listen()
        from avbook.cli.ending import run_to_an_end

        run_to_an_end(signals, _run)
    except Stopped:  # while the import ran
        signals.ignore()
        print(f"avbook: {STOPPED}", file=sys.stderr)
        raise SystemExit(signals.code) from None


def _run(words: list[str]) -> None:
    from avbook.cli.commands import app

    app(words)


def __getattr__(name: str) -> Any:
    if name != "app":  # importing it loads typer; `main` handles Ctrl-C first
        raise AttributeError(f"module 'avbook.cli' has no attribute {name!r}")
    from avbook.cli.commands import app

    return app
