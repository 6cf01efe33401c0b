"""Run records: one JSON file a seed, read one by one or asked for by setting."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from avbook.errors import AvbookError
from avbook.experiments.recipe import resolve_settings
from avbook.experiments.recipes import find_recipe

__all__ = ["Records", "read_record"]

_REQUIRED = {"recipe", "metrics", "seed", "data"}
_ADVICE = "move it away or run with another --out"


class Records:
    """All run records under a folder, to be asked for by setting."""

    def __init__(
        self,
        folder: str | os.PathLike,  # the folder that `avbook run --out` wrote
    ):
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob("*/*/seed-*.json"))
        self.all = [read_record(path) | {"path": str(path)} for path in self.paths]

    def of(
        self,
        recipe: str,
        options: dict[str, Any] | None = None,  # as `--set` would take them
        *,
        preset: str = "quick",
        data: str | None = None,  # the data set's name; None: whichever, if all agree
    ) -> list[dict[str, Any]]:
        """The records of one setting, ordered by seed; raises `AvbookError` where they are of
        several data sets."""
        _, changed = resolve_settings(find_recipe(recipe), preset, options or {})
        found = [
            r
            for r in self.all
            if r["recipe"] == recipe
            and r["preset"] == preset
            and r["options"] == changed
            and (data is None or r["data"]["name"] == data)
        ]
        hashes = {r["data"]["hash"] for r in found}
        if len(hashes) > 1:
            names = sorted({f"{r['data']['name']} ({r['data']['hash']})" for r in found})
            raise AvbookError(
                f"{self.folder}: records of {recipe} {changed} come from {len(hashes)} data sets,"
                f" {', '.join(names)}; name one with --data"
            )
        return sorted(found, key=lambda r: r["seed"])


def read_record(path: Path) -> dict[str, Any]:
    """A run record; raises `AvbookError` where the file is no record."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AvbookError(f"{path}: no run record ({error}); {_ADVICE}") from None
    if not isinstance(record, dict):
        raise AvbookError(f"{path}: no run record (it holds no object); {_ADVICE}")
    missing = sorted(_REQUIRED - record.keys())
    if not missing and not (isinstance(record["data"], dict) and "kind" in record["data"]):
        missing = ["data.kind"]
    if missing:
        raise AvbookError(f"{path}: no run record (it lacks {', '.join(missing)}); {_ADVICE}")
    return record
