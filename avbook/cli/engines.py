"""The options by which a command is told where to compute."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Engine", "Address"]

Engine = Annotated[
    str,
    typer.Option(
        help=(
            "Where runs, clips and videos are computed: local (processes of this machine), dask or"
            " ray (the workers of a cluster, which see folders under the same path)."
        )
    ),
]
Address = Annotated[
    str | None,
    typer.Option(help="The cluster's: tcp://HOST:8786 of a dask scheduler, or ray's head."),
]
