"""Folders in the official layouts at the official sizes, filled with random numbers: times do not
depend on the values of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measure import ROOT  # noqa: F401  (puts the package on the path)

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES

LLP_SHAPES = {"vggish": (10, 128), "res152": (80, 2048), "r2plus1d_18": (10, 512)}
AVE_SHAPES = {"audio_feature": (10, 128), "visual_feature": (10, 7, 7, 512)}


def parts(n: int) -> dict[str, range]:
    """Rows of the splits: 80 % train, 10 % val, the rest test."""
    first, second = n * 8 // 10, n * 9 // 10
    return {"train": range(first), "val": range(first, second), "test": range(second, n)}


def llp_labels(n: int, seed: int = 0) -> np.ndarray:
    """(n, 25) of 0 and 1: one to three events per video, speech in half of them, as in LLP."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((n, len(LLP_CATEGORIES)), np.float32)
    labels[rng.random(n) < 0.5, 0] = 1
    labels[np.arange(n), rng.integers(1, labels.shape[1], n)] = 1
    labels[rng.random(n) < 0.15, rng.integers(1, labels.shape[1])] = 1
    return labels


def llp_folder(folder: Path, n: int) -> Path:
    """The folder, with n clips: three float32 .npy files each, and the lists."""
    rng, labels = np.random.default_rng(0), llp_labels(n)
    names = [f"clip{i:07d}_0_10" for i in range(n)]
    for split, file in (
        ("train", "AVVP_train.csv"),
        ("val", "AVVP_val_pd.csv"),
        ("test", "AVVP_test_pd.csv"),
    ):
        rows = [
            f"{names[i]}\t{','.join(LLP_CATEGORIES[c] for c in np.flatnonzero(labels[i]))}"
            for i in parts(n)[split]
        ]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(
            "\n".join(["filename\tevent_labels", *rows]) + "\n", encoding="utf-8"
        )
    judged = [
        f"{names[i]}\t2\t7\t{LLP_CATEGORIES[c]}"
        for split in ("val", "test")
        for i in parts(n)[split]
        for c in np.flatnonzero(labels[i])
    ]
    for modality in ("audio", "visual"):
        (folder / f"AVVP_eval_{modality}.csv").write_text(
            "\n".join(["filename\tonset\toffset\tevent_labels", *judged]) + "\n", encoding="utf-8"
        )
    for kind, shape in LLP_SHAPES.items():
        (folder / kind).mkdir()
        for name in names:
            np.save(folder / kind / f"{name[:11]}.npy", rng.random(shape, np.float32))
    return folder


def ave_folder(
    folder: Path,
    n: int,
    dtype: str = "float64",
    shapes: dict[str, tuple[int, ...]] = AVE_SHAPES,
) -> Path:
    """The folder, with n clips, unchunked, in float64 like the official h5 files, and their orders
    and labels."""
    import h5py

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)

    def h5(file, name, array):
        with h5py.File(folder / f"{file}.h5", "w") as opened:
            opened[name] = array

    kinds = np.where(
        rng.random((n, 10)) < 0.8, rng.integers(0, len(AVE_CATEGORIES), (n, 1)), len(AVE_CATEGORIES)
    )
    h5("labels", "avadataset", np.eye(len(AVE_CATEGORIES) + 1)[kinds])
    for split, rows in parts(n).items():
        h5(f"{split}_order", "order", np.asarray(rows))
    for file, shape in shapes.items():
        with h5py.File(folder / f"{file}.h5", "w") as opened:
            data = opened.create_dataset("avadataset", (n, *shape), dtype)
            for start in range(0, n, 64):
                data[start : start + 64] = rng.random((min(64, n - start), *shape))
    return folder
