"""Zero-shot predictions on clips of the world: `python tools/show_zero_shot.py` writes
nbs/5_your_videos/zero_shot.json, which a page of that part shows. Needs YAMNet's weights (`make
clips`); under a minute."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from avbook.data.events import AVE_CATEGORIES
from avbook.features.zero_shot import audio_scores, visual_scores
from avbook.features.zero_shot_video import ZeroShot
from avbook.world.build import open_clips, world_folder
from avbook.world.videos import VideoForm, write_clip

NBS = Path(__file__).resolve().parent.parent / "nbs/5_your_videos"
OUT = NBS / "zero_shot.json"


def look(find: ZeroShot, clip, place: Path) -> dict:
    """The clip's timeline, and the largest scores of both networks in any second."""
    path = place / f"{clip.id}.mp4"
    write_clip(clip, path, VideoForm())
    timeline, small = find(path)
    tables = {
        "audio": audio_scores(find.audio.logits(small.log_mel), AVE_CATEGORIES),
        "visual": visual_scores(
            find.visual.logits(small.clip.frames, small.seconds), AVE_CATEGORIES
        ),
    }
    most = {name: table.max(0) for name, table in tables.items()}
    own = AVE_CATEGORIES.index(clip.labels[0])
    return {
        "clip": clip.id,
        "category": clip.labels[0],
        "own": {name: round(float(scores[own]), 3) for name, scores in most.items()},
        "largest": {
            name: [AVE_CATEGORIES[int(np.argmax(scores))], round(float(scores.max()), 3)]
            for name, scores in most.items()
        },
        "timeline": timeline.to_json(),
    }


def main():
    """Predicts the test clips that the comparison of label counts shows, and writes the file."""
    truth = json.loads((NBS / "label_counts.json").read_text(encoding="utf-8"))["truth"]
    clips = {clip.id: clip for clip in open_clips(world_folder("ave", "small"))}
    find = ZeroShot("AVE")
    with tempfile.TemporaryDirectory() as place:
        found = [look(find, clips[name], Path(place)) for name in truth]
    told = {"command": "python tools/show_zero_shot.py", "clips": found}
    OUT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
