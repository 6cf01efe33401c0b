"""Where the files of a data folder lie: at its top, or in a folder within."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["LABELS_FOLDER", "SUBFOLDERS", "locate"]

LABELS_FOLDER = "labels"  # what `avbook label` writes beside the features of own videos
# as LLP's authors share it; AVE's has data/
SUBFOLDERS = ("data", "feats", "data/feats", LABELS_FOLDER)


def locate(
    folder: Path,
    file: str,  # name of a file or folder of the official layout
) -> Path:
    """Where it is, or where it is expected (at the top) when there is none."""
    top = Path(folder) / file
    if os.path.lexists(top):
        return top
    for subfolder in SUBFOLDERS:
        below = Path(folder) / subfolder / file
        if os.path.lexists(below):
            return below
    return top
