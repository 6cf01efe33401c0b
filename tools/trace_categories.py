"""Where CMLCL loses the categories that its features hold: `python tools/trace_categories.py`
writes nbs/4_unsupervised/stages.json, which the page on it shows.

python tools/trace_categories.py [--only quick | paper]

The small worlds of AVE under trained and under random filters, the quick preset, three seeds; then
the paper's sizes and schedule under trained filters, fewer variants. Labels are used to measure,
never to learn, but for the rows that say so. About ten minutes on two cores, and a quarter of an
hour for the paper's settings. --only does one part and leaves the other's figures in the file as
they are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

from avbook.common.system import cores, in_processes
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
from avbook.unsupervised.representation import pretrain, segment_features
from avbook.world.build import open_world, world_folder

OUT = Path(__file__).resolve().parent.parent / "nbs/4_unsupervised/stages.json"
SEEDS = range(3)
LONG = 50  # epochs of the longer training
PRESETS = {name: find_recipe("cmlcl").preset(name) for name in ("quick", "paper")}
WORLDS = {"quick": ("trained", "random"), "paper": ("trained",)}
CERTAINTY = 0.2  # nats of the loss for a nat of a clip's own entropy, where that is added
LABELLED = ("untrained", "learned")  # of these, on which label losses are compared
REPRESENTATIONS = {
    "untrained": {"epochs": 1, "lr": 0.0},
    "learned": {},
    f"learned, {LONG} epochs": {"epochs": LONG},
    "learned, no decorrelation": {"dec": False},
    "learned, cross": {"positives": "cross"},
    f"learned, cross, {LONG} epochs": {"positives": "cross", "epochs": LONG},
}
PAPER = {  # what is measured at the paper's settings, where everything takes long
    "representations": LABELLED,
    "ways": ("labels", "repulsion from any clip", "affinity from the truth"),
}


def represent(train, seed, preset, **changed):
    """Features of the training clips' seconds, (N, T, 2d), by the preset and what is changed."""
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
    """What one vector a clip knows of its category, in percent."""
    sets = contrastive_sets(videos, preset["k"])
    groups = group(videos, preset["categories"], seed=seed).numpy()
    return {
        "purity": cluster_scores(groups, truth)["purity"],
        "neighbours": 100 * float((truth[sets.affinity] == truth[:, None]).mean()),
        "repulsion in use": 100 * len(sets.repulsion.unique()) / len(videos),
    }


def same_clip(features):
    """Share of clips whose sound is nearest to their own picture among all, in percent."""
    sound, picture = (F.normalize(x.mean(1), dim=-1) for x in features.chunk(2, -1))
    found = (sound @ picture.T).argmax(1)
    return 100 * float((found == torch.arange(len(found))).float().mean())


def with_certainty(own, near, far, **options):
    """The label loss, and a little of each clip's own entropy."""
    loss, parts = PRINTED(own, near, far, **options)
    return loss - CERTAINTY * (own.exp() * own).sum(-1).mean(), parts


PRINTED = label_contrast.label_loss


def drawn(truth, k, rng, same):
    """For each clip k others, by chance, of its own category or of another."""
    rows = []
    for i, category in enumerate(truth):
        pool = np.flatnonzero((truth == category) == same)
        rows.append(rng.choice(pool[pool != i], k))
    return torch.as_tensor(np.stack(rows))


def label_ways(videos, truth, seed, k):
    """Name -> options of `assign_pseudo_labels`: the loss as it is, and one thing changed."""
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
    """Purity of the labels by each way, how sure they are, and how many categories are empty."""
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
    part, filters, seed = job
    preset = PRESETS[part]
    names, ways = (REPRESENTATIONS, None) if part == "quick" else PAPER.values()
    data = AVE(world_folder("ave", features=filters))
    truth = np.asarray(category_of(data.train.labels))
    raw = raw_features(unlabelled(data.train))
    stages, labels = {"raw": look(raw, truth, seed, preset)}, {}
    for name in names:
        features, loss = represent(data.train, seed, preset, **REPRESENTATIONS[name])
        videos = features.mean(1)
        stages[name] = look(videos, truth, seed, preset)
        stages[name] |= {"same clip": same_clip(features), "loss": loss}
        if name in LABELLED:
            labels[name] = labelled(videos, truth, seed, preset, ways)
    return {"preset": part, "filters": filters, "seed": seed, "stages": stages, "labels": labels}


def rounded(told):
    """Numbers of a nested dict to two digits."""
    if isinstance(told, dict):
        return {name: rounded(value) for name, value in told.items()}
    return round(told, 2) if isinstance(told, float) else told


def main():
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PRESETS, help="one part, the other stays as it is")
    only = parser.parse_args().only
    for filters in WORLDS["quick"]:
        open_world(world_folder("ave", features=filters))
    parts = [only] if only else list(PRESETS)
    jobs = [(part, filters, seed) for part in parts for filters in WORLDS[part] for seed in SEEDS]
    found = [rounded(one) for one in in_processes(trace, jobs, cores(), threads=1)]
    for one in found:
        print(*(one[key] for key in ("preset", "filters", "seed")))
        print("   ", {n: s["purity"] for n, s in one["stages"].items()})
        print("   ", {n: s["purity"] for n, s in one["labels"]["learned"].items()})
    stored = json.loads(OUT.read_text(encoding="utf-8"))["runs"] if only else []
    told = {
        "command": "python tools/trace_categories.py",
        "data": {name: AVE(world_folder("ave", features=name)).hash for name in WORLDS["quick"]},
        "presets": PRESETS,
        "certainty": CERTAINTY,
        "runs": [one for one in stored if one["preset"] not in parts] + found,
    }
    OUT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
