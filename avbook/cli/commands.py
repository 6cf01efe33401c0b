"""The commands: arguments, help texts, and the function that each calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
import typer.core

from avbook.cli.ending import TRACEBACK, Carried
from avbook.cli.engines import Address, Engine
from avbook.cli.export import export
from avbook.cli.features import features
from avbook.cli.label import label
from avbook.cli.predict import predict
from avbook.common.files import NOT_ALLOWED, check_writable
from avbook.common.messages import one_line
from avbook.common.workers import use_engine
from avbook.errors import AvbookError


class _Commands(typer.core.TyperGroup):
    """Passes errors on to `ending`, which typer would otherwise report itself."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (EOFError, OSError) as error:
            raise Carried from error
        except typer.BadParameter.__base__ as error:  # UsageError, which typer does not export
            _check_words(error)
            raise


def _check_words(
    error,  # a usage error of typer
) -> None:
    """Raises `AvbookError` if a file may not be read, or if a file name was parsed as an option;
    otherwise returns None."""
    told = str(getattr(error, "message", ""))
    if told.endswith("is not readable."):
        raise AvbookError(f"{told[:-1]}; {NOT_ALLOWED}") from None
    option = str(getattr(error, "option_name", "") or "")  # an option that no command has
    for word in sys.argv[1:] if option else ():
        if word.startswith(option) and os.path.lexists(word):
            raise AvbookError(
                f"{word}: a name that begins with a dash is read as an option; write it as"
                f" {quote(os.path.join(os.curdir, word))}"
            ) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "Three papers on audio-visual events, rebuilt, run and checked.\n\nStart with `avbook"
        " demo`, which trains on the embedded world and shows the results. `avbook COMMAND"
        " --help` explains each command with examples."
    ),
)
data_app = typer.Typer(
    no_args_is_help=True, help="Check a folder of official files, or pack it for fast reading."
)
app.add_typer(data_app, name="data")

_WHERE = (
    "`world`, `world:SIZE`, `world:SIZE:SEED:FEATURES`, a folder of official files, a pack,"
    " or the URL of a pack"
)
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
    typer.Option("--set", metavar="NAME=VALUE", help="Change an option of the recipe; repeatable."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Jobs = Annotated[
    int,
    typer.Option(min=0, help="Parallel runs, one process each; 0: one per core (1 on a GPU)."),
]
Out = Annotated[Path, typer.Option(help="Folder of the run records.")]
MOST_SEEDS = 10_000
LARGEST_SEED = 2**32 - 1


@app.callback()
def options(
    traceback: Annotated[
        bool,
        typer.Option(
            TRACEBACK,
            help="Show the full traceback of an error, not one line; or set AVBOOK_TRACEBACK=1.",
        ),
    ] = False,
):  # handled in `ending`
    pass


@app.command()
def world(
    out: Annotated[Path, typer.Argument(help="The folder to write; must not exist yet.")],
    like: Annotated[
        str,
        typer.Option(
            help="ave (one event per clip) or llp (several, each audible, visible or both)."
        ),
    ] = "ave",
    size: Annotated[
        str,
        typer.Option(
            help=(
                "tiny (64 clips), small (1,280; 1,000 with random filters), ave (4,143) or llp"
                " (11,849)."
            )
        ),
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
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Same seed, same bytes.")] = 0,
    features: Annotated[
        str,
        typer.Option(
            help=(
                "The extractors' filters: trained with the labels of other images and sounds, or"
                " random."
            )
        ),
    ] = "trained",
    visual_dim: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Channels of the visual features; the official AVE features have 512, LLP's 2048.",
        ),
    ] = None,
    videos: Annotated[
        bool,
        typer.Option(
            "--videos",
            help=(
                "Write the clips too, as OUT/videos/*.mp4 (about two seconds each), also for an"
                " existing world; an interrupted command continues."
            ),
        ),
    ] = False,
    side: Annotated[
        int | None,
        typer.Option(
            min=16, max=2160, help="Width and height of the videos in pixels.", show_default="224"
        ),
    ] = None,
    engine: Engine = "local",
    address: Address = None,
):
    """Write the embedded audio-visual world to a folder, in the official file layout.

    Example: `avbook world my-world --size small`, then `avbook run psp-full --data my-world
    --preset quick`."""
    from avbook.cli.videos import writer_of
    from avbook.common.pools import start_trackers

    start_trackers()
    options = {} if visual_dim is None else {"visual_dim": visual_dim}
    with use_engine(engine, address):
        folder = writer_of(videos, side)(
            out,
            task=like,
            size=size,
            annotations=annotations,
            seed=seed,
            features=features,
            progress=sys.stderr.isatty(),
            **options,
        )
    typer.echo(one_line(f"wrote {folder}: check it with `avbook data check {quote(str(folder))}`"))


