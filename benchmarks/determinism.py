"""The effect of threads, kernels, a kill and a parallel run on the front page's number, besides the
seed.

    python benchmarks/determinism.py [--out FILE.json]

The job is the front page's eight lines: PSP on the world, 12 epochs. It runs over seeds under each
condition, then again for the first seed: repeated, killed by SIGKILL in the middle of an epoch and
continued, and two seeds at a time. Every run is its own process. Two runs are bit-equal if all
losses, the predictions and all weights are (`sha256`). In place of another processor, the variables
of `AVX2` make PyTorch, oneDNN and MKL compute as on one without AVX-512."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from measure import ROOT, arguments, machine, row, write

ONE = {"OMP_NUM_THREADS": "1"}
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
CONDITIONS = {
    "one thread": ONE,
    # waiting threads sleep: beside other work spinning takes ten times as long
    "two threads": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    "AVX2 kernels": ONE | AVX2,
}


# ------------------------------------------------------------------------------- in a process apart
def train(seed: int, epochs: int, data: str, out: str | None, kill_at: int | None) -> dict:
    """Runs the front page's eight lines and returns the results; `kill_at` is the step at which the
    process is killed."""
    import torch

    from avbook import PSP, PSPMethod, fit, seed_everything
    from avbook.experiments.recipes import find_recipe

    started = time.perf_counter()
    seed_everything(seed)
    clips = find_recipe("psp-full").open_data(data)
    net = PSP(visual_dim=64, attention_dim=64, bottleneck=64, width=64, hidden=64)
    method = PSPMethod()
    if kill_at is not None:
        method.loss = _killing(method.loss, kill_at)
    result = fit(
        net, method, clips, epochs=epochs, batch_size=32, seed=seed, out=out, progress=False
    )
    losses = [entry["loss"] for entry in result.history]
    return {
        "seed": seed,
        "accuracy": result.metrics["test"]["val_selected"]["accuracy"],
        "losses": losses,
        "sha256": digest(losses, result),
        "threads": torch.get_num_threads(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "seconds": time.perf_counter() - started,
    }


def digest(losses: list[float], result) -> str:
    """One hash of every loss, every test prediction and every weight of the three selections."""
    found = hashlib.sha256(json.dumps(losses).encode())
    for selection in sorted(result.weights):
        found.update(result.predictions[selection].numpy().tobytes())
        for name, tensor in sorted(result.weights[selection].items()):
            found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()[:16]


def _killing(loss, step: int):
    """The loss, with a kill of its process at the given call, as by `kill -9`."""
    calls = 0

    def fatal(net, batch):
        nonlocal calls
        calls += 1
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(net, batch)

    return fatal


# ----------------------------------------------------------------------------------------- here
def apart(environment: dict[str, str], killed: bool = False, **task) -> dict | None:
    """The result of a process with these variables; None if it was killed on purpose."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", json.dumps({"out": None, "kill_at": None} | task)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    if killed and done.returncode == -signal.SIGKILL:
        return None
    if done.returncode or killed:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"determinism.py --one {json.dumps(task)}: {last}")
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        f"seed {found['seed']}: {found['accuracy']:.2f} % on {found['threads']} threads,"
        f" {found['kernels']}, {found['sha256']}, {found['seconds']:.0f} s",
        flush=True,
    )
    return found


def over_seeds(seeds: list[int], **task) -> dict[str, dict]:
    """For each condition its variables, one run per seed, and the first seed's run repeated."""
    found = {}
    for name, environment in CONDITIONS.items():
        print(name, flush=True)
        runs = [apart(environment, seed=seed, **task) for seed in seeds]
        again = apart(environment, seed=seeds[0], **task)
        found[name] = {"environment": environment, "runs": runs, "again": again}
    return found


def continued(steps: int, seed: int, **task) -> dict:
    """A run that is killed at that step, then started again."""
    print("killed and continued", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        apart(ONE, True, seed=seed, out=folder, kill_at=steps, **task)
        if not Path(folder, "state.safetensors").exists():
            raise RuntimeError("killed before the first checkpoint: nothing is continued")
        return apart(ONE, seed=seed, out=folder, **task)


def side_by_side(seeds: list[int], **task) -> list[dict]:
    """Two runs at a time."""
    print("two at a time", flush=True)
    with ThreadPoolExecutor(2) as pool:
        return [*pool.map(lambda seed: apart(ONE, seed=seed, **task), seeds)]


def main() -> None:
    from avbook.experiments.recipes import find_recipe

    asked = arguments(__doc__, "determinism", device=False)
    args = asked.parse_args()
    if args.one:
        print(json.dumps(train(**json.loads(args.one))))
        return
    task = {"epochs": 2, "data": "world:tiny"} if args.quick else {"epochs": 12, "data": "world"}
    seeds = [0, 1] if args.quick else [0, 1, 2, 3, 4]
    clips = find_recipe("psp-full").open_data(task["data"])  # makes the world if it does not exist
    steps = -(-len(clips.train) // 32)
    found = {"name": "determinism", "machine": machine("cpu"), **task, "seeds": seeds}
    found["conditions"] = over_seeds(seeds, **task)
    found["continued"] = continued(steps * task["epochs"] // 2 + 2, seeds[0], **task)
    found["side_by_side"] = side_by_side(seeds[:2], **task)
    found["rows"] = [
        row(
            f"the front page's eight lines: {name}",
            "",
            median(run["seconds"] for run in lines["runs"]),
            None,
        )
        for name, lines in found["conditions"].items()
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
