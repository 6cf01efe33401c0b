"""A training step of every method on AVE at the official sizes, by the package and by a
straightforward implementation: AVEL, PSP full and weak, CMLCL's four.

    python benchmarks/steps.py [--only NAME ...] [--steps 5] [--rounds 3] [--out FILE.json]

AVE: visual features 10×7×7×512, audio 10×128, float16 in memory as in a pack, batch 128 (CMLCL 32),
the released widths. Both variants of a line must give the same first loss, from the same weights on
the same rows (asserted). They take turns, round after round, each turn in its own process, since an
allocator that was told to keep memory never fully stops doing so; a time is the median step of the
fastest round. "Straightforward" means, line by line:
- AVEL, PSP: clips converted and stacked one by one; Adam tensor by tensor; freed memory goes back
  to the system.
- CMLCL represents: the same reading, and Eq. 1-2 as printed, with a second map of d channels for
  the product of audio and visual features.
- CMLCL searches: a matrix of all cosines in float64, each row sorted. (Our blocks never hold that
  matrix: `search.py` reports the memory.)
- CMLCL annotates: every video of a batch and every neighbour of each goes through the cluster head,
  as often as it occurs. An epoch of 3,339 videos.
- CMLCL localises: the frozen backbone runs again in every step, instead of once before.
A step is: read a batch, forward, loss, backward, update. `han_step.py` has HAN and MA,
`psp_epoch.py` the gain of each ingredient for PSP.
"""

import itertools
import json
from functools import partial
from types import MethodType, SimpleNamespace

import numpy as np
from measure import (
    Apart,
    Way,
    arguments,
    flops_of,
    machine,
    peak_gflops,
    peak_memory_mb,
    row,
    take_turns,
    write,
)

CATEGORIES, N = 28, 3339
METHODS = {
    "avel-full": 128,
    "avel-weak": 128,
    "psp-full": 128,
    "psp-weak": 128,
    "cmlcl-represent": 32,
    "cmlcl-search": N,
    "cmlcl-annotate": 32,
    "cmlcl-localise": 32,
}
AGAINST = {
    "cmlcl-represent": "clips one by one, Eq. 1-2 as printed",
    "cmlcl-search": "all cosines at once, float64, sorted",
    "cmlcl-annotate": "every neighbour through the annotator",
    "cmlcl-localise": "the frozen backbone in every step",
}
WHOLE = ("cmlcl-search", "cmlcl-annotate")  # timed over all videos, not a batch
TITLES = {
    "avel-full": "AVEL, full",
    "avel-weak": "AVEL, weak",
    "psp-full": "PSP, full",
    "psp-weak": "PSP, weak",
    "cmlcl-represent": "CMLCL: represent",
    "cmlcl-search": "CMLCL: search (30 near, 30 far of 3,339)",
    "cmlcl-annotate": "CMLCL: annotate (an epoch)",
    "cmlcl-localise": "CMLCL: localise",
}


# --------------------------------------------------------------------------------------------- data
def split_of(clips: int):
    """A training split of AVE in memory, at the official sizes, with visual features that repeat
    after 64 clips."""
    import torch

    from avbook.data.ave import AVESplit
    from avbook.data.cache import CachedStore

    rng = np.random.default_rng(0)
    some = torch.from_numpy(rng.random((min(clips, 64), 10, 7, 7, 512), np.float32)).half()
    visual = torch.empty(clips, *some.shape[1:], dtype=torch.float16)
    for start in range(0, clips, len(some)):
        visual[start : start + len(some)] = some[: clips - start]
    audio = torch.from_numpy(rng.random((clips, 10, 128), np.float32)).half()
    kinds = np.where(
        rng.random((clips, 10)) < 0.8, rng.integers(0, CATEGORIES, (clips, 1)), CATEGORIES
    )
    labels = np.eye(CATEGORIES + 1, dtype=np.float32)[kinds]
    stores = {
        name: CachedStore(SimpleNamespace(path=name), part)
        for name, part in (("audio", audio), ("visual", visual))
    }
    return AVESplit(
        "train",
        [f"clip{i:07d}" for i in range(clips)],
        np.arange(clips),
        stores,
        {"labels": labels, "video_labels": labels.mean(1)},
    )


