"""The `avbook` command: make the world, check and pack data, train a recipe, fill a table."""

from __future__ import annotations

import errno
import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from avbook.errors import AvbookError


def _leave(message: str, code: int) -> None:
    print("avbook: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(code)


class _OneLine(typer.core.TyperGroup):
    """A known fault ends in one line on stderr and exit code 1, Ctrl-C in 130; wrong usage is
    typer's own, 2."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except AvbookError as error:
            _leave(str(error), 1)
        except KeyboardInterrupt:
            _leave("stopped; what was finished is kept, and the same command continues", 130)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
                raise
            _leave(
                f"{error.filename or 'writing'}: {error.strerror}; free some space or choose"
                " another folder",
                1,
            )


app = typer.Typer(
    cls=_OneLine,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "Three papers on audio-visual events, rebuilt, run and checked.\n\nStart with `avbook"
        " demo`, which trains on the embedded world and shows what came out. `avbook COMMAND"
        " --help` explains each command with examples."
    ),
)
data_app = typer.Typer(
    no_args_is_help=True, help="Check a folder of official files, or pack it for fast reading."
)
app.add_typer(data_app, name="data")

_WHERE = "`world`, `world:SIZE`, `world:SIZE:SEED` or a folder with the official files or a pack"
Where = Annotated[str, typer.Option("--data", help=f"What to train on: {_WHERE}.")]
Preset = Annotated[
    str | None,
    typer.Option(
        help=(
            "`quick` (small, about a minute) or `paper` (released sizes and schedule). Default:"
            " quick on the world, paper on a folder."
        )
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change an option of the recipe; may be given often."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Jobs = Annotated[
    int,
    typer.Option(
        min=0, help="Runs side by side, a process each; 0: as many as there are cores (1 on a GPU)."
    ),
]
Out = Annotated[Path, typer.Option(help="Where run records are kept and found.")]


@app.command()
def world(
    out: Annotated[Path, typer.Argument(help="The folder to write; must not exist yet.")],
    like: Annotated[
        str, typer.Option(help="ave (one event a clip) or llp (several, heard and seen apart).")
    ] = "ave",
    size: Annotated[
        str, typer.Option(help="tiny (64 clips), small (1,000), ave (4,143) or llp (11,849).")
    ] = "small",
    annotations: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Follow these real annotations second by second: a folder with AVE's"
                " Annotations.txt and *_order.h5, or LLP's CSVs."
            )
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    visual_dim: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Channels of the visual features; the official AVE features have 512, LLP's 2048.",
        ),
    ] = None,
):
    """Write the embedded audio-visual world to a folder, in the official file layout.

    Example: `avbook world my-world --size small`, then `avbook run psp-full --data my-world
    --preset quick`."""
    from avbook.world.build import write_world

    options = {} if visual_dim is None else {"visual_dim": visual_dim}
    folder = write_world(
        out,
        task=like,
        size=size,
        annotations=annotations,
        seed=seed,
        progress=sys.stderr.isatty(),
        **options,
    )
    typer.echo(f"wrote {folder}: check it with `avbook data check {folder}`")


@data_app.command("check")
def data_check(
    folder: Annotated[
        Path, typer.Argument(help="A folder with the official AVE or LLP files, or a pack.")
    ],
):
    """Say what is wrong with a data folder: missing files, shapes, NaN, splits. Exit code 1 if
    anything is.

    Example: `avbook data check ~/AVE`
    """
    from avbook.data.packs import check_folder

    findings = check_folder(folder)
    for finding in findings:
        typer.echo(f"{finding.level}: {finding.file}: {finding.message}")
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise AvbookError(
            f"{folder}: {errors} error{'s' * (errors != 1)} found, listed above; mend them before"
            " you train"
        )
    typer.echo(f"{folder}: no errors, {len(findings)} note{'s' * (len(findings) != 1)}")


@data_app.command("pack")
def data_pack(
    folder: Annotated[Path, typer.Argument(help="A folder with the official AVE or LLP files.")],
    out: Annotated[
        Path, typer.Argument(help="The pack to write; an interrupted one is continued.")
    ],
):
    """Turn official files into memory-mapped float16 arrays once, with checksums; training on the
    pack reads less and faster.

    Example: `avbook data pack ~/AVE ~/AVE.pack`, then `avbook run psp-full --data ~/AVE.pack`
    """
    from avbook.data.packs import pack_folder

    typer.echo(f"packed {pack_folder(folder, out, progress=sys.stderr.isatty())}")


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="Such as psp-full; `avbook recipes` lists them.")],
    data: Where = "world",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="Just this seed.")] = None,
    preset: Preset = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Short for --set epochs=N.")] = None,
    set_: Sets = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    out: Out = Path("runs"),
):
    """Train a recipe over seeds and keep a record of each.

    A finished run is not repeated, one that was cut off continues. Examples: `avbook run psp-full
    --seeds 3`, `avbook run psp-full --data ~/AVE.pack --set tau=0.1`"""
    from avbook.experiments.datasets import default_preset
    from avbook.experiments.recipe import parse_options
    from avbook.experiments.tables import get_score, summarise

    preset = preset or default_preset(data)
    options = parse_options(set_ or [])
    if epochs is not None:
        options["epochs"] = epochs
    tasks = [
        {
            "recipe": recipe,
            "preset": preset,
            "options": options,
            "seed": s,
            "device": device,
            "out": str(out),
            "progress": sys.stderr.isatty(),
        }
        for s in ([seed] if seed is not None else range(seeds))
    ]
    records = _run_all(tasks, data, jobs, device)
    if _rank() or not records:
        return
    monitor = next(
        name
        for name in ("accuracy", "segment_type")
        if name in records[0]["metrics"]["test"]["last"]
    )
    for selection in ("val_selected", "last", "test_selected"):
        note = " (for comparison only)" if selection == "test_selected" else ""
        typer.echo(
            f"test {monitor}, {selection}:"
            f" {summarise(get_score(r, monitor, selection) for r in records)}{note}"
        )


@app.command()
def table(
    keys: Annotated[list[str], typer.Argument(help="Tables of the papers, such as psp-1.")],
    data: Where = "world",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds a cell.")] = 3,
    only: Annotated[str | None, typer.Option(help="Just this column, such as full.")] = None,
    preset: Preset = None,
    set_: Sets = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    out: Out = Path("runs"),
    dry: Annotated[
        bool, typer.Option("--dry", help="Run nothing: show what stands in the records.")
    ] = False,
):
    """Run what a paper's table still lacks, print it beside ours, write it as CSV and Markdown.

    Cells shared by several tables are run once; an interrupted table continues. Example: `avbook
    table psp-1 --only full --seeds 3`"""
    from avbook.common.files import write_text
    from avbook.experiments import tables as ledger
    from avbook.experiments.datasets import default_preset
    from avbook.experiments.recipe import parse_options
    from avbook.experiments.recipes import RECIPES
    from avbook.papers import find_table

    preset = preset or default_preset(data)
    extra = parse_options(set_ or [])
    tables = [find_table(key) for key in keys]
    for found in tables:
        if only and only not in found.columns:
            raise AvbookError(
                f"table {found.key} has no column {only!r}: expected one of"
                f" {', '.join(found.columns)}"
            )
    cells = {}
    for cell in (
        c for t in tables for c in t.cells if (not only or c.column == only) and c.recipe in RECIPES
    ):
        cells[cell.recipe, str(cell.options)] = cell
    if not dry:
        tasks = [
            {
                "recipe": c.recipe,
                "preset": preset,
                "options": {**c.options, **extra},
                "seed": s,
                "device": device,
                "out": str(out),
            }
            for s in range(seeds)
            for c in cells.values()
        ]
        _run_all(tasks, data, jobs, device)
    if _rank():
        return
    records = ledger.Records(out)
    for found in tables:
        name = _data_name(data, found)
        rows = ledger.table_rows(found, records, preset=preset, data=name, only=only, extra=extra)
        directions = ledger.ordering_rows(
            found.key, records, preset=preset, data=name, only=only, extra=extra
        )
        _print_table(found, rows, directions)
        ledger.write_csv(out / f"{found.key}.csv", rows)
        write_text(out / f"{found.key}.md", ledger.to_markdown(found, rows, directions))
        typer.echo(f"written: {out / found.key}.csv and .md")


@app.command()
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show this recipe's options, such as psp-full.")
    ] = None,
):
    """List the recipes, or the options of one with ranges and meanings.

    Example: `avbook recipes psp-full`, then `avbook run psp-full --set tau=0.1`"""
    from avbook.experiments.recipes import RECIPES, find_recipe

    if name is None:
        _print_recipes(list(RECIPES.values()))
    else:
        _print_options(find_recipe(name))


@app.command()
def demo(
    out: Out = Path("runs"),
    data: Where = "world",
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    jobs: Jobs = 0,
):
    """The main job: train PSP and its ablations on the world, print Table 1 beside the paper's,
    draw what was learnt."""
    from avbook.show.demo import draw_figures

    table(
        ["psp-1"],
        data=data,
        seeds=seeds,
        only="full",
        preset=None,
        set_=None,
        device="auto",
        jobs=jobs,
        out=out,
        dry=False,
    )
    for path in draw_figures(data, out):
        typer.echo(f"drawn: {path}")


# ----------------------------------------------------------------------------------------- plumbing
def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _run_all(tasks: list[dict], where: str, jobs: int, device: str) -> list[dict]:
    from avbook.experiments.recipe import resolve_settings
    from avbook.experiments.recipes import find_recipe
    from avbook.experiments.runner import run_many

    for task in tasks:  # a wrong option is told before any data is read
        resolve_settings(find_recipe(task["recipe"]), task["preset"], task["options"])

    distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not jobs:
        jobs = 1 if distributed or not _on_cpu(device) else os.cpu_count() or 1
    if distributed and jobs > 1:
        raise AvbookError(
            f"--jobs {jobs} under accelerate launch: expected 1, since its processes already share"
            " each run"
        )
    for recipe in {
        find_recipe(task["recipe"]).task: find_recipe(task["recipe"]) for task in tasks
    }.values():
        recipe.open_data(where)  # the world is made once, before any worker asks for it

    def report(record: dict, done: int, of: int) -> None:
        if of > 1 and not _rank():
            options = " ".join(f"{k}={v}" for k, v in record["options"].items())
            scores = record["metrics"]["test"]["last"]
            score = scores.get("accuracy", scores.get("segment_type", math.nan))
            typer.echo(
                f"[{done}/{of}] {record['recipe']} {options} seed {record['seed']}: {score:.1f} at"
                f" the last epoch ({record['seconds']:.0f} s)",
                err=True,
            )

    return run_many(tasks, where, jobs=jobs, report=report)


def _on_cpu(device: str) -> bool:
    if device != "auto":
        return device == "cpu"
    from avbook.training.device import default_device

    return default_device().type == "cpu"


def _data_name(where: str, found) -> str | None:
    from avbook.experiments.datasets import open_data
    from avbook.experiments.recipes import RECIPES

    task = next((RECIPES[cell.recipe].task for cell in found.cells if cell.recipe in RECIPES), None)
    return task and open_data(where, task).name


def _print_recipes(found: list) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("recipe", "data", "what it trains"):
        grid.add_column(name)
    for recipe in found:
        grid.add_row(recipe.name, recipe.task.upper(), recipe.about)
    console = Console(highlight=False)
    console.print(grid)
    console.print("\nOptions of one: avbook recipes NAME", markup=False)


def _print_options(recipe) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    from avbook.experiments.options import as_word

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    console = Console(highlight=False)
    grid.add_column("option")
    grid.add_column("values", max_width=console.width // 5)
    grid.add_column("paper", justify="right")
    grid.add_column("quick", justify="right")
    grid.add_column("meaning")
    for option in recipe.options.values():
        quick = as_word(recipe.quick[option.name]) if option.name in recipe.quick else ""
        grid.add_row(option.name, option.range, as_word(option.default), quick, option.meaning)
    console.print(f"{recipe.name} ({recipe.task.upper()}): {recipe.about}\n", markup=False)
    console.print(grid)
    console.print(
        f"\nEmpty under quick: as in paper. Change one: avbook run {recipe.name} --set NAME=VALUE",
        markup=False,
    )


def _print_table(found, rows: list[dict], directions: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    from avbook.experiments import tables as ledger

    console = Console()
    for part in ledger.split_levels(found, rows):
        head, body = ledger.layout(found, part)
        grid = Grid(title=f"{found.title} ({ledger.caption(found, part)})", title_justify="left")
        for name in head:
            grid.add_column(name, justify="right" if name else "left")
        for line in body:
            grid.add_row(*line)
        console.print(grid)
    console.print(ledger.provenance(rows), soft_wrap=True)
    if directions:
        claims = Grid(title="What the paper says of it", title_justify="left")
        for name in ("claim", "paper", "ours [95 %]", "seeds", "verdict"):
            claims.add_column(name, justify="left" if name in ("claim", "verdict") else "right")
        for d in directions:
            claims.add_row(
                d["claim"],
                ledger.format_number(d["paper"], True),
                ledger.gap_text(d).replace("[", r"\["),
                str(d["seeds"]),
                d["verdict"],
            )
        console.print(claims)


def main() -> None:
    """Runs the command named on the command line."""
    app()


if __name__ == "__main__":
    main()
