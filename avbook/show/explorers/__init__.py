"""Explorers: interactive figures that work without a kernel, in JupyterLab and on a static page."""

from avbook.show.explorers.attention import explore_attention
from avbook.show.explorers.base import Explorer
from avbook.show.explorers.neighbours import explore_neighbours
from avbook.show.explorers.paint import paint_ave, paint_llp
from avbook.show.explorers.player import play_clip, play_video, play_world_clip
from avbook.show.explorers.swap import explore_swap
from avbook.show.explorers.threshold import explore_threshold

__all__ = [
    "Explorer",
    "explore_attention",
    "explore_neighbours",
    "explore_swap",
    "explore_threshold",
    "paint_ave",
    "paint_llp",
    "play_clip",
    "play_video",
    "play_world_clip",
]
