"""One seed of a recipe as a job: how it trains, and stages that several settings share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avbook.common.files import write_arrays, write_text
from avbook.common.system import lock

__all__ = ["Job", "write_predictions"]


@dataclass
class Job:
    """One seed of a recipe on a data set: what a recipe's `train` is given."""

    recipe: Any
    settings: dict[str, Any]  # every option with its value
    data: Any  # an open data set
    seed: int
    folder: Path  # of this run's own working files, removed when its record is written
    store: Path  # of the stages that runs share
    device: str = "auto"
    progress: bool = True

    def fit(
        self,
        net,
        method,
        data=None,  # None: the job's
        out=None,  # folder of the checkpoint; None: the job's
        **changes,  # of the options the settings give `training.fit`
    ):
        """The `Result` of `training.fit` under the job's settings; continued where it was cut
        off."""
        from avbook.training.loop import fit

        s = self.settings
        kind = s.get("schedule", "step")
        options = {
            "epochs": s["epochs"],
            "batch_size": s["batch_size"],
            "lr": s["lr"],
            "weight_decay": s["weight_decay"],
            "schedule": (
                ("step", s["decay_every"], s["decay"], s["decay_until"]) if kind == "step" else kind
            ),
            "precision": s["precision"],
            "optimizer": s.get("optimizer", "adam"),
        }
        return fit(
            net,
            method,
            data or self.data,
            seed=self.seed,
            device=self.device,
            out=out or self.folder,
            resume=True,
            progress=self.progress,
            **{**options, **changes},
        )

    def stage(
        self,
        name: str,  # such as "base"
        settings: dict[
            str, Any
        ],  # those that the stage depends on, and no others: runs that agree in them share it
        make: Callable[
            [Path], None
        ],  # writes into the folder what later stages need; called again after an interruption
    ) -> Path:
        """The folder of a finished stage, made by the first run that asks; others that ask
        meanwhile wait for it."""
        content = json.dumps(
            [self.recipe.name, name, settings, self.data.hash, self.seed], sort_keys=True
        )
        folder = (
            self.store
            / f"{_plain(name)}-{hashlib.sha256(content.encode()).hexdigest()[:12]}-seed-{self.seed}"
        )
        done = folder / "stage.json"
        if done.exists():
            return folder
        with lock(self.store / f".{folder.name}.lock"):
            if not done.exists():
                folder.mkdir(parents=True, exist_ok=True)
                make(folder)
                write_text(
                    done,
                    json.dumps(
                        {
                            "recipe": self.recipe.name,
                            "stage": name,
                            "settings": settings,
                            "seed": self.seed,
                            "data": self.data.hash,
                        },
                        indent=1,
                    )
                    + "\n",
                )
        return folder


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def write_predictions(
    path: Path,  # ends in .npz
    predictions: dict[str, Any],  # selection -> array, or name -> array
) -> None:
    """Writes the test predictions of each selection as small integers, whole or not at all."""
    import numpy as np

    arrays = {}
    for selection, predicted in predictions.items():
        parts = predicted if isinstance(predicted, dict) else {"predicted": predicted}
        for name, values in parts.items():
            key = selection if name == "predicted" else f"{selection}.{name}"
            arrays[key] = np.asarray(values).astype(np.uint8)
    write_arrays(path, arrays)
