"""`avbook features`: a folder of features from videos."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from avbook.cli.engines import Address, Engine
from avbook.common.messages import one_line

SHOWN = 20  # videos whose notes are printed; the report has all


def features(
    videos: Annotated[
        Path, typer.Argument(help="A folder of videos (subfolders are not searched), or one video.")
    ],
    out: Annotated[
        Path, typer.Argument(help="The folder to write; an interrupted command continues.")
    ],
    like: Annotated[
        str,
        typer.Option(
            help="ave (one event per clip) or llp (several, each audible, visible or both)."
        ),
    ] = "ave",
    visual: Annotated[
        str,
        typer.Option(
            help=(
                "lite0, world, or official: vgg19 (AVE), resnet152+r2plus1d (LLP); those need"
                " --weights."
            )
        ),
    ] = "lite0",
    audio: Annotated[
        str, typer.Option(help="yamnet, world, or official: vggish, which needs --weights.")
    ] = "yamnet",
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help=(
                "A published weight file; repeatable. Renamed file: NETWORK=FILE, such as"
                " vgg19=mine.h5."
            ),
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help=(
                "For the official videos, in their order: AVE's Annotations.txt, a list of LLP, or"
                " the folder with these."
            )
        ),
    ] = None,
    project: Annotated[
        bool,
        typer.Option(
            "--project",
            help="Project features to the official widths (128; 512; 2048), as the models expect.",
        ),
    ] = False,
    seconds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=(
                "Length of every clip: longer videos are cut, shorter ones padded. Default: 10 with"
                " --annotations, else the length that all videos share."
            ),
        ),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Leave out videos that are missing or cannot be decoded, and list them.",
        ),
    ] = False,
    any_weights: Annotated[
        bool,
        typer.Option(
            "--any-weights", help="Accept your own weights in the layout of a published file."
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    jobs: Annotated[
        int,
        typer.Option(min=0, help="Parallel processes; 0: one per core (1 on a GPU)."),
    ] = 0,
    engine: Engine = "local",
    address: Address = None,
):
    """Make a folder of features from videos, in the official layout of AVE or LLP.

    An interrupted command continues when it is repeated. Examples: `avbook features clips mine
    --project`, then `avbook label`; `avbook features AVE/AVE ave --annotations
    AVE/Annotations.txt --visual vgg19 --audio vggish --weights vgg19_….h5 --weights vggish-….pth`
    """
    from avbook.common.pools import start_trackers
    from avbook.common.workers import use_engine
    from avbook.features.folder import extract_folder

    start_trackers()
    with use_engine(engine, address):
        report = extract_folder(
            videos,
            out,
            like,
            visual=visual,
            audio=audio,
            weights=weights or [],
            annotations=annotations,
            project=project,
            seconds=seconds,
            partial=partial,
            any_weights=any_weights,
            device=device,
            jobs=jobs,
            progress=sys.stderr.isatty(),
            say=lambda line: typer.echo(one_line(line)),
        )
    _say_report(report)


def _say_report(report) -> None:
    """Prints the notes, the videos left out, and what to do next."""
    for name, notes in list(report.notes.items())[:SHOWN]:
        typer.echo(one_line(f"{name}: {'; '.join(notes)}"))
    if len(report.notes) > SHOWN:
        typer.echo(f"and {len(report.notes) - SHOWN} more: see report.json")
    for name, why in report.left_out.items():
        typer.echo(one_line(f"left out: {name}: {why}"))
    if report.missing:
        typer.echo(one_line(f"missing: {len(report.missing)}, such as {report.missing[0]}"))
    if report.unused:
        typer.echo(f"not in the annotations and not used: {report.unused} videos")
    folder = quote(str(report.folder))
    typer.echo(
        one_line(
            f"{report.folder}: {report.clips} clips of {report.seconds} s; check it with `avbook"
            f" data check {folder}`"
        )
    )
