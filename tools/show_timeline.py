"""The page of a timeline, as an example: `python tools/show_timeline.py RUN` writes
example_timeline.html and .json into nbs/5_your_videos, for a test clip of LLP's small world, seed
0; RUN is a record of `avbook run ma --preset quick`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from avbook.experiments.models import read_model
from avbook.experiments.trained_timelines import folder_timelines
from avbook.experiments.unlabelled import open_clips as open_features
from avbook.features.folder import extract_folder
from avbook.features.small_clip import read_small_clip
from avbook.show.timeline_files import Predicted, TimelineFolder
from avbook.world.build import open_clips, world_folder
from avbook.world.videos import VIDEO_FPS, VideoForm, write_clip

OUT = Path(__file__).resolve().parent.parent / "nbs/5_your_videos"
CLIP = "W000l001088"
SIDE = 160  # pixels, so that the page stays small


def main():
    """Writes both files."""
    clip = next(c for c in open_clips(world_folder("llp", "small")) if c.id == CLIP)
    model = read_model(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        video = Path(place) / "videos" / f"{CLIP}.mp4"
        video.parent.mkdir()
        write_clip(clip, video, VideoForm(SIDE, VIDEO_FPS["llp"]))
        features = Path(place) / "features"
        extract_folder(video.parent, features, "llp", visual="world", audio="world", jobs=1)
        (found,) = folder_timelines(model, open_features(str(features), "llp"))
        small = read_small_clip(video, seconds=found.seconds)
        named = replace(found, video=video.name, notes=small.clip.notes)
        folder = TimelineFolder(Path(place) / "timelines")
        folder.write([Predicted(named, video, small)], several=False)
        for kind in ("html", "json"):
            shutil.copyfile(
                folder.out / f"{CLIP}.timeline.{kind}", OUT / f"example_timeline.{kind}"
            )
    for event in named.events:
        print(*event)


if __name__ == "__main__":
    main()
