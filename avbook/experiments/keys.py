"""Where the record of a run lies, and the command that makes it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

from avbook.experiments.options import as_word
from avbook.experiments.recipe import Recipe, parse_options

__all__ = ["run_key", "record_path", "command"]


def run_key(
    recipe: Recipe,
    preset: str,
    options: dict[str, Any],  # only what differs from the preset, as `resolve_settings` gives it
    data,  # a data set with `.name` and `.hash`
) -> str:
    """A folder name for a setting on a data set: readable, and different whenever either
    differs. Its last eight characters alone tell settings and data apart."""
    readable = "-".join(
        [data.name, preset, *(f"{name}={value}" for name, value in options.items())]
    )
    content = json.dumps([recipe.name, recipe.preset(preset), options, data.hash], sort_keys=True)
    return (
        re.sub(r"[^A-Za-z0-9._=-]+", "_", readable)[:100]
        + "-"
        + hashlib.sha256(content.encode()).hexdigest()[:8]
    )


def record_path(
    out: str | os.PathLike,
    recipe: Recipe,
    preset: str,
    options: dict[str, Any],  # only what differs from the preset
    data,  # a data set with `.name` and `.hash`
    seed: int,
) -> Path:
    """Where the record of a seed lies, or will: in a folder of the same setting on the same
    content, whatever name the data had when that was made, else in one of the data's name."""
    base, key = Path(out) / recipe.name, run_key(recipe, preset, options, data)
    folders = [
        folder
        for folder in sorted(base.glob(f"*-{key[-8:]}"))
        # presets of equal settings have equal ends; their records must not meet in one folder
        if folder.name == key or (f"-{preset}-" in folder.name and folder.is_dir())
    ]

    def worth(folder: Path) -> tuple:
        stands, begun = folder / f"seed-{seed}.json", folder / f"seed-{seed}"
        return not stands.exists(), not begun.exists(), folder.name != key

    return min(folders, key=worth, default=base / key) / f"seed-{seed}.json"


def command(
    recipe: Recipe,
    where: str,  # the data, as `--data` takes it
    preset: str,
    options: dict[str, Any],
    seed: int,
    *,
    out: str | os.PathLike = "runs",
    device: str = "auto",
) -> str:
    """The command line that makes this record again, quoted for a shell."""
    words = ["avbook", "run", recipe.name, "--data", where, "--preset", preset]
    for name, value in options.items():
        pair = f"{name}={as_word(value)}"
        if isinstance(value, str) and parse_options([pair])[name] != value:
            pair = f"{name}={json.dumps(value)}"  # a word that reads as a number
        words += ["--set", pair]
    if Path(out) != Path("runs"):
        words += ["--out", str(out)]
    if device != "auto":
        words += ["--device", device]
    return shlex.join([*words, "--seed", str(seed)])  # tables put --seeds in the place of the end
