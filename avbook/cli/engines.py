"""Options that choose where a command computes."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Engine", "Address"]

Engine = Annotated[
    str,
    typer.Option(
        help=(
            "Where runs, clips and videos are computed: local (processes of this machine), dask or"
            " ray (workers of a cluster, which must see the folders under the same path)."
        )
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Address of the cluster: tcp://HOST:8786 of a dask scheduler, or ray's head."
    ),
]