class OneByOne:
    """The same split, each clip converted by itself and then stacked."""

    def __init__(self, split):
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, rows):
        import torch

        clips = [self.split[int(one)] for one in rows]
        return {name: torch.stack([clip[name] for clip in clips]) for name in clips[0]}


# ------------------------------------------------------------------------------------------ methods
def attend_as_printed(self, audio, visual):
    """Eq. 1-2 of CMLCL taken literally: audio times visual features as a map of d channels, a layer
    to one number, softmax over positions."""
    import torch

    *lead, height, width, dim = visual.shape
    sound = torch.relu(self.audio(audio)).unsqueeze(-2)
    pixels = visual.reshape(*lead, height * width, dim)
    weights = self.score(sound * torch.relu(self.visual(pixels))).squeeze(-1).softmax(-1)
    return (weights.unsqueeze(-1) * pixels).sum(-2), weights.view(*lead, height, width)


def supervised(name: str, plain: bool, device: str):
    """(network, method, split -> source of batches) of AVEL or PSP."""
    from avbook.experiments.recipes import find_recipe

    recipe = find_recipe(name)
    settings = recipe.preset("paper")
    net, method = recipe.build(
        settings, {"categories": CATEGORIES, "audio_dim": 128, "visual_dim": 512, "positions": 49}
    )
    return net, method, lambda split: OneByOne(split) if plain else split


def representing(plain: bool, device: str):
    """The same of CMLCL's backbone and its two pretext tasks."""
    from avbook.unsupervised.pretraining import PretextMethod, UnlabelledSplit
    from avbook.unsupervised.representation import AVBackbone

    net = AVBackbone()
    if plain:
        net.spatial.forward = MethodType(attend_as_printed, net.spatial)
    return net, PretextMethod(N), lambda split: UnlabelledSplit(OneByOne(split) if plain else split)


def localising(plain: bool, device: str):
    """The same for the localiser: on stored features; or, plain, after the frozen backbone."""
    import torch

    from avbook.unsupervised.em import LocaliseMethod
    from avbook.unsupervised.localiser import Localiser
    from avbook.unsupervised.pretraining import segment_features
    from avbook.unsupervised.representation import AVBackbone

    backbone, net, method = AVBackbone().to(device).eval(), Localiser(1024), LocaliseMethod()

    class Features:
        def __init__(self, split):
            self.split, self.labels = (
                split,
                torch.eye(CATEGORIES)[torch.arange(len(split)) % CATEGORIES],
            )
            self.features = None if plain else segment_features(backbone, split, 64, device)

        def __len__(self) -> int:
            return len(self.split)

        def batch(self, rows):
            rows = torch.as_tensor(np.asarray(rows))
            if self.features is not None:
                return {"features": self.features[rows], "targets": self.labels[rows]}
            with torch.no_grad():
                batch = {name: part.to(device) for name, part in self.split.batch(rows).items()}
                return {
                    "features": backbone.features(backbone(batch)),
                    "targets": self.labels[rows],
                }

    return net, method, Features


def epoch_as_written(
    net, optimizer, x, near, far, batches, through_neighbours, options
) -> dict[str, float]:
    """`cluster_head_epoch` without merging repeated videos."""
    import torch

    from avbook.unsupervised.label_contrast import label_loss

    total = 0.0
    for rows in batches:
        rows = torch.as_tensor(rows)
        own, affinity, repulsion = net(x[rows]), net(x[near[rows]]), net(x[far[rows]])
        loss, _ = label_loss(own, affinity, repulsion, **options)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(rows) / len(x)
    return {"loss": total}


