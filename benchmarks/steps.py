"""A training step of every method on AVE at the official sizes, as the package does it and as one writes it first: AVEL, PSP full and weak, CMLCL's three.

    python benchmarks/steps.py [--only NAME ...] [--steps 6] [--out FILE.json]

AVE: pictures 10×7×7×512, sound 10×128, float16 in memory as a pack holds them, batch 128 (CMLCL 32), the released widths. Both ways of a line run in
processes of their own, from the same weights on the same rows, and must come to the same first loss (asserted). What "first" means, line by line:
- AVEL, PSP: clips converted and stacked one by one; Adam tensor by tensor; memory that is freed goes back to the system.
- CMLCL represents: the same reading, and Eq. 1-2 as printed, with a second map of d channels for the product of sound and picture.
- CMLCL annotates: every video of a batch and every neighbour of each goes through the annotator, as often as it is named. An epoch of 3,339 videos.
- CMLCL localises: the frozen backbone runs again in every step, instead of once before.
A step is: read a batch, forward, loss, backward, update. `han_step.py` has HAN and MA, `psp_epoch.py` what each ingredient gives PSP.
"""
import contextlib
import json
import time
from statistics import median
from types import SimpleNamespace

import numpy as np

from measure import apart, arguments, flops_of, machine, peak_gflops, peak_memory_mb, row, wait_for, write

CATEGORIES, N = 28, 3339
METHODS = {"avel-full": 128, "avel-weak": 128, "psp-full": 128, "psp-weak": 128, "cmlcl-represent": 32, "cmlcl-annotate": 32, "cmlcl-localise": 32}
AGAINST = {"cmlcl-represent": "clips one by one, Eq. 1-2 as printed", "cmlcl-annotate": "every neighbour through the annotator",
           "cmlcl-localise": "the frozen backbone in every step"}
TITLES = {"avel-full": "AVEL, full", "avel-weak": "AVEL, weak", "psp-full": "PSP, full", "psp-weak": "PSP, weak", "cmlcl-represent": "CMLCL: represent",
          "cmlcl-annotate": "CMLCL: annotate (an epoch)", "cmlcl-localise": "CMLCL: localise"}


# --------------------------------------------------------------------------------------------------------------- data
def split_of(clips: int):
    """A training split of AVE in memory, at the official sizes, its pictures repeated after 64 clips."""
    import torch

    from avbook.ave import AVESplit
    from avbook.held import HeldRows

    rng = np.random.default_rng(0)
    some = torch.from_numpy(rng.random((min(clips, 64), 10, 7, 7, 512), np.float32)).half()
    visual = torch.empty(clips, *some.shape[1:], dtype=torch.float16)
    for start in range(0, clips, len(some)):
        visual[start:start + len(some)] = some[:clips - start]
    audio = torch.from_numpy(rng.random((clips, 10, 128), np.float32)).half()
    kinds = np.where(rng.random((clips, 10)) < 0.8, rng.integers(0, CATEGORIES, (clips, 1)), CATEGORIES)
    labels = np.eye(CATEGORIES + 1, dtype=np.float32)[kinds]
    stores = {name: HeldRows(SimpleNamespace(path=name), part) for name, part in (("audio", audio), ("visual", visual))}
    return AVESplit("train", [f"clip{i:07d}" for i in range(clips)], np.arange(clips), stores, {"labels": labels, "video_labels": labels.mean(1)})


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


# ------------------------------------------------------------------------------------------------------------- methods
def attend_as_printed(self, audio, visual):
    """Eq. 1-2 of CMLCL word by word: sound times picture as a map of d channels, a layer to one number, softmax over positions."""
    import torch

    *lead, height, width, dim = visual.shape
    sound = torch.relu(self.audio(audio)).unsqueeze(-2)
    pixels = visual.reshape(*lead, height * width, dim)
    weights = self.score(sound * torch.relu(self.visual(pixels))).squeeze(-1).softmax(-1)
    return (weights.unsqueeze(-1) * pixels).sum(-2), weights.view(*lead, height, width)


