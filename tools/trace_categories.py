"""Where CMLCL loses the category information of its features: `python tools/trace_categories.py`
writes nbs/4_unsupervised/stages.json, which the page on it shows.

    python tools/trace_categories.py [--only quick | paper]

The small worlds of AVE with trained and with random filters, the quick preset, three seeds; then
the paper's sizes and schedule with trained filters, fewer variants. Labels are used to measure,
never to train, except in the rows that say so. About ten minutes on two cores, and a quarter of an
hour for the paper's settings. --only runs one part and leaves the other one's results in the file,
with its preset and data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

from avbook.common.system import cores
from avbook.common.workers import in_processes
from avbook.data.ave import AVE
from avbook.experiments.recipe import pick
from avbook.experiments.recipes import find_recipe
from avbook.experiments.recipes.cmlcl_options import Pretext
from avbook.experiments.recipes.cmlcl_stages import unlabelled
from avbook.metrics.clustering import cluster_scores
from avbook.unsupervised import label_contrast
from avbook.unsupervised.clustering import group, raw_features
from avbook.unsupervised.em import category_of
from avbook.unsupervised.label_contrast import assign_pseudo_labels
from avbook.unsupervised.neighbours import ContrastiveSets, contrastive_sets
from avbook.unsupervised.pretraining import pretrain, segment_features
from avbook.world.build import open_world, world_folder

OUT = Path(__file__).resolve().parent.parent / "nbs/4_unsupervised/stages.json"
SEEDS = range(3)
LONG = 50  # epochs of the longer training
PRESETS = {name: find_recipe("cmlcl").preset(name) for name in ("quick", "paper")}
CERTAINTY = 0.2  # weight of a clip's own entropy in the loss, where it is added
LABELLED = ("untrained", "learned")  # features on which label losses are compared
REPRESENTATIONS = {
    "untrained": {"epochs": 1, "lr": 0.0},
    "learned": {},
    f"learned, {LONG} epochs": {"epochs": LONG},
    "learned, no decorrelation": {"dec": False},
    "learned, cross": {"positives": "cross"},
    f"learned, cross, {LONG} epochs": {"positives": "cross", "epochs": LONG},
}
PARTS = {  # by preset; fewer at the paper's settings, which take long
    "quick": {
        "worlds": ("trained", "random"),
        "representations": tuple(REPRESENTATIONS),
        "ways": None,  # all
    },
    "paper": {
        "worlds": ("trained",),
        "representations": LABELLED,
        "ways": ("labels", "repulsion from any clip", "affinity from the truth"),
    },
}


def represent(train, seed, preset, **changed):
    """Features of the training clips' segments, (N, T, 2d), by the preset and what is changed."""
    options = pick(preset, Pretext) | {"epochs": preset["represent_epochs"]} | changed
    options |= {"lr": changed.get("lr", preset["represent_lr"])}
    net, history = pretrain(
        unlabelled(train),
        hidden=preset["width"],
        seed=seed,
        device="cpu",
        progress=False,
        **options,
    )
    return segment_features(net, unlabelled(train), device="cpu"), history[-1]["loss"]


def look(videos, truth, seed, preset):
    """How well the vectors of clips (N, D) agree with the categories, in percent."""
    sets = contrastive_sets(videos, preset["k"])
    groups = group(videos, preset["categories"], seed=seed).numpy()
    return {
        "purity": cluster_scores(groups, truth)["purity"],
        "neighbours": 100 * float((truth[sets.affinity] == truth[:, None]).mean()),
        "repulsion in use": 100 * len(sets.repulsion.unique()) / len(videos),
    }


def same_clip(features):
    """Share of clips whose audio vector is nearest to their own visual vector, in percent."""
    audio, visual = (F.normalize(x.mean(1), dim=-1) for x in features.chunk(2, -1))
    found = (audio @ visual.T).argmax(1)
    return 100 * float((found == torch.arange(len(found))).float().mean())


def with_certainty(own, near, far, **options):
    """The label loss, plus a small multiple of each clip's own entropy."""
    loss, parts = PRINTED(own, near, far, **options)
    return loss - CERTAINTY * (own.exp() * own).sum(-1).mean(), parts


PRINTED = label_contrast.label_loss


def drawn(truth, k, rng, same):
    """For each clip k random others, of its own category or of another."""
    rows = []
    for i, category in enumerate(truth):
        pool = np.flatnonzero((truth == category) == same)
        rows.append(rng.choice(pool[pool != i], k))
    return torch.as_tensor(np.stack(rows))


