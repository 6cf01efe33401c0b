"""A profile of a training step of the quick presets, which all tables of the embedded world use.

    OMP_NUM_THREADS=1 python benchmarks/quick_step.py [--steps 60] [--out FILE.json]

The small world, the quick preset, one thread, as in the runs of a table. A step is timed without
the profiler (the median); its parts are shares of PyTorch's profile of other steps, each operator's
own time, including backward. `share_of_peak` uses PyTorch's count of floating-point operations in
matrix products, without LSTMs.

`attempts` are ways to save time in PSP's step without changing a bit of the result, which is
asserted; each takes turns with the package's own code."""

import itertools
import json
from collections import defaultdict

import numpy as np
from measure import Way, arguments, flops_of, machine, middle, peak_gflops, row, take_turns, write

RECIPES = ("psp-full", "psp-weak", "cmran-full", "han", "ma")
PARTS = {  # words in an operator's name -> part; the first match counts
    "matrix products": ("mm", "matmul", "linear"),
    "LSTM": ("rnn", "lstm"),
    "dropout masks": ("bernoulli",),
    "activations": ("threshold", "relu", "clamp", "tanh", "sigmoid", "softmax", "gelu"),
    "reading and copies": ("copy", "index", "cat", "stack", "clone", "gather", "contiguous"),
    "optimiser": ("adam", "Optimizer"),
}
REST = "all else"


def part_of(operator: str) -> str:
    """The part of a step that an operator belongs to."""
    for part, words in PARTS.items():
        if any(word in operator for word in words):
            return part
    return REST


def measure(name: str, steps: int, size: str) -> dict:
    """A recipe's step: seconds, and the share of each part."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from avbook.experiments.datasets import data_dims
    from avbook.experiments.recipes import find_recipe
    from avbook.training.device import retain_freed_memory, seed_everything
    from avbook.training.loop import make_optimizer

    torch.set_num_threads(1)
    recipe = find_recipe(name)
    settings, data = recipe.preset("quick"), recipe.open_data(f"world:{size}")
    seed_everything(0)
    net, method = recipe.build(settings, data_dims(data))
    optimizer = make_optimizer(net, method, "adam", settings["lr"], 0.0)
    order = itertools.cycle(np.random.default_rng(1).permutation(len(data.train)))
    net.train()

    def step():
        batch = data.train.batch(list(itertools.islice(order, settings["batch_size"])))
        method.loss(net, batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    flops = flops_of(step)
    with retain_freed_memory(torch.device("cpu")):
        seconds = middle(step, steps, warm=5)
        peak = peak_gflops()
        with profile(activities=[ProfilerActivity.CPU]) as told:
            for _ in range(max(1, steps // 4)):
                step()
    own: dict[str, float] = defaultdict(float)
    for event in told.key_averages():
        own[part_of(event.key)] += event.self_cpu_time_total
    total = sum(own.values())
    return {
        "seconds": seconds,
        "batch": settings["batch_size"],
        "gflop": flops / 1e9,
        "peak_gflops": peak,
        "share_of_peak": flops / 1e9 / seconds / peak,
        "parts": {part: own[part] / total for part in (*PARTS, REST)},
    }


# ---------------------------------------------------------------------------------------- attempts
def in_place(attention, audio, visual):
    """The attention's output; the backward pass overwrites what it no longer needs."""
    import torch

    aten = torch.ops.aten

    class Scores(torch.autograd.Function):
        @staticmethod
        def forward(ctx, pixels, weight, bias, visual_units, sound, score):
            clips, positions = sound.shape
            u = torch.addmm(bias, pixels, weight.t()).relu_()
            units = torch.mm(u, visual_units.t()).view(clips, positions, positions)
            units.add_(sound.unsqueeze(2)).tanh_()
            ctx.save_for_backward(pixels, u, units.view(-1, positions), visual_units, score)
            return torch.matmul(units.view(-1, positions), score.t()).view(clips, positions)

        @staticmethod
        def backward(ctx, grad):
            pixels, u, units, visual_units, score = ctx.saved_tensors
            clips, positions = grad.shape
            column = grad.reshape(-1, 1)
            inner = torch.mm(column, score)
            aten.tanh_backward.grad_input(inner, units, grad_input=inner)
            of_u = torch.mm(inner, visual_units)
            aten.threshold_backward.grad_input(of_u, u, 0, grad_input=of_u)
            return (
                None,
                torch.mm(of_u.t(), pixels),
                of_u.sum(0),
                torch.mm(inner.t(), u),
                inner.view(clips, positions, positions).sum(2),
                torch.mm(column.t(), units),
            )

    pixels = visual.detach().flatten(0, 1).flatten(1, 2)  # (BT, P, dv)
    sound = torch.relu(attention.audio(audio)).flatten(0, 1)
    weights = Scores.apply(
        pixels.flatten(0, 1),
        attention.visual.weight,
        attention.visual.bias,
        attention.visual_units.weight,
        attention.audio_units(sound),
        attention.score.weight,
    ).softmax(-1)
    return torch.bmm(weights.unsqueeze(1), pixels).view(*visual.shape[:2], -1)


