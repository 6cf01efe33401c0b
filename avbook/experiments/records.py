"""Run records: one JSON file per seed, read one by one or by setting."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avbook.common.schema import read_json
from avbook.errors import AvbookError
from avbook.experiments.recipe import resolve_settings
from avbook.experiments.recipes import find_recipe
from avbook.experiments.schemas import RunRecord

__all__ = ["Records", "read_record", "check_one_data_set"]

_ADVICE = "move it away or run with another --out"


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """A run record; raises `AvbookError` if the file is not one."""
    return read_json(path, RunRecord, "a run record", _ADVICE)


# ------------------------------------------------------------------------------------------ records
class Records:
    """All run records in a folder, accessible by setting."""

    def __init__(
        self,
        folder: str | os.PathLike,  # folder written by `avbook run --out`
    ):
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob("*/*/seed-*.json"))
        self.all = [read_record(path) | {"path": str(path)} for path in self.paths]

    @classmethod
    def of_runs(
        cls,
        folder: str | os.PathLike,  # folder of the records
        outcomes: Iterable[Any],  # of runs: a record and its path each
    ) -> Records:
        """Only the records of these runs, without others in the folder."""
        found = cls.__new__(cls)
        found.folder, outcomes = Path(folder), list(outcomes)
        found.paths = [outcome.path for outcome in outcomes]
        found.all = [outcome.record | {"path": str(outcome.path)} for outcome in outcomes]
        return found

    def of(
        self,
        recipe: str,
        options: dict[str, Any] | None = None,  # as for `--set`
        *,
        preset: str = "quick",
        data: str | None = None,  # hash or name of the data set; None: any, if all records agree
    ) -> list[dict[str, Any]]:
        """The records of one setting, one per seed, ordered by seed.

        Raises `AvbookError` if they are of several data sets (which may have had the same name), or
        if two records of a seed differ in their scores."""
        _, changed = resolve_settings(find_recipe(recipe), preset, options or {})
        found = [
            r
            for r in self.all
            if r["recipe"] == recipe
            and r["preset"] == preset
            and r["options"] == changed
            and (data is None or data in (r["data"]["hash"], r["data"]["name"]))
        ]
        check_one_data_set(found, f"{self.folder}: records of {recipe} {changed}")
        return _one_a_seed(found)


def check_one_data_set(
    records: list[dict[str, Any]],
    what: str,  # name of the records, for messages
) -> None:
    """Raises `AvbookError` if the records are of several data sets."""
    told = [r["data"] for r in records if "data" in r]  # hand-made scores have none
    hashes = {data["hash"] for data in told}
    if len(hashes) > 1:
        names = sorted({f"{data['name']} ({data['hash']})" for data in told})
        raise AvbookError(
            f"{what} come from {len(hashes)} data sets, {', '.join(names)}; name one with --data,"
            " or move the others away"
        )


def _one_a_seed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records ordered by seed; of equal ones, as in copies of a folder, the first."""
    by_seed: dict[int, dict[str, Any]] = {}
    for record in records:
        first = by_seed.setdefault(record["seed"], record)
        if first["metrics"] != record["metrics"]:
            raise AvbookError(
                f"{first.get('path')} and {record.get('path')}: two records of seed"
                f" {record['seed']} of one setting, with different scores; move one away"
            )
    return [by_seed[seed] for seed in sorted(by_seed)]