def label_ways(videos, truth, seed, k):
    """Name -> options of `assign_pseudo_labels`: the loss unchanged, and with one change each."""
    rng = np.random.default_rng(seed)
    sets = contrastive_sets(videos, k)
    anyone = torch.as_tensor(rng.integers(0, len(videos), (len(videos), k)))
    from_anyone = ContrastiveSets(sets.affinity, anyone)
    known = ContrastiveSets(drawn(truth, k, rng, True), drawn(truth, k, rng, False))
    return {
        "labels": {"sets": sets},
        "no repulsion": {"sets": sets, "kl_cap": 1e-9},
        "repulsion from any clip": {"sets": from_anyone},
        "repulsion from any clip, certainty": {"sets": from_anyone},
        "certainty": {"sets": sets},
        "neighbours as targets": {"sets": sets, "through_neighbours": False},
        "K = 30": {"k": 30},
        f"{LONG} epochs": {"sets": sets, "epochs": LONG},
        f"K = 30, {LONG} epochs": {"k": 30, "epochs": LONG},
        "affinity from the truth": {"sets": ContrastiveSets(known.affinity, sets.repulsion)},
        "repulsion from the truth": {"sets": ContrastiveSets(sets.affinity, known.repulsion)},
    }


def labelled(videos, truth, seed, preset, only=None):
    """Purity of the labels by each way, their confidence, and how many categories are empty."""
    rows = {}
    plain = {
        "categories": preset["categories"],
        "k": preset["k"],
        "hidden": preset["width"],
        "epochs": preset["annotate_epochs"],
        "lr": preset["annotate_lr"],
    }
    for name, options in label_ways(videos, truth, seed, preset["k"]).items():
        if only and name not in only:
            continue
        loss = with_certainty if "certainty" in name else PRINTED
        with mock.patch.object(label_contrast, "label_loss", loss):
            found = assign_pseudo_labels(videos, **(plain | options), seed=seed, device="cpu")
        rows[name] = {
            "purity": cluster_scores(found.labels.numpy(), truth)["purity"],
            "sure": 100 * float(found.probabilities.amax(1).mean()),
            "empty": float(found.history[-1]["empty"]),
        }
    return rows


def trace(job):
    """All measurements of one preset, data set and seed."""
    name, filters, seed = job
    part, preset = PARTS[name], PRESETS[name]
    data = AVE(world_folder("ave", features=filters))
    truth = np.asarray(category_of(data.train.labels))
    raw = raw_features(unlabelled(data.train))
    stages, labels = {"raw": look(raw, truth, seed, preset)}, {}
    for stage in part["representations"]:
        features, loss = represent(data.train, seed, preset, **REPRESENTATIONS[stage])
        videos = features.mean(1)
        stages[stage] = look(videos, truth, seed, preset)
        stages[stage] |= {"same clip": same_clip(features), "loss": loss}
        if stage in LABELLED:
            labels[stage] = labelled(videos, truth, seed, preset, part["ways"])
    return {"filters": filters, "seed": seed, "stages": stages, "labels": labels}


def rounded(told):
    """A nested dict with its numbers rounded to two digits."""
    if isinstance(told, dict):
        return {name: rounded(value) for name, value in told.items()}
    return round(told, 2) if isinstance(told, float) else told


def measure(name):
    """One part: its preset, the data's hashes, a run for each world and seed."""
    worlds = {filters: world_folder("ave", features=filters) for filters in PARTS[name]["worlds"]}
    for folder in worlds.values():
        open_world(folder)
    jobs = [(name, filters, seed) for filters in worlds for seed in SEEDS]
    runs = [rounded(one) for one in in_processes(trace, jobs, cores(), threads=1)]
    for run in runs:
        print(name, run["filters"], run["seed"])
        print("   ", {n: s["purity"] for n, s in run["stages"].items()})
        print("   ", {n: s["purity"] for n, s in run["labels"]["learned"].items()})
    return {
        "preset": PRESETS[name],
        "data": {filters: AVE(folder).hash for filters, folder in worlds.items()},
        "certainty": CERTAINTY,
        "runs": runs,
    }


def main(arguments=None):
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS, help="one part; the other stays unchanged")
    only = parser.parse_args(arguments).only
    stored = json.loads(OUT.read_text(encoding="utf-8"))["parts"] if only else {}
    parts = {name: stored[name] if only not in (None, name) else measure(name) for name in PARTS}
    told = {"command": "python tools/trace_categories.py", "parts": parts}
    OUT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
