"""Folders of features of own videos, as `avbook features` writes them, with made-up features."""

import json
from pathlib import Path

import numpy as np
from made_folders import write_h5

DIMS = {"ave": {"audio": 8, "visual": 6}, "llp": {"audio": 8, "visual_2d": 12, "visual_3d": 6}}


def write_features(folder, task="ave", videos=("a", "b"), seconds=10, seed=0):
    """A folder with features of the videos, which differ from video to video; returns its Path."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    made_by = {
        name: {"name": f"made-{name}", "version": "1", "weights": None, "seed": None, "dim": dim}
        for name, dim in DIMS[task].items()
    }
    told = {"kind": "features", "version": 1, "task": task, "seconds": seconds}
    told |= {"extractors": made_by, "videos": list(videos)}
    (folder / "features.json").write_text(json.dumps(told))
    names = "".join(f"{video}\n" for video in videos)
    (folder / "videos.txt").write_text(names, encoding="utf-8")
    if task == "ave":
        for file, shape in (("audio", (8,)), ("visual", (3, 3, 6))):
            array = rng.standard_normal((len(videos), seconds, *shape)).astype(np.float32)
            write_h5(folder / f"{file}_feature.h5", array)
        return folder
    for kind, shape in (
        ("vggish", (seconds, 8)),
        ("res152", (8 * seconds, 12)),
        ("r2plus1d_18", (seconds, 6)),
    ):
        (folder / kind).mkdir()
        for video in videos:
            np.save(folder / kind / f"{video}.npy", rng.standard_normal(shape).astype(np.float32))
    return folder