@app.command()
def extractors(
    out: Annotated[Path, typer.Argument(help="The folder to write; must not exist yet.")],
    seed: Annotated[
        int,
        typer.Option(min=0, max=LARGEST_SEED, help="Seed of the corpus and the initial weights."),
    ] = 0,
    examples: Annotated[
        int | None,
        typer.Option(min=100, help="Samples of each kind in the corpus; default 12,000."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of each network; default: as for the shipped ones."),
    ] = None,
):
    """Train the world's extractors on their corpus of images and sounds, and compare them with the
    ones in the package.

    Example: `avbook extractors mine`, then
    `AVBOOK_EXTRACTORS=mine/extractors.safetensors avbook world my-world --features trained`
    """
    from dataclasses import replace

    from avbook.common.pools import start_trackers
    from avbook.world.training import TrainingOptions, compare_extractors, train_extractors

    start_trackers()
    options = TrainingOptions(seed=seed)
    if examples is not None:
        options = replace(options, pictures=examples, sounds=examples)
    if epochs is not None:
        options = options.with_epochs(epochs)
    train_extractors(out, options, progress=sys.stderr.isatty(), say=typer.echo)
    for line in compare_extractors(out):
        typer.echo(one_line(line))
    typer.echo(one_line(f"wrote {out}"))


@data_app.command("check")
def data_check(
    folder: Annotated[
        str,
        typer.Argument(
            help="A folder with the official AVE or LLP files, or a pack, or the URL of a pack."
        ),
    ],
):
    """Check a data folder and list its errors: missing files, shapes, NaN, splits. Exit code 1 if
    there are any.

    Example: `avbook data check ~/AVE`
    """
    from avbook.data.packs import check_folder
    from avbook.data.remote import is_remote

    if not is_remote(folder) and os.path.exists(folder) and not os.access(folder, os.R_OK):
        raise AvbookError(f"'{folder}' is not readable; {NOT_ALLOWED}")
    findings = check_folder(folder)
    for finding in findings:
        typer.echo(one_line(f"{finding.level}: {finding.file}: {finding.message}"))
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise AvbookError(
            f"{folder}: {errors} error{'s' * (errors != 1)} found, listed above; fix them before"
            " you train"
        )
    typer.echo(f"{folder}: no errors, {len(findings)} note{'s' * (len(findings) != 1)}")


@data_app.command("pack")
def data_pack(
    folder: Annotated[Path, typer.Argument(help="A folder with the official AVE or LLP files.")],
    out: Annotated[
        Path, typer.Argument(help="The pack to write; an interrupted command continues.")
    ],
):
    """Convert official files to memory-mapped float16 arrays with checksums, once; training on the
    pack reads less and runs faster.

    Example: `avbook data pack ~/AVE ~/AVE.pack`, then `avbook run psp-full --data ~/AVE.pack`
    """
    from avbook.data.packs import pack_folder

    check_writable(out)
    typer.echo(one_line(f"packed {pack_folder(folder, out, progress=sys.stderr.isatty())}"))


@app.command()
def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe, such as psp-full; `avbook recipes` lists them.")
    ],
    data: Where = "world",
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_SEEDS, help="Number of seeds, starting at 0.", show_default="1"
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Run this seed only.")
    ] = None,
    preset: Preset = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Short for --set epochs=N.")] = None,
    set_: Sets = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    engine: Engine = "local",
    address: Address = None,
    out: Out = Path("runs"),
):
    """Train a recipe over seeds and keep a record of each run.

    Finished runs are not repeated, interrupted ones continue. Examples: `avbook run psp-full
    --seeds 3`, `avbook run psp-full --data ~/AVE.pack --set tau=0.1`"""
    from avbook.cli import printing, running
    from avbook.experiments.recipe import parse_options

    if seed is not None and seeds is not None:
        raise AvbookError(
            f"--seed {seed} --seeds {seeds}: use one of them: --seed for that seed alone, --seeds"
            " for that many seeds from 0"
        )
    options = parse_options(set_ or [], epochs)
    with use_engine(engine, address):
        outcomes = running.run_all(
            [
                {"recipe": recipe, "options": options, "seed": s}
                for s in ([seed] if seed is not None else range(seeds or 1))
            ],
            running.Where(data, preset, device, jobs, out),
            printing.say_outcome,
            progress=sys.stderr.isatty(),
        )
    if running.rank() == 0:
        printing.print_scores([outcome.record for outcome in outcomes])


