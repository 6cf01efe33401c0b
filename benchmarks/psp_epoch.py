"""An epoch of psp-full at the official sizes: videos per second, share of the machine's
matrix-multiply peak, and the gain of each step.

    python benchmarks/psp_epoch.py [--out FILE.json] [--clips 3339] [--batch 128] [--steps 8]
        [--only steps | epochs]

Features are made up (the official ones are not available), held as float16 as in a pack; their
values do not change the time. Each line of the table runs in its own process, and also measures the
peak of that process: matrix products of the size that dominates the step. A step is one batch:
read, forward, backward, update. The time is the median over --steps batches after two warm-up
batches, multiplied by the batches of an epoch. Then whole epochs are trained with
`avbook.training.loop.fit`, which includes all ingredients of the table, with a small validation and
test split. --only runs one half and leaves the other's results in the file. Called again on the
same file and machine it adds a round: a line's times are those of its fastest round, its peak is
the highest of all rounds, and `rounds` holds the seconds of each, since a shared machine is slow at
times."""

import contextlib
import itertools
import json
import os
import time
from statistics import median
from types import SimpleNamespace

import numpy as np
import torch
from measure import (
    Apart,
    arguments,
    flops_of,
    machine,
    middle,
    peak_gflops,
    peak_memory_mb,
    row,
    write,
)

from avbook.data.cache import CachedStore
from avbook.experiments.recipes import find_recipe
from avbook.supervised.attention import AudioGuidedAttention
from avbook.training.device import retain_freed_memory, seed_everything

CATEGORIES, SECONDS, SIDE, CHANNELS, AUDIO = 28, 10, 7, 512, 128
CPU = torch.device("cpu")
STEPS = {  # each includes all before it
    "straightforward": {},
    "one gather a batch": {"gather": True},
    "ReLU on the flat product": {"gather": True, "flat": True},
    "fused Adam, gradients dropped": {"gather": True, "flat": True, "fused": True},
    "freed memory kept": {"gather": True, "flat": True, "fused": True, "keep_memory": True},
    "bfloat16 autocast": {
        "gather": True,
        "flat": True,
        "fused": True,
        "keep_memory": True,
        "bf16": True,
    },
}
SHOWN = (
    "straightforward",
    "freed memory kept",
    "bfloat16 autocast",
)  # in the table of all benchmarks
EPOCHS = {  # through `fit`: its precision, and the value of AVBOOK_KEEP_MEMORY
    "float32, freed memory given back": ("no", "0"),
    "float32": ("no", "1"),
    "bfloat16 autocast": ("bf16", "1"),
}


class Clips:
    """`n` made-up clips at the official sizes, float16 in memory; batches clip by clip, or in one
    gather by the package's own store."""

    def __init__(self, n: int, gather: bool):
        rng = np.random.default_rng(0)
        self.visual = (
            rng.random((n, SECONDS, SIDE, SIDE, CHANNELS), np.float32).astype(np.float16)
            if n < 64
            else self._tiled(rng, n)
        )
        self.audio = rng.random((n, SECONDS, AUDIO), np.float32).astype(np.float16)
        kinds = np.where(
            rng.random((n, SECONDS)) < 0.8, rng.integers(0, CATEGORIES, (n, 1)), CATEGORIES
        )
        self.labels, self.gather = np.eye(CATEGORIES + 1, dtype=np.float32)[kinds], gather

    @staticmethod
    def _tiled(rng, n: int) -> np.ndarray:
        block = rng.random((64, SECONDS, SIDE, SIDE, CHANNELS), np.float32).astype(np.float16)
        out = np.empty((n, *block.shape[1:]), np.float16)
        for start in range(0, n, 64):
            out[start : start + 64] = block[: n - start]
        return out

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows) -> dict[str, torch.Tensor]:
        parts = {"audio": self.audio, "visual": self.visual, "labels": self.labels}
        if self.gather:
            return {
                name: CachedStore(SimpleNamespace(path=name), torch.from_numpy(part)).read(rows)
                for name, part in parts.items()
            }
        return {
            name: torch.stack([torch.from_numpy(part[row].astype(np.float32)) for row in rows])
            for name, part in parts.items()
        }


