"""Common parts of all benchmarks: the machine's description, its matrix-multiply peak, separate
processes, time, memory, the JSON records.

A ratio always compares two ways to do the same work, measured in one run on one machine. A share of
the peak is the work's floating-point operations per second divided by those of large matrix
products (`peak_gflops`), measured in the same run."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


# ------------------------------------------------------------------------------------------ machine
def machine(
    device: str = "cpu",
) -> dict[str, Any]:
    """The circumstances of a measurement besides the code: the device's name, threads, versions,
    the load before the first measurement, the day."""
    import numpy
    import torch

    from avbook.training.device import device_name

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "load_before": load,
        "day": datetime.now(timezone.utc).date().isoformat(),
    }


def peak_memory_mb(
    device: str = "cpu",
) -> float:
    """Peak memory in megabytes: of the card, else of this process since its start (only its own
    pages, not those of its parent)."""
    import torch

    from avbook.training.device import peak_memory_mb as by_system

    status = Path("/proc/self/status")
    if torch.device(device).type == "cpu" and status.exists():
        found = [
            line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")
        ]
        if found:
            return int(found[0]) / 2**10
    return by_system(torch.device(device))


def wait_for(
    device: str,
) -> None:
    """Returns when the device has finished its work."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


# --------------------------------------------------------------------------------------------- work
def peak_gflops(
    dtype: str = "float32",
    device: str = "cpu",
    rows: int = 16384,
    # AVBOOK_PEAK_SECONDS in the environment comes first: tests need no result, and no wait
    seconds: float = 1.0,
) -> float:
    """The best rate, in billions of floating-point operations per second, of a product (rows, 512)
    by (512, 512): the size in nets of width 512."""
    import torch

    seconds = float(os.environ.get("AVBOOK_PEAK_SECONDS", seconds))
    kind = getattr(torch, dtype)
    a, b = (torch.randn(size, 512, device=device).to(kind) for size in (rows, 512))
    out, best, end = (
        torch.empty(rows, 512, dtype=kind, device=device),
        0.0,
        time.perf_counter() + seconds,
    )
    torch.mm(a, b, out=out)
    while time.perf_counter() < end or not best:
        best = max(
            best, 2 * rows * 512 * 512 / seconds_of(lambda: torch.mm(a, b, out=out), device) / 1e9
        )
    return best


def flops_of(
    work: Callable[[], Any],
) -> int:
    """Floating-point operations of the matrix products in the work, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def seconds_of(
    work: Callable[[], Any],
    device: str = "cpu",
) -> float:
    """The duration of the work, including the device's part, in seconds."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def times(
    work: Callable[[], Any],
    repeat: int,
    warm: int = 1,  # warm-up rounds
    device: str = "cpu",
) -> list[float]:
    """Seconds of each of `repeat` rounds."""
    return [seconds_of(work, device) for _ in range(warm + repeat)][warm:]


def middle(
    work: Callable[[], Any],
    repeat: int,
    warm: int = 1,
    device: str = "cpu",
) -> float:
    """The median seconds of a round."""
    return median(times(work, repeat, warm, device))


class Way:
    """One way to do a step, with its conditions while it is timed."""

    def __init__(
        self,
        step: Callable[[], Any],  # does one whole step
        # whether freed memory stays with the process meanwhile, see
        # `avbook.training.device.freed_memory_kept`
        keep_memory: bool = False,
    ):
        self.step, self.keep_memory, self.rounds, self.memory = step, keep_memory, [], 0.0


def take_turns(
    ways: dict[str, Way],
    rounds: int,
    steps: int,  # timed steps in each turn, after one warm-up step
    device: str = "cpu",
) -> dict[str, dict[str, Any]]:
    """Times each way in turn, round after round, so that a slow minute of the machine affects all
    of them.

    `seconds` is the median step of the fastest round, `rounds` the medians of all, `step_memory_mb`
    the memory of a turn beyond what was held before."""
    import torch

    from avbook.training.device import retain_freed_memory

    for _ in range(rounds):
        for way in ways.values():
            before = _resident_mb(device)
            with (
                retain_freed_memory(torch.device(device))
                if way.keep_memory
                else contextlib.nullcontext()
            ):
                way.rounds.append(middle(way.step, steps, 1, device))
                way.memory = max(way.memory, peak_memory_mb(device) - before)
    return {
        name: {"seconds": min(way.rounds), "rounds": way.rounds, "step_memory_mb": way.memory}
        for name, way in ways.items()
    }


