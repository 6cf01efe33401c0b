"""`avbook label`: label files from your own annotations, for a folder of features."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from avbook.common.messages import one_line
from avbook.errors import AvbookError

LARGEST_SEED = 2**32 - 1


def label(
    folder: Annotated[
        Path, typer.Argument(help="The features of your videos, as written by `avbook features`.")
    ],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS.CSV",
            help=(
                "A table with the columns file,onset,offset,event and a line for each event; for"
                " llp also modality: audio, visual or both. An optional column split (train, val or"
                " test) assigns videos to splits."
            ),
        ),
    ],
    like: Annotated[
        str | None, typer.Option(help="ave or llp; default: the task of the features.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="Shares of the videos for training, validation and test; they sum to 1."),
    ] = "0.7,0.1,0.2",
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="The same seed gives the same splits.")
    ] = 0,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite labels that the folder has already.")
    ] = False,
):
    """Write your own labels beside the features of your videos: label files and splits in the
    official layout, in FOLDER/labels.

    Onset and offset are in seconds, with decimals; the first second begins at 0. A second belongs
    to an event that covers at least half of it; an event too short for that gets the second it
    covers most. Seconds without an event are background. Every event category gets a training
    video. If the table has errors, they are listed by line and nothing is written.

    Example: `avbook label my-features labels.csv`, then `avbook run psp-full --data my-features
    --preset quick`"""
    from avbook.data.labelling import LabelFaults, label_folder

    try:
        written = label_folder(folder, labels, like, split.split(","), seed, replace)
    except LabelFaults as faults:
        _say_findings(faults.findings)
        count = sum(finding.level == "error" for finding in faults.findings)
        raise AvbookError(
            f"{labels}: {count} error{'s' * (count != 1)} found, listed above; nothing was written:"
            " correct the table and run the command again"
        ) from None
    _say_findings(written.findings)
    for name, videos in written.videos.items():
        parts = ", ".join(
            f"{len(set(videos) & set(some))} {part}" for part, some in written.splits.items()
        )
        typer.echo(one_line(f"{name}: {len(videos)} video{'s' * (len(videos) != 1)} ({parts})"))
    sizes = ", ".join(f"{len(some)} {part}" for part, some in written.splits.items())
    total = sum(map(len, written.splits.values()))
    typer.echo(
        one_line(
            f"wrote {written.folder}: {total} videos ({sizes}); check them with `avbook data check"
            f" {quote(str(folder))}`"
        )
    )


def _say_findings(findings: list[Any]) -> None:
    for finding in findings:
        typer.echo(one_line(f"{finding.level}: {finding.file}: {finding.message}"))
