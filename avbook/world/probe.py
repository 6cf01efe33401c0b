"""A linear probe of the world's features: how far a linear classifier gets on single seconds."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from avbook.data.spec import AVE_SPEC, SPLITS

__all__ = ["PROBES", "event_segments", "probe"]

# probe -> the features it gets
PROBES = {"audio": ("audio",), "visual": ("visual",), "both": ("audio", "visual")}
FILES = {"audio": "audio_feature", "visual": "visual_feature", "label": "labels"}


def event_segments(
    folder,  # in AVE's layout
    split: str,  # "train", "val" or "test"
) -> dict[str, np.ndarray]:
    """The segments of events: audio (S, 128), visual (S, dv) as the mean over positions, label
    (S,), and clip (S,), the row of each segment's clip."""
    import h5py

    folder = Path(folder)
    parts: dict[str, list[np.ndarray]] = {"audio": [], "visual": [], "label": [], "clip": []}
    with contextlib.ExitStack() as opened:
        read = {
            name: opened.enter_context(h5py.File(folder / f"{file}.h5"))["avadataset"]
            for name, file in FILES.items()
        }
        with h5py.File(folder / AVE_SPEC.split_files[split]) as orders:
            rows = np.sort(orders["order"][:].ravel())
        for row in rows:
            label = read["label"][row].argmax(-1)  # (T,)
            event = label < read["label"].shape[-1] - 1
            parts["audio"].append(read["audio"][row][event])
            parts["visual"].append(read["visual"][row].mean((1, 2))[event])
            parts["label"].append(label[event])
            parts["clip"].append(np.full(event.sum(), row))
    return {name: np.concatenate(found) for name, found in parts.items()}


def _inputs(segments, names) -> np.ndarray:
    return np.concatenate([segments[name] for name in names], axis=1)


def probe(
    folder,  # in AVE's layout
    seed: int = 0,  # of the shuffling
) -> dict[str, Any]:
    """How far a linear classifier gets on single event segments: accuracy on test in percent for
    `audio`, `visual`, `both` and `shuffled`.

    Multinomial logistic regression on standardised features, its penalty chosen on val. `shuffled`
    is the joint probe where each test segment has the audio of another clip. With them come `truth`
    (S,) and, for each probe, `predicted` (S,), for confusion matrices."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, val, test = (event_segments(folder, split) for split in SPLITS)
    found: dict[str, Any] = {"truth": test["label"], "predicted": {}}
    for name, inputs in PROBES.items():
        fits = [
            make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=200))
            for c in (0.001, 0.01, 0.1)
        ]
        for fit in fits:
            fit.fit(_inputs(train, inputs), train["label"])
        best = max(fits, key=lambda fit: fit.score(_inputs(val, inputs), val["label"]))
        found["predicted"][name] = best.predict(_inputs(test, inputs))
        found[name] = 100 * float((found["predicted"][name] == test["label"]).mean())
    # `best` is now the joint probe
    partner = np.random.default_rng(seed).permutation(len(test["label"]))
    shuffled = test | {"audio": test["audio"][partner]}
    predicted = best.predict(_inputs(shuffled, PROBES["both"]))
    found["shuffled"] = 100 * float((predicted == test["label"]).mean())
    return found
