"""Small folders in the official layouts, with random features, for tests of loaders and packs."""

import json
from pathlib import Path

import h5py
import numpy as np

from avbook.data.annotations import read_annotations
from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES
from avbook.data.labels import rebuilt_labels

LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"))


def video_ids(count, seed=0):
    """`count` different ids of 11 characters."""
    rng = np.random.default_rng(seed)
    return [f"{i:05d}" + "".join(rng.choice(LETTERS, 6)) for i in range(count)]


def write_h5(path, array, name="avadataset", **options):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=array, **options)


def write_ave(
    folder,
    n=24,
    seconds=10,
    audio=8,
    side=3,
    visual=6,
    categories=AVE_CATEGORIES,
    dtype=np.float32,
    noisy=5,
    seed=0,
    labels=True,
    weak=True,
    **options,
):
    """An AVE folder: n clips, the first half train, then a quarter each; returns its Path and the
    features as written."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    names = [categories[i % len(categories)] for i in range(n)]
    onset = rng.integers(0, seconds, n)
    offset = onset + rng.integers(1, seconds - onset + 1)
    lines = [
        f"{name}&{vid}&good&{a}&{b}"
        for name, vid, a, b in zip(names, video_ids(n, seed), onset, offset)
    ]
    (folder / "Annotations.txt").write_text("\n".join(lines) + "\n")
    if categories != AVE_CATEGORIES:
        (folder / "categories.txt").write_text("\n".join(categories) + "\n")
    a = rng.standard_normal((n, seconds, audio)).astype(dtype)
    v = rng.standard_normal((n, seconds, side, side, visual)).astype(dtype)
    write_h5(folder / "audio_feature.h5", a, **options)
    write_h5(folder / "visual_feature.h5", v, **options)
    rows = read_annotations(folder / "Annotations.txt", categories, seconds)
    dense = rebuilt_labels(rows, categories, seconds)
    if labels:
        write_h5(folder / "labels.h5", dense.astype(dtype))
    if weak:
        write_h5(
            folder / "mil_labels.h5", np.concatenate([dense[..., :-1].max(1), np.zeros((n, 1))], 1)
        )
        write_h5(folder / "prob_label.h5", dense.mean(1))
    if noisy:
        background = np.zeros((noisy, len(categories) + 1))
        background[:, -1] = 1
        write_h5(folder / "labels_noisy.h5", background)
        write_h5(
            folder / "audio_feature_noisy.h5",
            rng.standard_normal((noisy, seconds, audio)).astype(dtype),
        )
        write_h5(
            folder / "visual_feature_noisy.h5",
            rng.standard_normal((noisy, seconds, side, side, visual)).astype(dtype),
        )
    order = rng.permutation(n)
    for split, rows in zip(("train", "val", "test"), np.split(order, [n // 2, 3 * n // 4])):
        write_h5(folder / f"{split}_order.h5", rows, "order")
    return folder, a, v


def write_llp(
    folder,
    n=16,
    seconds=10,
    audio=8,
    frames=80,
    d2=12,
    d3=6,
    categories=LLP_CATEGORIES,
    dtype=np.float32,
    seed=0,
    world=False,
):
    """An LLP folder: n clips, half train, a quarter each val and test; returns its Path, the clips'
    names and their features by id."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    names = [f"{vid}_30_40" for vid in video_ids(n, seed)]
    groups = dict(zip(("train", "val", "test"), np.split(np.array(names), [n // 2, 3 * n // 4])))
    if categories != LLP_CATEGORIES:
        (folder / "categories.txt").write_text("\n".join(categories) + "\n")
    rows = {"audio": [], "visual": []}
    for split, file in (
        ("train", "AVVP_train.csv"),
        ("val", "AVVP_val_pd.csv"),
        ("test", "AVVP_test_pd.csv"),
    ):
        lines = ["filename\tevent_labels"]
        for name in groups[split]:
            labels = [
                categories[i]
                for i in rng.choice(len(categories), rng.integers(1, 3), replace=False)
            ]
            lines.append(f"{name}\t{','.join(labels)}")
            for label in labels:
                for modality in rows:
                    onset = int(rng.integers(0, seconds))
                    offset = int(rng.integers(onset + 1, seconds + 1))
                    rows[modality].append((split, f"{name}\t{onset}\t{offset}\t{label}"))
        (folder / file).write_text("\n".join(lines) + "\n")
    for modality in rows:
        title = "filename\tonset\toffset\tevent_labels"
        judged = [line for split, line in rows[modality] if split != "train"]
        (folder / f"AVVP_eval_{modality}.csv").write_text("\n".join([title, *judged]) + "\n")
        if world:
            train = [line for split, line in rows[modality] if split == "train"]
            (folder / f"AVVP_train_{modality}.csv").write_text("\n".join([title, *train]) + "\n")
    if world:
        (folder / "world.json").write_text(
            json.dumps({"task": "llp", "size": "tiny", "seed": seed})
        )
    features = {}
    for kind, shape in (
        ("vggish", (seconds, audio)),
        ("res152", (frames, d2)),
        ("r2plus1d_18", (seconds, d3)),
    ):
        (folder / kind).mkdir(exist_ok=True)
        for name in names:
            features[kind, name[:11]] = rng.standard_normal(shape).astype(dtype)
            np.save(folder / kind / f"{name[:11]}.npy", features[kind, name[:11]])
    return folder, groups, features