# ------------------------------------------------------------------------------------------ measure
def step_way(name: str, plain: bool, split, size: int, device: str):
    """(`Way`, floating-point operations of a step, loss of the first batch from the initial
    weights)."""
    import torch

    from avbook.training.device import seed_everything
    from avbook.training.loop import make_optimizer

    seed_everything(0)
    made = {"cmlcl-represent": representing, "cmlcl-localise": localising}.get(
        name, partial(supervised, name)
    )
    net, method, source = made(plain, device)
    train = source(split)
    net.to(device).train()
    if plain and not name.startswith("cmlcl"):
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, foreach=False, fused=False)
    else:
        optimizer = make_optimizer(net, method, "adam", 1e-3, 0.0)
    rows = np.random.default_rng(1).permutation(len(split))
    order = itertools.cycle(rows)

    def get(rows):
        return {part: tensor.to(device) for part, tensor in train.batch(rows).items()}

    def step():
        loss, _ = method.loss(net, get(list(itertools.islice(order, size))))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    probe = get(rows[:size])
    net.eval()  # the variants draw the numbers of dropout and views in different orders
    with torch.no_grad():
        first = float(method.loss(net, probe)[0])
    net.train()
    flops = flops_of(lambda: method.loss(net, get(rows[:size]))[0].backward())
    net.zero_grad()
    return Way(step, not plain), flops, first


def epoch_way(plain: bool, clips: int, size: int, device: str):
    """The same for an epoch of the cluster head over `clips` videos with 30 near and 30 far
    neighbours; its loss is the whole epoch's."""
    import torch

    from avbook.training.device import seed_everything
    from avbook.training.loop import make_optimizer, shuffled_batches
    from avbook.unsupervised.label_contrast import ClusterHead, cluster_head_epoch
    from avbook.unsupervised.neighbours import contrastive_sets

    seed_everything(0)
    x = torch.randn(clips, 1024)
    sets = contrastive_sets(x, min(30, clips - 1), device="cpu")
    x, near, far = x.to(device), sets.affinity.to(device), sets.repulsion.to(device)
    batches, run = (
        shuffled_batches(clips, size, 0, 1),
        (epoch_as_written if plain else cluster_head_epoch),
    )
    net = ClusterHead(1024, 512, CATEGORIES).to(device)
    optimizer, first = make_optimizer(net, None, "sgd", 0.05, 0.0), []
    flops = flops_of(
        lambda: first.append(run(net, optimizer, x, near, far, batches, True, {})["loss"])
    )
    return (
        Way(lambda: run(net, optimizer, x, near, far, batches, True, {}), not plain),
        flops,
        first[0],
    )