def supervised(name: str, plain: bool):
    """(network, method, batches, optimiser) of AVEL or PSP."""
    from avbook.recipes import find_recipe

    recipe = find_recipe(name)
    settings = recipe.preset("paper")
    net, method = recipe.build(settings, {"categories": CATEGORIES, "audio_dim": 128, "visual_dim": 512, "positions": 49})
    return net, method, lambda split: OneByOne(split) if plain else split


def representing(plain: bool):
    from avbook.collaborate import Collaborator, RepresentMethod, SpatialAttention, Unlabelled

    if plain:
        SpatialAttention.forward = attend_as_printed
    return Collaborator(), RepresentMethod(N), lambda split: Unlabelled(OneByOne(split) if plain else split)


def localising(plain: bool):
    """The localiser alone on features kept from before; or, plain, behind the frozen backbone."""
    import torch

    from avbook.cmlcl import LocaliseMethod
    from avbook.collaborate import Collaborator, segment_features
    from avbook.localise import Localiser

    backbone, net, method = Collaborator().eval(), Localiser(1024), LocaliseMethod()

    class Features:
        def __init__(self, split):
            self.split, self.labels = split, torch.eye(CATEGORIES)[torch.arange(len(split)) % CATEGORIES]
            self.features = None if plain else segment_features(backbone, split, 64, "cpu")

        def __len__(self) -> int:
            return len(self.split)

        def batch(self, rows):
            rows = torch.as_tensor(np.asarray(rows))
            if self.features is not None:
                return {"features": self.features[rows], "targets": self.labels[rows]}
            with torch.no_grad():
                return {"features": backbone.features(backbone(self.split.batch(rows))), "targets": self.labels[rows]}

    return net, method, Features


def epoch_as_written(net, optimizer, x, near, far, batches, through_neighbours, options) -> dict[str, float]:
    """`annotator_epoch` without sorting out who is asked for twice."""
    import torch

    from avbook.label_contrast import label_loss

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


