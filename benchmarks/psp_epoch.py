"""An epoch of psp-full at the official sizes: videos a second, share of the machine's matrix-multiply peak, and what each step gave.

    python benchmarks/psp_epoch.py [--out FILE.json] [--clips 3339] [--batch 128] [--steps 8] [--epoch]

Features are made up (the official ones cannot be had), held as float16 as a pack holds them; their values do not change the time. Each line of the
table runs in a process of its own, and measures the peak of that process, too: matrix products of the size that dominates the step. A step is one
batch: read, forward, backward, update. Time is the median over --steps batches after two that warm up, times the batches of an epoch. --epoch
trains one whole epoch with `avbook.training.fit` as well.
"""
import argparse
import contextlib
import ctypes
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from avbook.machine import device_name, peak_memory_mb, seed_everything
from avbook.recipes import find_recipe

CATEGORIES, SECONDS, SIDE, CHANNELS, AUDIO = 28, 10, 7, 512, 128
STEPS = {  # each with all before it
    "straightforward": {},
    "one gather a batch": {"gather": True},
    "fused Adam, gradients dropped": {"gather": True, "fused": True},
    "freed memory kept": {"gather": True, "fused": True, "keep_memory": True},
    "bfloat16 autocast": {"gather": True, "fused": True, "keep_memory": True, "bf16": True},
}


class Clips:
    """`n` made-up clips at the official sizes, float16 in memory; batches clip by clip, or in one gather."""

    def __init__(self, n: int, gather: bool):
        rng = np.random.default_rng(0)
        self.visual = rng.random((n, SECONDS, SIDE, SIDE, CHANNELS), np.float32).astype(np.float16) if n < 64 else self._tiled(rng, n)
        self.audio = rng.random((n, SECONDS, AUDIO), np.float32).astype(np.float16)
        kinds = np.where(rng.random((n, SECONDS)) < 0.8, rng.integers(0, CATEGORIES, (n, 1)), CATEGORIES)
        self.labels, self.gather = np.eye(CATEGORIES + 1, dtype=np.float32)[kinds], gather

    @staticmethod
    def _tiled(rng, n: int) -> np.ndarray:
        block = rng.random((64, SECONDS, SIDE, SIDE, CHANNELS), np.float32).astype(np.float16)
        out = np.empty((n, *block.shape[1:]), np.float16)
        for start in range(0, n, 64):
            out[start:start + 64] = block[:n - start]
        return out

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows) -> dict[str, torch.Tensor]:
        parts = {"audio": self.audio, "visual": self.visual, "labels": self.labels}
        if self.gather:
            return {name: torch.from_numpy(part[rows]).float() for name, part in parts.items()}
        return {name: torch.stack([torch.from_numpy(part[row].astype(np.float32)) for row in rows]) for name, part in parts.items()}


def keep_freed_memory() -> bool:
    """Lets glibc hold on to large freed blocks, so that each step does not ask the system for the same pages again."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(-3, 2**30)) and bool(libc.mallopt(-1, 2**31 - 1))  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    except OSError:
        return False


def peak_gflops(dtype: torch.dtype, seconds: float = 1.5) -> float:
    """Billions of floating-point operations a second of a product as large as the step's largest: (batch·T·49, 512) by (512, 512)."""
    a, b = torch.randn(62720, 512, dtype=dtype), torch.randn(512, 512, dtype=dtype)
    out, best, end = torch.empty(62720, 512, dtype=dtype), 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or not best:
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = max(best, 2 * 62720 * 512 * 512 / (time.perf_counter() - started) / 1e9)
    return best


def step_flops(net, method, batch) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        method.loss(net, batch)[0].backward()
    net.zero_grad()
    return counter.get_total_flops()


def build():
    recipe = find_recipe("psp-full")
    settings = recipe.preset("paper")
    seed_everything(0)
    return settings, *recipe.build(settings, {"categories": CATEGORIES, "audio_dim": AUDIO, "visual_dim": CHANNELS, "positions": SIDE * SIDE})


