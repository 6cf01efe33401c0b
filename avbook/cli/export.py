"""`avbook export`: a trained run as one file to share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avbook.common.messages import one_line


def export(
    run: Annotated[
        Path, typer.Argument(help="A run's record, such as runs/psp-full/KEY/seed-0.json.")
    ],
    file: Annotated[
        Path, typer.Argument(help="The file to write, ending in .safetensors; must not exist yet.")
    ],
):
    """Write a trained model as one file: weights, settings, categories, and the extractors of its
    features.

    Example: `avbook export runs/psp-full/KEY/seed-0.json mine.safetensors`, then in Python
    `avbook.load_model("mine.safetensors")`, or `avbook predict party.mp4 --model mine.safetensors`
    """
    from avbook.experiments.exported import export_model

    path = export_model(run, file)
    size = path.stat().st_size / 1e6
    typer.echo(one_line(f"wrote {path} ({size:.1f} MB)"))
