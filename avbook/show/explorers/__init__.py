"""Explorers: interactive figures that work without a kernel, in JupyterLab and on a static page."""

from avbook.show.explorers.base import Explorer
from avbook.show.explorers.player import play_clip, play_video, play_world_clip
from avbook.show.explorers.threshold import explore_threshold

__all__ = ["Explorer", "explore_threshold", "play_clip", "play_video", "play_world_clip"]
