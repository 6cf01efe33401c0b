"""Explorers: interactive figures that work without a kernel, in JupyterLab and on a static page."""

from avbook.show.explorers.base import Explorer
from avbook.show.explorers.neighbours import explore_neighbours
from avbook.show.explorers.threshold import explore_threshold

__all__ = ["Explorer", "explore_neighbours", "explore_threshold"]