def attempts(rounds: int, steps: int) -> dict:
    """The seconds of the package's code and of each attempt."""
    import torch

    from avbook.supervised.attention import AudioGuidedAttention
    from avbook.training.device import retain_freed_memory

    torch.manual_seed(0)
    attention = AudioGuidedAttention(64, 64, 49, 64)
    audio = torch.randn(32, 10, 64)
    several = itertools.cycle([torch.randn(32, 10, 7, 7, 64) for _ in range(8)])  # beyond the cache
    mask, keep, entries = torch.empty(320, 128), 0.9, 320 * 128

    def package(visual):
        return attention(audio, visual)[0]

    def pieces(visual):
        parts = zip(audio.split(8), visual.split(8))
        return torch.cat([attention(sound, picture)[0] for sound, picture in parts])

    def tried(visual):
        return in_place(attention, audio, visual)

    def backward(way):
        attention.zero_grad()
        out = way(next(several))
        (out * out).sum().backward()
        return [out, *(p.grad for p in attention.parameters())]

    def forward(way):
        with torch.no_grad():
            return way(next(several))

    def flushed(way, on: bool):
        torch.set_flush_denormal(on)
        way()
        torch.set_flush_denormal(False)

    one = next(several)
    several = itertools.chain([one, one], several)
    assert all(map(torch.equal, backward(package), backward(tried)))
    assert torch.equal(package(one), pieces(one))
    torch.manual_seed(1)
    drawn = mask.bernoulli_(keep).clone()
    torch.manual_seed(1)
    assert torch.equal(drawn, (torch.rand(320, 128, dtype=torch.float64) < keep).float())

    found = {}
    for name, now, other in (
        (
            "attention, forward and backward: one function, in place",
            lambda: backward(package),
            lambda: backward(tried),
        ),
        (
            "attention, forward: pieces of 8 clips",
            lambda: forward(package),
            lambda: forward(pieces),
        ),
        (
            "attention, forward and backward: subnormal numbers as zero",
            lambda: backward(package),
            lambda: flushed(lambda: backward(package), True),
        ),
        (
            f"mask of {entries:,} entries: doubles, compared",
            lambda: mask.bernoulli_(keep),
            lambda: torch.lt(torch.rand(320, 128, dtype=torch.float64), keep, out=mask),
        ),
    ):
        with retain_freed_memory(torch.device("cpu")):
            turns = take_turns({"now": Way(now), "tried": Way(other)}, rounds, steps)
        found[name] = {way: line["seconds"] for way, line in turns.items()}
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    return found


def main() -> None:
    asked = arguments(__doc__, "quick_step", device=False)
    asked.add_argument("--steps", type=int, default=60)
    args = asked.parse_args()
    steps, size = (2, "tiny") if args.quick else (args.steps, "small")
    found: dict = {"name": "quick_step", "machine": machine(), "recipes": {}, "rows": []}
    for name in RECIPES:
        line = found["recipes"][name] = measure(name, steps, size)
        print(f"{name}: {json.dumps(line)}", flush=True)
        found["rows"].append(
            row(
                f"{name}: training step, quick preset",
                "",
                line["seconds"],
                None,
                share_of_peak=line["share_of_peak"],
            )
        )
    found["attempts"] = attempts(*((1, 1) if args.quick else (4, steps // 2)))
    write(args.out, found)


if __name__ == "__main__":
    main()