def measure(options: dict, clips: int, batch_size: int, steps: int) -> dict:
    """Seconds of each of `steps` batches under these options."""
    kept = options.get("keep_memory", False) and keep_freed_memory()
    _, net, method = build()
    train = Clips(clips, options.get("gather", False))
    fused = options.get("fused", False)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, **({"fused": True} if fused else {"foreach": False, "fused": False}))
    bf16 = options.get("bf16", False)
    peak = {"float32": peak_gflops(torch.float32)} | ({"bfloat16": peak_gflops(torch.bfloat16)} if bf16 else {})
    net.train()
    flops = step_flops(net, method, train.batch(np.arange(min(batch_size, clips))))
    order, times, read = np.random.default_rng(1).permutation(clips), [], []
    for step in range(steps + 2):
        rows = np.take(order, np.arange(step * batch_size, (step + 1) * batch_size), mode="wrap")
        started = time.perf_counter()
        batch = train.batch(rows)
        read.append(time.perf_counter() - started)
        with torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
            loss, _ = method.loss(net, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=fused)
        times.append(time.perf_counter() - started)
    seconds = median(times[2:])
    return {"seconds_a_step": seconds, "reading": median(read[2:]), "videos_a_second": batch_size / seconds, "gflop_a_step": flops / 1e9,
            "gflops": flops / seconds / 1e9, "peak_gflops": peak, "share_of_float32_peak": flops / seconds / 1e9 / peak["float32"],
            "share_of_own_peak": flops / seconds / 1e9 / peak["bfloat16" if bf16 else "float32"],
            "peak_memory_mb": peak_memory_mb(torch.device("cpu")), "memory_kept": kept, "last_loss": float(loss.detach())}


def whole_epoch(clips: int, batch_size: int, precision: str) -> dict:
    """One epoch of `avbook.training.fit`, looks at two small splits included."""
    from types import SimpleNamespace

    from avbook.training import fit

    settings, net, method = build()
    parts = {name: Clips(n, True) for name, n in (("train", clips), ("val", 8), ("test", 8))}
    data = SimpleNamespace(**parts, kind="made up", name="made-up", hash="0")
    result = fit(net, method, data, epochs=1, batch_size=batch_size, lr=settings["lr"], precision=precision, device="cpu", progress=False)
    return {"seconds": result.seconds, "videos_a_second": clips / result.seconds, "peak_memory_mb": result.peak_memory_mb}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "psp_epoch.json")
    asked.add_argument("--clips", type=int, default=3339)
    asked.add_argument("--batch", type=int, default=128)
    asked.add_argument("--steps", type=int, default=8)
    asked.add_argument("--epoch", action="store_true", help="train a whole epoch, too, in float32 and in bfloat16")
    asked.add_argument("--one", help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.one:
        options = json.loads(args.one)
        epoch = options.pop("epoch", None)
        return print(json.dumps(whole_epoch(args.clips, args.batch, epoch) if epoch else measure(options, args.clips, args.batch, args.steps)))

    def apart(options: dict) -> dict:
        command = [sys.executable, __file__, "--one", json.dumps(options), *(f"--{name}={getattr(args, name)}" for name in ("clips", "batch", "steps"))]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    batches = -(-args.clips // args.batch)
    found = {"machine": f"{device_name(torch.device('cpu'))}, {torch.get_num_threads()} threads, {platform.platform()}", "torch": torch.__version__,
             "clips": args.clips, "batch": args.batch, "steps": {}, "load_before": os.getloadavg()[0]}
    first = None
    for name, options in STEPS.items():
        line = apart(options)
        first = first or line["seconds_a_step"]
        found["steps"][name] = line | {"times_faster": first / line["seconds_a_step"], "epoch_seconds": line["seconds_a_step"] * batches}
        print(f"{name:32} {line['seconds_a_step']:6.2f} s a step, {line['videos_a_second']:6.1f} videos/s, epoch {line['seconds_a_step'] * batches:5.0f} s, "
              f"{100 * line['share_of_float32_peak']:3.0f} % of {line['peak_gflops']['float32']:.0f} GFLOP/s (float32), ×{first / line['seconds_a_step']:.2f}", flush=True)
    if args.epoch:
        found["whole_epoch"] = {precision: apart({"epoch": precision}) for precision in ("no", "bf16")}
        for precision, line in found["whole_epoch"].items():
            print(f"fit, one epoch, precision {precision}: {line['seconds']:.0f} s, {line['videos_a_second']:.1f} videos/s, {line['peak_memory_mb']:.0f} MB")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
