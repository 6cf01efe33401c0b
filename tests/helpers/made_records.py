"""Run records made up for a test."""

import json
import math


def put(folder, recipe, options, seed, accuracy, kind="world", data="w", hash="h", preset="quick"):
    path = (
        folder / recipe / f"{data}-{preset}-{sorted(options.items())}-{hash}" / f"seed-{seed}.json"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = {
        s: {"accuracy": None if math.isnan(accuracy) else accuracy + d}
        for s, d in (("val_selected", 0), ("last", -1), ("test_selected", 1))
    }
    path.write_text(
        json.dumps(
            {
                "recipe": recipe,
                "options": options,
                "preset": preset,
                "seed": seed,
                "data": {"kind": kind, "name": data, "hash": hash},
                "metrics": {"test": scores},
                "command": f"avbook run {recipe} --data world --preset quick --seed {seed}",
            }
        )
    )
