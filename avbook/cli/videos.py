"""The function that writes a world, with or without its clips as videos."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer

from avbook.common.messages import one_line
from avbook.errors import AvbookError

__all__ = ["writer_of"]


def writer_of(
    videos: bool,  # whether the clips are also written
    side: int | None,  # width and height in pixels; None: the default
) -> Callable[..., Path]:
    """`write_world`, or `write_world_videos`, which announces how long it will take. Raises
    `AvbookError` for a side without videos."""
    if not videos:
        if side is not None:
            raise AvbookError(f"--side {side}: applies to videos; add --videos, or leave it out")
        from avbook.world.build import write_world

        return write_world
    from avbook.world.videos import VIDEO_SIDE, write_world_videos

    return partial(
        write_world_videos,
        side=VIDEO_SIDE if side is None else side,
        say=lambda line: typer.echo(one_line(line)),
    )