# ------------------------------------------------------------------------------------------------------------- measure
def measure_steps(name: str, plain: bool, clips: int, size: int, steps: int, device: str) -> dict:
    """What a step takes; `first_loss` is that of the first batch from the first weights."""
    import torch

    from avbook.machine import freed_memory_kept, seed_everything
    from avbook.training import make_optimizer

    seed_everything(0)
    net, method, source = {"cmlcl-represent": representing, "cmlcl-localise": localising}.get(name, lambda plain: supervised(name, plain))(plain)
    net.to(device).train()
    train = source(split_of(clips))
    if plain and not name.startswith("cmlcl"):
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, foreach=False, fused=False)
    else:
        optimizer = make_optimizer(net, method, "adam", 1e-3, 0.0)
    get = lambda rows: {name: part.to(device) for name, part in train.batch(rows).items()}  # noqa: E731
    order, seconds, reading = np.random.default_rng(1).permutation(clips), [], []
    probe = get(order[:min(size, clips)])
    net.eval()  # dropout draws its numbers in another order where steps differ
    with torch.no_grad():
        first = float(method.loss(net, probe)[0])
    net.train()
    flops = flops_of(lambda: method.loss(net, probe)[0].backward())
    net.zero_grad()
    with contextlib.nullcontext() if plain else freed_memory_kept(torch.device(device)):
        for step in range(steps + 2):
            rows = np.take(order, np.arange(step * size, (step + 1) * size), mode="wrap")
            wait_for(device)
            started = time.perf_counter()
            batch = get(rows)
            reading.append(time.perf_counter() - started)
            loss, _ = method.loss(net, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            wait_for(device)
            seconds.append(time.perf_counter() - started)
        peak = peak_gflops(device=device)
    a_step = median(seconds[2:])
    return {"seconds": a_step, "reading": median(reading[2:]), "videos_a_second": size / a_step, "gflop_a_step": flops / 1e9, "gflops": flops / a_step / 1e9,
            "peak_gflops": peak, "share_of_peak": flops / a_step / 1e9 / peak, "peak_memory_mb": peak_memory_mb(device), "first_loss": first}


def measure_annotator(plain: bool, clips: int, size: int, steps: int, device: str) -> dict:
    """What an epoch of the annotator takes, over `clips` videos with 30 neighbours near and far."""
    import torch

    from avbook.label_contrast import Annotator, annotator_epoch
    from avbook.machine import freed_memory_kept, seed_everything
    from avbook.neighbours import contrastive_sets
    from avbook.training import make_optimizer, shuffled_batches

    seed_everything(0)
    x = torch.randn(clips, 1024)
    sets = contrastive_sets(x, min(30, clips - 1), device="cpu")
    net = Annotator(1024, 512, CATEGORIES).to(device)
    optimizer, x = make_optimizer(net, None, "sgd", 0.05, 0.0), x.to(device)
    near, far = sets.affinity.to(device), sets.repulsion.to(device)
    batches, run = shuffled_batches(clips, size, 0, 1), epoch_as_written if plain else annotator_epoch
    flops = flops_of(lambda: run(net, optimizer, x, near, far, batches, True, {}))
    seed_everything(0)
    net = Annotator(1024, 512, CATEGORIES).to(device)
    optimizer, seconds, losses = make_optimizer(net, None, "sgd", 0.05, 0.0), [], []
    with contextlib.nullcontext() if plain else freed_memory_kept(torch.device(device)):
        for _ in range(max(2, steps // 2)):
            wait_for(device)
            started = time.perf_counter()
            losses.append(run(net, optimizer, x, near, far, batches, True, {})["loss"])
            wait_for(device)
            seconds.append(time.perf_counter() - started)
        peak = peak_gflops(device=device)
    epoch = median(seconds)
    return {"seconds": epoch, "videos_a_second": clips / epoch, "gflop_a_step": flops / len(batches) / 1e9, "gflops": flops / epoch / 1e9, "peak_gflops": peak,
            "share_of_peak": flops / epoch / 1e9 / peak, "peak_memory_mb": peak_memory_mb(device), "first_loss": losses[0]}


def main() -> None:
    asked = arguments(__doc__, "steps")
    asked.add_argument("--only", nargs="+", choices=[*METHODS], help="these lines; the file keeps the others' figures")
    asked.add_argument("--steps", type=int, default=6)
    asked.add_argument("--clips", type=int, default=512)
    args = asked.parse_args()
    if args.one:
        task = json.loads(args.one)
        return print(json.dumps(measure_annotator(**task) if task.pop("name") == "cmlcl-annotate" else measure_steps(**json.loads(args.one))))
    before = json.loads(args.out.read_text(encoding="utf-8")) if args.only and args.out.exists() else {}
    found = {"name": "steps", "machine": machine(args.device), "methods": before.get("methods", {})}
    for name in args.only or METHODS:
        clips, size, steps = (6, 2, 1) if args.quick else (N if name == "cmlcl-annotate" else args.clips, METHODS[name], args.steps)
        straight, ours = (apart(__file__, {"name": name, "plain": plain, "clips": clips, "size": size, "steps": steps, "device": args.device})
                          for plain in (True, False))
        differ = abs(straight["first_loss"] - ours["first_loss"])
        assert differ <= 1e-3 * max(1, abs(ours["first_loss"])), f"{name}: the first losses are {straight['first_loss']} and {ours['first_loss']}"
        found["methods"][name] = {"straightforward": straight, "ours": ours, "batch": size, "clips": clips, "losses_differ_by": differ}
        print(f"{TITLES[name]:28} {1000 * ours['seconds']:7.1f} ms, {ours['videos_a_second']:6.0f} videos/s, {100 * ours['share_of_peak']:3.0f} % of the peak, "
              f"{ours['peak_memory_mb']:5.0f} MB; straightforward {1000 * straight['seconds']:7.1f} ms, ×{straight['seconds'] / ours['seconds']:.2f}", flush=True)
    found["rows"] = [row(f"{TITLES[name]}: training step" if "epoch" not in TITLES[name] else TITLES[name], AGAINST.get(name, "clips one by one, plain Adam, memory given back"),
                         line["ours"]["seconds"], line["straightforward"]["seconds"], share_of_peak=line["ours"]["share_of_peak"],
                         peak_memory_mb=line["ours"]["peak_memory_mb"], videos_a_second=line["ours"]["videos_a_second"])
                     for name, line in ((name, found["methods"][name]) for name in METHODS if name in found["methods"])]
    write(args.out, found)


if __name__ == "__main__":
    main()