def attend_on_view(self, audio, visual):
    """`AudioGuidedAttention.forward` with the ReLU written over a view of the product, for which
    autograd copies the whole gradient."""
    batch, seconds = visual.shape[:2]
    pixels = visual.detach().reshape(batch * seconds, -1, visual.shape[-1])
    u, g = torch.relu_(self.visual(pixels)), torch.relu_(self.audio(audio)).flatten(0, 1)
    weights = (
        self.score(torch.tanh(self.visual_units(u) + self.audio_units(g).unsqueeze(2)))
        .squeeze(2)
        .softmax(-1)
    )
    attended = torch.bmm(weights.unsqueeze(1), pixels.to(weights.dtype)).view(batch, seconds, -1)
    return attended, weights.view(batch, seconds, -1)


def build():
    recipe = find_recipe("psp-full")
    settings = recipe.preset("paper")
    seed_everything(0)
    return settings, *recipe.build(
        settings,
        {
            "categories": CATEGORIES,
            "audio_dim": AUDIO,
            "visual_dim": CHANNELS,
            "positions": SIDE * SIDE,
        },
    )


def time_steps(options: dict, clips: int, batch_size: int, steps: int) -> dict:
    """The time of a step with these options, the median over `steps` batches; operations, memory,
    and the peak of matrix products in the same process."""
    if not options.get("flat"):
        AudioGuidedAttention.forward = attend_on_view
    _, net, method = build()
    train = Clips(clips, options.get("gather", False))
    fused, bf16 = options.get("fused", False), options.get("bf16", False)
    optimizer = torch.optim.Adam(
        net.parameters(),
        lr=1e-3,
        **({"fused": True} if fused else {"foreach": False, "fused": False}),
    )
    rows = batch_size * SECONDS * SIDE * SIDE  # rows of the step's largest product
    peak = {
        kind: peak_gflops(kind, rows=rows, seconds=1.5)
        for kind in ("float32", *(("bfloat16",) if bf16 else ()))
    }
    net.train()
    flops = flops_of(
        lambda: method.loss(net, train.batch(np.arange(min(batch_size, clips))))[0].backward()
    )
    net.zero_grad()
    order, reading, losses = itertools.cycle(np.random.default_rng(1).permutation(clips)), [], []

    def step():
        started = time.perf_counter()
        batch = train.batch(np.array(list(itertools.islice(order, batch_size))))
        reading.append(time.perf_counter() - started)
        with torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
            loss, _ = method.loss(net, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=fused)
        losses.append(loss.detach())

    with (
        retain_freed_memory(CPU) if options.get("keep_memory") else contextlib.nullcontext(False)
    ) as kept:
        seconds = middle(step, steps, warm=2)
    return {
        "memory_kept": kept,
        "seconds_a_step": seconds,
        "reading": median(reading[2:]),
        "videos_a_second": batch_size / seconds,
        "gflop_a_step": flops / 1e9,
        "gflops": flops / seconds / 1e9,
        "peak_gflops": peak,
        "peak_memory_mb": peak_memory_mb(),
        "last_loss": float(losses[-1]),
    }


def whole_epoch(precision: str, keep: str, clips: int, batch_size: int) -> dict:
    """One epoch of `avbook.training.loop.fit`, including evaluation of two small splits."""
    from avbook.training.loop import fit

    os.environ["AVBOOK_KEEP_MEMORY"] = keep
    settings, net, method = build()
    parts = {name: Clips(n, True) for name, n in (("train", clips), ("val", 8), ("test", 8))}
    data = SimpleNamespace(**parts, kind="made up", name="made-up", hash="0")
    result = fit(
        net,
        method,
        data,
        epochs=1,
        batch_size=batch_size,
        lr=settings["lr"],
        precision=precision,
        device="cpu",
        progress=False,
    )
    return {
        "seconds": result.seconds,
        "videos_a_second": clips / result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
    }


