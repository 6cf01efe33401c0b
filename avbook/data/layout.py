"""The place of files in a data folder: at its top, or in a subfolder."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["LABELS_FOLDER", "SUBFOLDERS", "locate"]

LABELS_FOLDER = "labels"  # written by `avbook label` beside the features of own videos
# LLP as its authors share it; AVE has data/
SUBFOLDERS = ("data", "feats", "data/feats", LABELS_FOLDER)


def locate(
    folder: Path,
    file: str,  # name of a file or folder of the official layout
) -> Path:
    """The path of the file, or the path where it is expected (at the top) if it does not exist."""
    top = Path(folder) / file
    if os.path.lexists(top):
        return top
    for subfolder in SUBFOLDERS:
        below = Path(folder) / subfolder / file
        if os.path.lexists(below):
            return below
    return top
