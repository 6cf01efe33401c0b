"""Extrapolated time of CMLCL's full setting on this machine: a few steps of each stage at the
paper's sizes, multiplied.

    OMP_NUM_THREADS=2 python benchmarks/cmlcl_full.py [--out FILE.json] [--clips 3339]
        [--visual 2048] [--steps 4]

Sizes: batches of 32, d = 512, C = 28, K = 30, visual features 7 × 7 × 2048 (ResNet-152). Features
are made up; their values do not change the time. A step is forward, backward and update with the
package's own code; its time is the median over --steps after one warm-up step. Reading features
from disk is not counted. Full setting: 200 epochs for the features, then three rounds of one
neighbour search, 200 epochs of the cluster head and 30 of the localiser."""

import torch
from measure import arguments, machine, middle, peak_memory_mb, row, seconds_of, write
from torch.nn import functional as F

from avbook.training.device import seed_everything
from avbook.training.loop import make_optimizer
from avbook.unsupervised.em import LocaliseMethod
from avbook.unsupervised.label_contrast import ClusterHead, cluster_head_epoch
from avbook.unsupervised.localiser import Localiser
from avbook.unsupervised.neighbours import contrastive_sets
from avbook.unsupervised.pretraining import PretextMethod
from avbook.unsupervised.representation import AVBackbone

BATCH, WIDTH, CATEGORIES, K, SECONDS, SIDE, AUDIO = 32, 512, 28, 30, 10, 7, 128
EPOCHS = {"represent": 200, "annotate": 200, "localise": 30}
ROUNDS = 3


def trains(net, method, batch, optimizer):
    """A function that takes one step."""

    def step():
        loss, _ = method.loss(net, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(clips: int, visual: int, steps: int) -> dict[str, float]:
    """Seconds per step of each stage, and of one neighbour search."""
    seed_everything(0)
    found = {}
    net, method = AVBackbone(visual, AUDIO, WIDTH).train(), PretextMethod(clips, WIDTH)
    batch = {
        "audio": torch.rand(BATCH, SECONDS, AUDIO),
        "visual": torch.rand(BATCH, SECONDS, SIDE, SIDE, visual),
        "rows": torch.arange(BATCH),
    }
    found["represent"] = middle(trains(net, method, batch, method.optimizer(net, 0.05, 0.0)), steps)

    x, k = torch.randn(clips, 2 * WIDTH), min(K, clips - 1)
    kept = []
    found["search"] = seconds_of(lambda: kept.append(contrastive_sets(x, k, device="cpu")))
    sets = kept[0]
    annotator = ClusterHead(2 * WIDTH, WIDTH, CATEGORIES)
    optimizer, rows = make_optimizer(annotator, None, "sgd", 0.05, 0.0), torch.arange(BATCH)
    options = {"kl_cap": "log C", "literal_sign": False, "contrast": True, "entropy": True}
    found["annotate"] = middle(
        lambda: cluster_head_epoch(
            annotator, optimizer, x, sets.affinity, sets.repulsion, [rows], True, options
        ),
        steps,
    )

    localiser, targets = (
        Localiser(2 * WIDTH, WIDTH, CATEGORIES).train(),
        F.one_hot(torch.randint(CATEGORIES, (BATCH,)), CATEGORIES).float(),
    )
    batch = {"features": torch.randn(BATCH, SECONDS, 2 * WIDTH), "targets": targets}
    found["localise"] = middle(
        trains(
            localiser, LocaliseMethod(), batch, make_optimizer(localiser, None, "adam", 5e-4, 5e-4)
        ),
        steps,
    )
    return found


def main() -> None:
    asked = arguments(__doc__, "cmlcl_full", device=False)
    asked.add_argument("--clips", type=int, default=3339)
    asked.add_argument("--visual", type=int, default=2048)
    asked.add_argument("--steps", type=int, default=4)
    args = asked.parse_args()
    clips, visual, steps = (40, 16, 1) if args.quick else (args.clips, args.visual, args.steps)
    found = {
        "name": "cmlcl_full",
        "machine": machine(),
        "clips": clips,
        "batch": BATCH,
        "width": WIDTH,
        "visual": visual,
    }
    seconds, batches = measure(clips, visual, steps), -(-clips // BATCH)
    times = {"represent": 1, "annotate": ROUNDS, "localise": ROUNDS}
    hours = {
        name: seconds[name] * batches * EPOCHS[name] * times[name] / 3600 for name in EPOCHS
    } | {"search": ROUNDS * seconds["search"] / 3600}
    found |= {
        "seconds_a_step": seconds,
        "batches_an_epoch": batches,
        "epochs": EPOCHS,
        "rounds": ROUNDS,
        "hours": hours | {"all": sum(hours.values())},
        "peak_memory_mb": peak_memory_mb(),
    }
    for name, value in seconds.items():
        print(
            f"{name:10} {value:7.3f} s {'once a round' if name == 'search' else 'a step'},"
            f" {hours[name]:6.2f} h in the full setting"
        )
    print(
        f"all: {found['hours']['all']:.1f} h with {found['machine']['threads']} threads,"
        f" {found['peak_memory_mb']:.0f} MB",
        flush=True,
    )
    found["rows"] = [
        row(
            "CMLCL at the paper's sizes, all stages, extrapolated",
            "",
            3600 * found["hours"]["all"],
            None,
            peak_memory_mb=found["peak_memory_mb"],
        )
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
