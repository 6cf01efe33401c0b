"""`avbook label`: a person's own labels become the label files of a folder of features."""

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
        Path, typer.Argument(help="The features of your videos, as `avbook features` writes them.")
    ],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS.CSV",
            help=(
                "A table with the columns file,onset,offset,event and a line for each event; for"
                " llp also modality: audio, visual or both. A column split (train, val or test)"
                " puts videos where it says."
            ),
        ),
    ],
    like: Annotated[
        str | None, typer.Option(help="ave or llp; default: what the features were made for.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="Shares of the videos for training, validation and test; they make 1."),
    ] = "0.7,0.1,0.2",
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Of the splits: same seed, same splits.")
    ] = 0,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over labels that the folder has already.")
    ] = False,
):
    """Write your own labels beside the features of your videos: label files and splits, in the
    official layout, into FOLDER/labels.

    Onset and offset are seconds, with decimals; the first second begins at 0. A second counts as
    the event if at least half of it is covered, and an event shorter than that as the second it
    covers most. What has no line is background. Every event gets a video for training. Faults of
    the table are listed line by line, and then nothing is written.

    Example: `avbook label my-features labels.csv`, then `avbook run psp-full --data my-features
    --preset quick`"""
    from avbook.data.labelling import LabelFaults, label_folder

    try:
        written = label_folder(folder, labels, like, split.split(","), seed, replace)
    except LabelFaults as faults:
        _say_findings(faults.findings)
        count = sum(finding.level == "error" for finding in faults.findings)
        raise AvbookError(
            f"{labels}: {count} fault{'s' * (count != 1)} found, listed above; nothing was written:"
            " mend the table and run the command again"
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