def work(**task) -> dict:
    """The work of a separate process: some steps, or a whole epoch."""
    return (time_steps if "options" in task else whole_epoch)(**task)


def better(before: dict | None, now: dict, key: str) -> dict:
    """The faster of a line's rounds, with the seconds of all and the highest peak of any."""
    rounds = [*(before["rounds"] if before else []), now[key]]
    best = now if before is None or now[key] <= before[key] else before
    if before and "peak_gflops" in now:
        best["peak_gflops"] = {
            name: max(before["peak_gflops"][name], value)
            for name, value in now["peak_gflops"].items()
        }
    return best | {"rounds": rounds}


def rows_of(lines: dict[str, dict]) -> list[dict]:
    first = lines["straightforward"]["seconds_a_step"]
    return [
        row(
            f"PSP, full: ingredient by ingredient, {title}",
            "clips one by one, plain Adam, memory given back",
            lines[name]["seconds_a_step"],
            first,
            share_of_peak=lines[name]["share_of_own_peak"],
            peak_memory_mb=lines[name]["peak_memory_mb"],
            videos_a_second=lines[name]["videos_a_second"],
        )
        for name, title in zip(SHOWN[1:], ("float32", "bfloat16"))
    ]


def main() -> None:
    asked = arguments(__doc__, "psp_epoch", device=False)
    asked.add_argument("--clips", type=int, default=3339)
    asked.add_argument("--batch", type=int, default=128)
    asked.add_argument("--steps", type=int, default=8)
    asked.add_argument(
        "--only", choices=("steps", "epochs"), help="one half; the other's results stay in the file"
    )
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(work(**json.loads(args.one))))
    clips, batch, steps = (4, 2, 1) if args.quick else (args.clips, args.batch, args.steps)
    apart = Apart(
        __file__, work
    )  # never in this process, since a line may replace a method of the package
    found = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    about, now = {"name": "psp_epoch", "clips": clips, "batch": batch}, machine()
    same = all(
        found.get("machine", {}).get(key) == now[key]
        for key in ("device", "threads", "platform", "torch")
    )
    found = {**(found if same and about.items() <= found.items() else about), "machine": now}
    if args.only != "epochs":
        lines = found.setdefault("steps", {})
        for name, options in (
            (name, options) for name, options in STEPS.items() if name in SHOWN or not args.quick
        ):
            lines[name] = line = better(
                lines.get(name),
                apart(options=options, clips=clips, batch_size=batch, steps=steps),
                "seconds_a_step",
            )
            own = list(line["peak_gflops"])[-1]
            peak = max(other["peak_gflops"].get(own, 0) for other in lines.values())
            line |= {
                "times_faster": lines["straightforward"]["seconds_a_step"] / line["seconds_a_step"],
                "share_of_own_peak": line["gflops"] / peak,
                "epoch_seconds": line["seconds_a_step"] * -(-clips // batch),
            }
            print(
                f"{name:32} {line['seconds_a_step']:6.2f} s a step, {line['videos_a_second']:6.1f}"
                f" videos/s, epoch {line['epoch_seconds']:5.1f} s,"
                f" {100 * line['share_of_own_peak']:3.0f} % of {peak:.0f} GFLOP/s ({own}),"
                f" {line['peak_memory_mb']:.0f} MB, ×{line['times_faster']:.2f}",
                flush=True,
            )
    if args.only != "steps":
        lines = found.setdefault("epochs", {})
        for name, (precision, keep) in {} if args.quick else EPOCHS.items():
            lines[name] = line = better(
                lines.get(name),
                apart(precision=precision, keep=keep, clips=clips, batch_size=batch),
                "seconds",
            )
            print(
                f"fit, one epoch, {name:32} {line['seconds']:5.1f} s,"
                f" {line['videos_a_second']:6.1f} videos/s, {line['peak_memory_mb']:.0f} MB",
                flush=True,
            )
    write(
        args.out, found | ({"rows": rows_of(found["steps"])} if "steps" in found else {"rows": []})
    )


if __name__ == "__main__":
    main()
