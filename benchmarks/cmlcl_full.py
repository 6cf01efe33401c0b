"""What CMLCL's full setting would take here: a few steps of each stage at the paper's sizes, multiplied out.

    python benchmarks/cmlcl_full.py [--out FILE.json] [--clips 3339] [--visual 2048] [--steps 4] [--threads 2]

Sizes: batches of 32, d = 512, C = 28, K = 30, visual features 7 × 7 × 2048 (ResNet-152). Features are made up; their values do not change the time. A
step is forward, backward and update with the package's own code; time is the median over --steps that follow one to warm up. Reading features from disk
is not counted. Full setting: 200 epochs for the features, then three rounds of one search for neighbours, 200 epochs of the annotator and 30 of the localiser.
"""
import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from avbook.cmlcl import LocaliseMethod
from avbook.collaborate import Collaborator, RepresentMethod
from avbook.label_contrast import Annotator, annotator_epoch
from avbook.localise import Localiser
from avbook.machine import device_name, peak_memory_mb, seed_everything
from avbook.neighbours import contrastive_sets
from avbook.training import make_optimizer

BATCH, WIDTH, CATEGORIES, K, SECONDS, SIDE, AUDIO = 32, 512, 28, 30, 10, 7, 128
EPOCHS = {"represent": 200, "annotate": 200, "localise": 30}
ROUNDS = 3


def timed(step, steps: int) -> float:
    """Median seconds of a step, after one to warm up."""
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return median(times[1:])


def trains(net, method, batch, optimizer):
    """A function that takes one step."""
    def step():
        loss, _ = method.loss(net, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(clips: int, visual: int, steps: int) -> dict[str, float]:
    """Seconds a step of each stage, and of one search for neighbours."""
    seed_everything(0)
    found = {}
    net, method = Collaborator(visual, AUDIO, WIDTH).train(), RepresentMethod(clips, WIDTH)
    batch = {"audio": torch.rand(BATCH, SECONDS, AUDIO), "visual": torch.rand(BATCH, SECONDS, SIDE, SIDE, visual), "rows": torch.arange(BATCH)}
    found["represent"] = timed(trains(net, method, batch, method.optimizer(net, 0.05, 0.0)), steps)

    x = torch.randn(clips, 2 * WIDTH)
    started = time.perf_counter()
    sets = contrastive_sets(x, K, device="cpu")
    found["search"] = time.perf_counter() - started
    annotator = Annotator(2 * WIDTH, WIDTH, CATEGORIES)
    optimizer, rows = make_optimizer(annotator, None, "sgd", 0.05, 0.0), torch.arange(BATCH)
    options = {"kl_cap": "log C", "literal_sign": False, "contrast": True, "entropy": True}
    found["annotate"] = timed(lambda: annotator_epoch(annotator, optimizer, x, sets.affinity, sets.repulsion, [rows], True, options), steps)

    localiser, targets = Localiser(2 * WIDTH, WIDTH, CATEGORIES).train(), F.one_hot(torch.randint(CATEGORIES, (BATCH,)), CATEGORIES).float()
    batch = {"features": torch.randn(BATCH, SECONDS, 2 * WIDTH), "targets": targets}
    found["localise"] = timed(trains(localiser, LocaliseMethod(), batch, make_optimizer(localiser, None, "adam", 5e-4, 5e-4)), steps)
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cmlcl_full.json")
    asked.add_argument("--clips", type=int, default=3339)
    asked.add_argument("--visual", type=int, default=2048)
    asked.add_argument("--steps", type=int, default=4)
    asked.add_argument("--threads", type=int, default=2)
    args = asked.parse_args()
    torch.set_num_threads(args.threads)
    load = os.getloadavg()[0]
    seconds = measure(args.clips, args.visual, args.steps)
    batches = -(-args.clips // BATCH)
    times = {"represent": 1, "annotate": ROUNDS, "localise": ROUNDS}
    hours = {name: seconds[name] * batches * EPOCHS[name] * times[name] / 3600 for name in EPOCHS} | {"search": ROUNDS * seconds["search"] / 3600}
    found = {"machine": f"{device_name(torch.device('cpu'))}, {platform.platform()}", "torch": torch.__version__, "clips": args.clips, "batch": BATCH,
             "width": WIDTH, "visual": args.visual, "seconds_a_step": seconds, "batches_an_epoch": batches, "epochs": EPOCHS, "rounds": ROUNDS,
             "hours": hours | {"all": sum(hours.values())}, "peak_memory_mb": peak_memory_mb(torch.device("cpu")), "load_before": load}
    for name, value in seconds.items():
        print(f"{name:10} {value:7.3f} s {'once a round' if name == 'search' else 'a step'}, {hours[name]:6.2f} h in the full setting")
    print(f"all: {found['hours']['all']:.1f} h with {args.threads} threads, {found['peak_memory_mb']:.0f} MB")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
