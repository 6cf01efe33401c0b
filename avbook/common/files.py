"""Files written whole or not at all: text, arrays, or whatever a function writes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

__all__ = ["written_whole", "write_text", "write_arrays"]


@contextmanager
def written_whole(
    path: str | os.PathLike,
) -> Iterator[Path]:
    """A path beside `path` to write to, of the same suffix: it takes the name when the block ends,
    and goes when it fails.

    Makes the folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(
    path: str | os.PathLike,
    text: str,
) -> None:
    """Writes a text file (UTF-8) whole or not at all, making its folder."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_arrays(
    path: str | os.PathLike,  # ends in .npz
    arrays: dict,  # name -> array
) -> None:
    """Writes arrays to a compressed .npz file whole or not at all, making its folder."""
    import numpy as np

    with written_whole(path) as partial:
        np.savez_compressed(partial, **arrays)
