"""What `avbook table` runs, prints and writes: the cells of tables, then undecided claims."""

from __future__ import annotations

from typing import Any

import typer

from avbook.cli import printing, running
from avbook.common.files import write_text
from avbook.common.messages import one_line
from avbook.errors import AvbookError
from avbook.experiments import directions as ordering, tables as ledger
from avbook.experiments.recipes import RECIPES
from avbook.experiments.records import Records
from avbook.papers.schema import Cell, Table

Setting = tuple[str, dict[str, Any]]  # recipe and options


def count_seeds(seeds: int | None, undecided: int | None) -> int:
    """The number of seeds of every cell; raises `AvbookError` if undecided claims would get no more
    than that."""
    if seeds is None:
        seeds = 3 if undecided is None else ordering.FIRST_SEEDS
    if undecided is not None and undecided <= seeds:
        raise AvbookError(
            f"--undecided {undecided}: expected more than the {seeds} seeds that every cell gets"
        )
    return seeds


def cells_of(tables: list[Table], only: str | None) -> list[Cell]:
    """The cells that can be run; raises `AvbookError` for a column that a table does not have."""
    for table in tables:
        if only and only not in table.columns:
            raise AvbookError(
                f"table {table.key} has no column {only!r}: expected one of"
                f" {', '.join(table.columns)}"
            )
    return [
        cell
        for table in tables
        for cell in table.cells
        if cell.recipe in RECIPES and (not only or cell.column == only)
    ]


def tasks_of(
    settings: list[Setting],
    seeds: range,
    extra: dict[str, Any],  # options added to the settings'
) -> list[dict[str, Any]]:
    """The runs of the settings, each setting once, seed by seed."""
    once = {(recipe, str(options)): (recipe, options) for recipe, options in settings}
    return [
        {"recipe": recipe, "options": {**options, **extra}, "seed": seed}
        for seed in seeds
        for recipe, options in once.values()
    ]


def run_tables(
    tables: list[Table],
    where: running.Where,
    seeds: int,  # seeds of every cell
    undecided: int | None,  # seeds of the claims that these leave undecided
    only: str | None,
    extra: dict[str, Any],
) -> None:
    """Runs what the tables still lack."""
    settings = [cell.setting for cell in cells_of(tables, only)]
    tasks = tasks_of(settings, range(seeds), extra)
    outcomes = running.run_all(tasks, where, printing.say_trained, writes=True)
    if undecided is not None:
        # decided on the outcomes of these runs, not on the folder's records: processes that share
        # each run must come to the same list
        found = Records.of_runs(where.out, outcomes)
        claims = ordering.undecided_claims(
            (claim for table in tables for claim in ordering.ordering_claims(table.key, only)),
            found,
            seeds,
            preset=str(where.preset),
            extra=extra,
        )
        settings = [side for claim in claims for side in (claim.better, claim.worse)]
        tasks = tasks_of(settings, range(seeds, undecided), extra)
        if running.rank() == 0:
            printing.say_undecided(len(claims), seeds, undecided, len(tasks))
        if tasks:
            outcomes += running.run_all(tasks, where, printing.say_trained)
    read = sum(outcome.read for outcome in outcomes)
    printing.say_totals(len(outcomes) - read, read, where.out)


def show_tables(
    tables: list[Table],
    where: running.Where,
    only: str | None,
    extra: dict[str, Any],
) -> int:
    """Prints the tables as the records have them, writes them as CSV and Markdown, and returns the
    number of records behind their cells."""
    records, shown, directions = Records(where.out), set(), []
    hashes = _hashes(where.data, tables)
    for table in tables:
        options: dict[str, Any] = {
            "preset": str(where.preset),
            "data": hashes.get(_task(table)),
            "only": only,
            "extra": extra,
        }
        rows = ledger.table_rows(table, records, **options)
        claims = ordering.ordering_rows(table.key, records, **options)
        printing.print_table(table, rows, claims)
        ledger.write_csv(where.out / f"{table.key}.csv", rows)
        write_text(where.out / f"{table.key}.md", ledger.to_markdown(table, rows, claims))
        typer.echo(one_line(f"written: {where.out / table.key}.csv and .md"))
        for cell, row in zip((c for c in table.cells if not only or c.column == only), rows):
            shown |= {(cell.recipe, str(cell.options), seed) for seed in row["seeds"]}
        directions += claims
    printing.print_verdicts(directions)
    recipes = {cell.recipe for table in tables for cell in table.cells}
    left_out = [
        record["data"]
        for record in records.all
        if record["recipe"] in recipes
        and record["preset"] == where.preset
        and record["data"]["hash"] not in hashes.values()
    ]
    printing.say_left_out(left_out, where.out)
    return len(shown)


def _task(table: Table) -> str | None:
    """The task whose data the table uses; None for a table without a recipe."""
    return next((RECIPES[cell.recipe].task for cell in table.cells if cell.recipe in RECIPES), None)


def _hashes(where: str, tables: list[Table]) -> dict[str | None, str]:
    """The data hash of the records, for each task."""
    from avbook.experiments.datasets import open_data

    tasks = filter(None, dict.fromkeys(map(_task, tables)))
    return {task: open_data(where, task).hash for task in tasks}
