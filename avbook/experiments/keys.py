"""The path of a run's record, and the command that makes it."""

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
    options: dict[str, Any],  # only the differences from the preset, from `resolve_settings`
    data,  # a data set with `.name` and `.hash`
) -> str:
    """A folder name for a setting on a data set: readable, and unique to both. Its last eight
    characters alone identify settings and data."""
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
    options: dict[str, Any],  # only the differences from the preset
    data,  # a data set with `.name` and `.hash`
    seed: int,
) -> Path:
    """The path of a seed's record, existing or not: in a folder of the same setting on the same
    content, even if the data had another name then, else in a folder with the data's name."""
    base, key = Path(out) / recipe.name, run_key(recipe, preset, options, data)
    folders = [
        folder
        for folder in sorted(base.glob(f"*-{key[-8:]}"))
        # presets with equal settings have equal suffixes; their records must not share a folder
        if folder.name == key or (f"-{preset}-" in folder.name and folder.is_dir())
    ]

    def worth(folder: Path) -> tuple:
        stands, begun = folder / f"seed-{seed}.json", folder / f"seed-{seed}"
        return not stands.exists(), not begun.exists(), folder.name != key

    return min(folders, key=worth, default=base / key) / f"seed-{seed}.json"


def command(
    recipe: Recipe,
    where: str,  # the data, as for `--data`
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
            pair = f"{name}={json.dumps(value)}"  # a string that reads as a number
        words += ["--set", pair]
    if Path(out) != Path("runs"):
        words += ["--out", str(out)]
    if device != "auto":
        words += ["--device", device]
    return shlex.join([*words, "--seed", str(seed)])  # tables replace the end by --seeds