def _resident_mb(device: str) -> float:
    """Megabytes held now; resets `peak_memory_mb` if the system can do that."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory_mb(device)


# ---------------------------------------------------------------------------------- processes apart
class Apart:
    """Runs a script's tasks in separate processes, so that memory and allocator start afresh for
    each."""

    def __init__(
        self,
        # `__file__` of the benchmark; called with --one JSON it prints its result as a last line of
        # JSON
        script: str,
        work: Callable[..., dict[str, Any]],  # function of a task's items
        # all tasks except the first run in this process: faster, for sizes at which times are
        # meaningless
        mostly_here: bool = False,
    ):
        self.script, self.work, self.mostly_here, self.done = script, work, mostly_here, 0

    def __call__(self, **task: Any) -> dict[str, Any]:
        """The result of the task; RuntimeError with the last line of a failing process."""
        self.done += 1
        if self.mostly_here and self.done > 1:
            return json.loads(json.dumps(self.work(**task)))
        found = subprocess.run(
            [sys.executable, self.script, "--one", json.dumps(task)], capture_output=True, text=True
        )
        if found.returncode:
            last = (found.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"{Path(self.script).name} --one {json.dumps(task)}: {last}")
        return json.loads(found.stdout.splitlines()[-1])


def timed_command(
    command: list[str],
    log: Path,  # file of its output
    environment: dict[str, str] | None = None,
) -> dict[str, float]:
    """Wall-clock seconds, CPU seconds, and megabytes of the largest process; RuntimeError with the
    last line if it fails.

    Time during which this process itself was held (a stopped job, a sleeping machine) is not
    counted, but reported as `held_seconds`."""
    held, started = 0.0, time.perf_counter()
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        done = 0
        while not done:
            before = time.perf_counter()
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            time.sleep(0 if done else 0.05)
            away = time.perf_counter() - before
            held += away if away > 1 else 0.0  # twenty times the requested time
    process.returncode = os.waitstatus_to_exitcode(status)
    found = {
        "seconds": time.perf_counter() - started - held,
        "held_seconds": held,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    }
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)}: exit code {process.returncode}:"
            f" {(log.read_text(errors='replace').strip().splitlines() or ['silent'])[-1]}"
        )
    return found


# ------------------------------------------------------------------------------------------- record
def arguments(
    doc: str,
    name: str,  # name of the file under results/
    device: bool = True,  # whether the work can run on a card
) -> argparse.ArgumentParser:
    """A parser with the options of all benchmarks: --out, --quick, and --device if it can be
    chosen."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS / f"{name}.json", help="the JSON file to write"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes, to see that it runs; its times are meaningless",
    )
    if device:
        parser.add_argument("--device", default="cpu", help="cpu, or cuda with a card")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser


def row(
    what: str,  # the work, in a few words
    against: str,  # the straightforward way
    seconds: float,
    straight: float | None,  # seconds of the straightforward way, in the same run
    **more: Any,  # share_of_peak, peak_memory_mb, videos_a_second, …
) -> dict[str, Any]:
    """A line of the table that `all.py` prints and the page shows; `times_faster` is the ratio."""
    return {
        "what": what,
        "against": against,
        "seconds": seconds,
        "straightforward_seconds": straight,
        "times_faster": None if straight is None else straight / seconds,
        **more,
    }


def write(
    out: Path,
    record: dict[str, Any],
) -> None:
    """Writes the record as JSON, whole or not at all."""
    from avbook.common.files import write_text

    write_text(out, json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(f"written: {out}", flush=True)