def search_way(plain: bool, clips: int, device: str):
    """The same for the neighbour search; instead of a loss, the sets found."""
    import torch

    from avbook.training.device import seed_everything
    from avbook.unsupervised.neighbours import contrastive_sets

    seed_everything(0)
    centres, k = torch.randn(max(2, clips // 100), 1024), min(30, clips - 1)
    x = (centres[torch.arange(clips) % len(centres)] + 1.5 * torch.randn(clips, 1024)).to(device)

    def as_written():
        unit = torch.nn.functional.normalize(x.double(), dim=1)
        cosines = unit @ unit.T
        order = cosines.fill_diagonal_(float("-inf")).argsort(1, descending=True)
        return order[:, :k], order[:, :-1].flip(1)[:, :k]

    def ours():
        sets = contrastive_sets(x, k, device=device)
        return sets.affinity, sets.repulsion

    search = as_written if plain else ours
    return (
        Way(search, not plain),
        2 * clips * clips * x.shape[1],
        torch.stack([part.cpu() for part in search()]),
    )


def way_of(name: str, way: str, clips: int, size: int, device: str):
    """(`Way`, floating-point operations of a round, result to compare) of one variant of a line."""
    plain = way != "ours"
    if name == "cmlcl-search":
        return search_way(plain, clips, device)
    return (
        epoch_way(plain, clips, size, device)
        if name in WHOLE
        else step_way(name, plain, split_of(clips), size, device)
    )


def differences(name: str, clips: int, size: int, device: str) -> dict:
    """How far the results of both variants differ; AssertionError if it is more than rounding."""
    one, other = (way_of(name, way, clips, size, device)[2] for way in ("straightforward", "ours"))
    if name == "cmlcl-search":
        differ = float((one != other).double().mean())
        assert differ <= 1e-4, (  # equally near ones may swap places
            f"{name}: {100 * differ} % of the members of the sets differ"
        )
    else:
        differ = abs(one - other)
        assert differ <= 1e-3 * max(1, abs(other)), (
            f"{name}: the first losses are {one} and {other}"
        )
    return {"results_differ_by": differ}


def measure(name: str, way: str, clips: int, size: int, steps: int, device: str) -> dict:
    """One turn of one variant: seconds, operations, memory, and the peak in the same process."""
    made, flops, _ = way_of(name, way, clips, size, device)
    peak = peak_gflops(device=device, seconds=0.5)
    line = take_turns({way: made}, 1, steps, device)[way]
    return {
        "seconds": line["seconds"],
        "step_memory_mb": line["step_memory_mb"],
        "process_peak_memory_mb": peak_memory_mb(device),
        "gflop": flops / 1e9,
        "peak_gflops": peak,
    }


def work(**task) -> dict:
    """The work of a separate process: a turn of one variant, or the difference of both variants."""
    return (measure if "way" in task else differences)(**task)


def fastest(turns: list[dict], peak: float, videos: int) -> dict:
    """The fastest of a variant's turns, with the seconds of all."""
    best = min(turns, key=lambda turn: turn["seconds"])
    gflops = best["gflop"] / best["seconds"]
    return best | {
        "rounds": [turn["seconds"] for turn in turns],
        "gflops": gflops,
        "share_of_peak": gflops / peak,
        "videos_a_second": videos / best["seconds"],
    }


def main() -> None:
    asked = arguments(__doc__, "steps")
    asked.add_argument(
        "--only",
        nargs="+",
        choices=[*METHODS],
        help="these lines; the file keeps the others' results",
    )
    asked.add_argument("--steps", type=int, default=5)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--clips", type=int, default=384)
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(work(**json.loads(args.one))))
    apart = Apart(__file__, work, args.quick)
    before = (
        json.loads(args.out.read_text(encoding="utf-8")) if args.only and args.out.exists() else {}
    )
    found = {"name": "steps", "machine": machine(args.device), "methods": before.get("methods", {})}
    for name in args.only or METHODS:
        clips, size, steps, rounds = (
            (6, 2, 1, 1)
            if args.quick
            else (N if name in WHOLE else args.clips, METHODS[name], args.steps, args.rounds)
        )
        task = {"name": name, "clips": clips, "size": size, "device": args.device}
        alike = apart(**task)
        turns = {way: [] for way in ("straightforward", "ours")}
        for _, way in itertools.product(range(rounds), turns):
            turns[way].append(apart(**task, way=way, steps=steps))
        peak = max(turn["peak_gflops"] for way in turns.values() for turn in way)
        lines = {
            way: fastest(done, peak, clips if name in WHOLE else size)
            for way, done in turns.items()
        }
        found["methods"][name] = lines | {
            "peak_gflops": peak,
            "batch": size,
            "clips": clips,
            **alike,
        }
        ours, plain = lines["ours"], lines["straightforward"]
        print(
            f"{TITLES[name]:28} {1000 * ours['seconds']:7.1f} ms, {ours['videos_a_second']:6.0f}"
            f" videos/s, {100 * ours['share_of_peak']:3.0f} % of the peak,"
            f" {ours['step_memory_mb']:5.0f} MB; straightforward {1000 * plain['seconds']:7.1f} ms,"
            f" ×{plain['seconds'] / ours['seconds']:.2f}",
            flush=True,
        )
    found["rows"] = [
        row(
            TITLES[name] + ("" if name in WHOLE else ": training step"),
            AGAINST.get(name, "clips one by one, plain Adam, memory given back"),
            line["ours"]["seconds"],
            line["straightforward"]["seconds"],
            share_of_peak=line["ours"]["share_of_peak"],
            step_memory_mb=line["ours"]["step_memory_mb"],
            videos_a_second=line["ours"]["videos_a_second"],
        )
        for name, line in (
            (name, found["methods"][name]) for name in METHODS if name in found["methods"]
        )
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