@app.command()
def table(
    keys: Annotated[
        list[str],
        typer.Argument(
            help="Tables, such as psp-1, or a paper, such as psp, for all of its tables."
        ),
    ],
    data: Where = "world",
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_SEEDS,
            help="Seeds per cell.",
            show_default="3; 10 with --undecided",
        ),
    ] = None,
    undecided: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=MOST_SEEDS,
            help=(
                "Seeds for the directions (claims that A beats B) that --seeds leave undecided, and"
                " for no others; the book uses 20."
            ),
        ),
    ] = None,
    only: Annotated[str | None, typer.Option(help="This column only, such as full.")] = None,
    preset: Preset = None,
    set_: Sets = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    engine: Engine = "local",
    address: Address = None,
    out: Out = Path("runs"),
    dry: Annotated[
        bool, typer.Option("--dry", help="Run nothing: show what the records hold.")
    ] = False,
):
    """Run the missing cells of a paper's tables, print them beside the paper's numbers, write CSV
    and Markdown.

    Cells shared by several tables are run once; an interrupted command continues. Examples: `avbook
    table psp-1 --only full --seeds 3`; `avbook table psp ma --undecided 20`: 10 seeds for every
    cell, 20 for the directions that remain undecided"""
    from avbook.cli import printing, running, tables as work
    from avbook.experiments.recipe import parse_options
    from avbook.papers import find_tables

    extra = parse_options(set_ or [])
    tables = find_tables(keys)
    seeds = work.count_seeds(seeds, undecided)
    where = running.Where(data, preset, device, jobs, out)
    if dry:
        settings = [cell.setting for cell in work.cells_of(tables, only)]
        running.check(work.tasks_of(settings, range(seeds), extra), where, writes=True)
    else:
        with use_engine(engine, address):
            work.run_tables(tables, where, seeds, undecided, only, extra)
    if running.rank():
        return
    shown = work.show_tables(tables, where, only, extra)
    if dry:
        printing.say_totals(0, shown, out)


@app.command()
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show this recipe's options, such as psp-full.")
    ] = None,
):
    """List the recipes, or the options of one with ranges and meanings.

    Example: `avbook recipes psp-full`, then `avbook run psp-full --set tau=0.1`"""
    from avbook.cli import printing
    from avbook.experiments.recipes import RECIPES, find_recipe

    if name is None:
        printing.print_recipes(list(RECIPES.values()))
    else:
        printing.print_options(find_recipe(name))


@app.command()
def demo(
    out: Out = Path("runs"),
    data: Where = "world",
    seeds: Annotated[int, typer.Option(min=1, max=MOST_SEEDS)] = 1,
    jobs: Jobs = 0,
):
    """Train PSP and its ablations on the world, print Table 1 beside the paper's, and draw what the
    network has learnt."""
    from avbook.cli import running
    from avbook.show.demo import draw_figures

    table(
        ["psp-1"],
        data=data,
        seeds=seeds,
        undecided=None,
        only="full",
        preset=None,
        set_=None,
        device="auto",
        jobs=jobs,
        engine="local",
        address=None,
        out=out,
        dry=False,
    )
    if running.rank():
        return
    for path in draw_figures(data, out):
        typer.echo(one_line(f"figure: {path}"))


for _command in (features, label, predict, export):
    app.command()(_command)
