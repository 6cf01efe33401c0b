"""The effect of the number of labelled clips: `python tools/compare_label_counts.py` writes
nbs/5_your_videos/label_counts.json, which two pages of that part show.

Clips of four categories of AVE's small world, seed 0, are written as mp4 files, and features are
extracted from these. Draws of 12 to 96 training clips are labelled by a CSV, split and trained on,
as by `avbook label` and `avbook run`; each model then predicts the timelines of the same 40 test
clips. About a quarter of an hour on two cores. `world` or `lite0` measures only with these
extractors; with a folder as argument, videos, features and runs are kept there, and a second call
continues from them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from avbook.common.system import cores
from avbook.common.workers import in_processes
from avbook.data.ave import AVE
from avbook.data.events import AVE_CATEGORIES, runs
from avbook.data.h5_writers import write_h5
from avbook.data.labelling import label_folder
from avbook.data.spec import AVE_DATASET, AVE_SPEC
from avbook.experiments.models import read_model
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_one
from avbook.experiments.trained_timelines import folder_timelines
from avbook.experiments.unlabelled import open_clips as open_features
from avbook.features.folder import extract_folder
from avbook.world.build import open_clips, world_folder
from avbook.world.videos import VideoForm, write_clip

OUT = Path(__file__).resolve().parent.parent / "nbs/5_your_videos/label_counts.json"
CATEGORIES = ("Bark", "Chainsaw", "Church bell", "Violin, fiddle")
COUNTS = (12, 24, 48, 96)  # labelled clips
TESTED = 10  # unseen test clips of each category
DRAWS = 5  # draws of the labelled clips; also the seeds of splits and trainings
SHOWN = 2  # test clips of each category whose timelines are kept
RECIPE, PRESET, SETTINGS = "avel-full", "quick", {"batch_size": 4}
EXTRACTORS = {
    "world": {"visual": "world", "audio": "world"},
    "lite0": {"visual": "lite0", "audio": "world"},
}


# -------------------------------------------------------------------------------------------- clips
def known_labels():
    """Split -> category -> ids; and id -> (T,) category of each second, `len(CATEGORIES)` for
    background."""
    data = AVE(world_folder("ave", "small"))
    ids: dict = {split: {name: [] for name in CATEGORIES} for split in ("train", "test")}
    labels = {}
    for split, of_category in ids.items():
        found = getattr(data, split)
        for name, seconds in zip(found.ids, np.asarray(found.labels)):
            there = seconds[:, :-1].any(0)
            category = AVE_CATEGORIES[int(there.argmax())] if there.any() else None
            if category in of_category:
                of_category[category].append(str(name))
                place = CATEGORIES.index(category)
                labels[str(name)] = np.where(seconds[:, -1] > 0, len(CATEGORIES), place)
    return ids, labels


def write_one(item):
    write_clip(*item, VideoForm())


def prepared(place: Path, name: str, ids) -> dict[str, list[str]]:
    """The ids of the clips "labelled" and "new"; makes videos and features in the folder."""
    pool = COUNTS[-1] // len(CATEGORIES)
    chosen = {
        "labelled": [i for name in CATEGORIES for i in ids["train"][name][:pool]],
        "new": [i for name in CATEGORIES for i in ids["test"][name][:TESTED]],
    }
    clips = {clip.id: clip for clip in open_clips(world_folder("ave", "small"))}
    for part, some in chosen.items():
        (place / part).mkdir(parents=True, exist_ok=True)
        paths = [(clips[i], place / part / f"{i}.mp4") for i in some]
        todo = [item for item in paths if not item[1].is_file()]
        for _ in in_processes(write_one, todo, cores(), threads=1, ordered=False):
            pass
        print(f"features: {part}, {name}", flush=True)
        extract_folder(
            place / part, place / f"{part}-{name}", "ave", project=True, **EXTRACTORS[name]
        )
    return chosen


# --------------------------------------------------------------------------------------- one model
def part_of(folder: Path, out: Path, names: list[str]) -> None:
    """Writes a folder of features of these clips only."""
    told = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    rows = [told["videos"].index(name) for name in names]
    out.mkdir(parents=True)
    for file in AVE_SPEC.feature_files.values():
        with h5py.File(folder / file) as stored:
            write_h5(out / file, stored[AVE_DATASET][:][rows])
    (out / "features.json").write_text(json.dumps({**told, "videos": names}), encoding="utf-8")
    (out / "videos.txt").write_text("".join(f"{n}\n" for n in names), encoding="utf-8")


def label_table(names: list[str], labels) -> str:
    """The CSV that a user would write."""
    lines = ["file,onset,offset,event"]
    for name in names:
        for place, category in enumerate(CATEGORIES):
            for onset, offset in runs(labels[name] == place):
                lines.append(f'{name}.mp4,{onset},{offset},"{category}"')
    return "\n".join(lines) + "\n"


def trained_model(place: Path, name: str, some: list[str], labels, draw: int):
    """The model of that draw, trained on its labelled and split clips."""
    folder = place / f"{name}-{len(some)}-{draw}"
    if not (folder / "labels").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        part_of(place / f"labelled-{name}", folder, sorted(some))
        table = folder.with_suffix(".csv")
        table.write_text(label_table(sorted(some), labels), encoding="utf-8")
        label_folder(folder, table, seed=draw)
    recipe = find_recipe(RECIPE)
    outcome = run_one(
        recipe,
        recipe.open_data(str(folder)),
        seed=draw,
        preset=PRESET,
        options=SETTINGS,
        out=place / "runs",
        progress=False,
    )
    return read_model(outcome.path)


def predicted(model, place: Path, name: str) -> dict[str, np.ndarray]:
    """New clip -> (T,) category of each second, `len(CATEGORIES)` for background."""
    found = {}
    for line in folder_timelines(model, open_features(str(place / f"new-{name}"), "ave")):
        found[line.video] = np.full(line.seconds, len(CATEGORIES))
        for event in line.events:
            found[line.video][event.onset : event.offset] = CATEGORIES.index(event.event)
    return found


# ------------------------------------------------------------------------------------------ scores
def scores(found, labels) -> dict[str, float]:
    """In %: correct seconds, and clips whose most frequent event is correct."""
    right = [(found[name] == labels[name]).mean() for name in found]
    named = [most(found[name]) == most(labels[name]) for name in found]
    return {
        "seconds": round(100 * float(np.mean(right)), 2),
        "named": round(100 * float(np.mean(named)), 2),
    }


def most(seconds) -> int:
    """The category of most seconds, without background unless there is nothing else."""
    counts = np.bincount(seconds, minlength=len(CATEGORIES) + 1)[:-1]
    return int(counts.argmax()) if counts.any() else len(CATEGORIES)


def draws(ids):
    """Draw, count and ids of the labelled clips: the same number of each category, smaller sets
    inside larger ones."""
    for draw in range(DRAWS):
        order = np.random.default_rng(draw)
        pool = [ids["train"][name][: COUNTS[-1] // len(CATEGORIES)] for name in CATEGORIES]
        mixed = [order.permutation(some).tolist() for some in pool]
        for count in COUNTS:
            yield draw, count, [i for each in mixed for i in each[: count // len(CATEGORIES)]]


def measure(place: Path, name: str, told: dict) -> None:
    """Stores the results with these extractors in `told`."""
    ids, labels = known_labels()
    chosen = prepared(place, name, ids)
    shown = [i for k in range(len(CATEGORIES)) for i in chosen["new"][k * TESTED :][:SHOWN]]
    constant = {
        word: scores({i: np.full(10, at) for i in chosen["new"]}, labels)
        for at, word in enumerate((*CATEGORIES, "background"))
    }
    rows, kept = [], {}
    for draw, count, some in draws(ids):
        found = predicted(trained_model(place, name, some, labels, draw), place, name)
        rows.append({"clips": count, "draw": draw, **scores(found, labels)})
        print(name, rows[-1], flush=True)
        if draw == 0:
            kept[str(count)] = {i: found[i].tolist() for i in shown}
    told |= {
        "command": "python tools/compare_label_counts.py",
        "categories": CATEGORIES,
        "recipe": RECIPE,
        "preset": PRESET,
        "set": SETTINGS,
        "new clips": len(chosen["new"]),
        "constant": constant,
        "truth": {i: labels[i].tolist() for i in shown},
    }
    told.setdefault("extractors", {})[name] = {"rows": rows, "timelines": kept}


def main():
    """Measures the requested parts, and writes them beside the stored ones."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    asked = [word for word in sys.argv[1:] if word in EXTRACTORS] or list(EXTRACTORS)
    folders = [word for word in sys.argv[1:] if word not in EXTRACTORS]
    told = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    for name in asked:
        with tempfile.TemporaryDirectory() as place:
            measure(Path(folders[0] if folders else place), name, told)
        OUT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
