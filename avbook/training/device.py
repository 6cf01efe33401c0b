"""Devices and processes of a run: seeds, precision, gradients over processes, time and memory."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avbook.common.options import check_seed
from avbook.errors import AvbookError

__all__ = [
    "default_device",
    "seed_everything",
    "check_device",
    "start_accelerator",
    "cpu_has_bfloat16",
    "cpu_lstm_has_bfloat16",
    "run_lstm",
    "all_reduce_gradients",
    "gather_rows",
    "broadcast_weights",
    "retain_freed_memory",
    "peak_memory_mb",
    "device_name",
    "versions",
]

CPUINFO = Path("/proc/cpuinfo")  # Linux only


# ----------------------------------------------------------------------------------- device, chance
def default_device() -> torch.device:
    """The default device of a run: a CUDA card, else Apple's, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def seed_everything(
    seed: int,  # 0 to 2**32 - 1
    process: int = 0,  # rank of this process; each rank gets its own stream
) -> None:
    """Seeds torch, NumPy and Python, and requests deterministic kernels from CUDA if they exist."""
    check_seed(seed)
    own = (int(seed) + 7919 * process) % 2**32
    random.seed(own)
    np.random.seed(own)
    torch.manual_seed(own)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def check_device(
    device: str,  # "auto", "cpu", "cuda" or "mps"
) -> None:
    """Raises `AvbookError` if the machine has no such device."""
    here = {
        "auto": True,
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not here.get(device):
        why = "this machine has none" if device in here else "no such device"
        raise AvbookError(
            f"device {device!r}: {why}; expected one of"
            f" {', '.join(name for name in here if here[name])}"
        )


def start_accelerator(
    device: str = "auto",  # "auto", "cpu", "cuda" or "mps"
    precision: str = "no",  # "no", "bf16" or "fp16": precision of Accelerate's autocast
) -> Any:
    """An `accelerate.Accelerator` on that device; raises `AvbookError` if the machine does not have
    the device or precision."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    check_device(device)
    if precision not in ("no", "bf16", "fp16"):
        raise AvbookError(f"precision {precision!r}: expected 'no', 'bf16' or 'fp16'")
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
    except (ValueError, ImportError) as error:
        raise AvbookError(f"precision {precision!r} on device {device!r}: {error}") from None
    if device not in ("auto", accelerator.device.type):
        raise AvbookError(
            f"device {device!r}: this process was launched for {accelerator.device.type}; use"
            " device='auto'"
        )
    if (
        precision == "fp16" and accelerator.device.type == "cpu"
    ):  # Accelerate would silently compute in full precision
        raise AvbookError("precision 'fp16': not on a CPU; expected 'no' or 'bf16' there")
    if precision == "bf16" and accelerator.device.type == "cpu" and not cpu_has_bfloat16():
        raise AvbookError(
            "precision 'bf16': this processor has no bfloat16 units, and would take several times"
            " as long as in float32; use precision='no'"
        )
    if accelerator.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(
            accelerator.device
        )  # so that `peak_memory_mb` measures this run
    return accelerator


@lru_cache
def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers in hardware, according to PyTorch or, for
    an older one, to Linux. Other processors take several times as long as in float32."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(bool(has) for name, has in found.items() if "bf16" in name)
    try:
        told = CPUINFO.read_text()
    except OSError:
        return False
    return bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16|svebf16)\b", told))


@lru_cache
def cpu_lstm_has_bfloat16() -> bool:
    """Whether an LSTM runs in bfloat16 on this processor: oneDNN has no such kernel without AVX-512
    or bfloat16 units."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        try:
            nn.LSTM(2, 2, batch_first=True)(torch.zeros(1, 2, 2))
        except RuntimeError:  # could not create a primitive descriptor
            return False
    return True


def run_lstm(
    lstm: nn.LSTM,  # with `batch_first`
    x: Tensor,  # (B, T, inputs)
) -> Tensor:
    """The LSTM's output at each step, (B,T,hidden), or (B,T,2·hidden) for both directions; in
    float32 if autocast (of `fit`, or the caller's own) requests a bfloat16 LSTM that the CPU does
    not have."""
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not cpu_lstm_has_bfloat16():
        with torch.autocast("cpu", enabled=False):
            return lstm(x.float())[0]
    return lstm(x)[0]


# ---------------------------------------------------------------------------------------- processes
def all_reduce_gradients(
    parameters: list[nn.Parameter],
    accelerator: Any,  # an `accelerate.Accelerator`
) -> None:
    """Makes each parameter's gradient the sum over processes; it stays None if no process has
    one."""
    flags = torch.tensor([float(p.grad is not None) for p in parameters], device=accelerator.device)
    flat = [
        torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters
    ]
    *parts, flags = accelerator.reduce(torch.cat([*flat, flags]), reduction="sum").split(
        [*map(len, flat), len(flags)]
    )
    for parameter, part, held in zip(parameters, parts, flags.tolist()):
        parameter.grad = part.view_as(parameter).clone() if held else None


def gather_rows(rows: Tensor, shares: list[np.ndarray], accelerator: Any) -> Tensor:
    """The rows of all processes in order, on the CPU; `shares` holds the row numbers of each
    process."""
    if rows.is_floating_point():
        rows = rows.float()  # autocast may have left 16 bits
    if len(shares) == 1:
        return rows.cpu().clone()
    most, mine = max(map(len, shares)), len(shares[accelerator.process_index])
    padded = rows.new_zeros((most, *rows.shape[1:]))
    padded[:mine] = rows[:mine]
    everyone = accelerator.gather(padded).cpu().split(most)
    return torch.cat([piece[: len(share)] for piece, share in zip(everyone, shares)])


def broadcast_weights(net: nn.Module, accelerator: Any) -> None:
    """Gives every process the weights and buffers of the first one."""
    from accelerate.utils import broadcast

    if accelerator.num_processes > 1:
        with torch.no_grad():
            for tensor in net.state_dict().values():
                tensor.copy_(broadcast(tensor.clone()))


# ------------------------------------------------------------------------------------------- memory
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # names of glibc's malloc.h, without their M_


@contextmanager
def retain_freed_memory(
    device: torch.device,  # device of the work; only the CPU is affected
) -> Iterator[bool]:
    """Whether, in this block, large freed blocks stay with the process for the next request instead
    of going back to the system.

    A training step frees a gigabyte and requests it again at once, and pages from the system are
    cleared first, which takes a good part of a step's time at the official sizes
    (`benchmarks/psp_epoch.py`). No number changes. The price: until the block ends the process
    holds its peak memory and gaps, a few percent more at the peak. At the end all free memory goes
    back, except that glibc may keep a gap below something that lives on. False, and nothing is
    changed: off the CPU, with a C library other than glibc (Windows, macOS, musl), or with
    `AVBOOK_KEEP_MEMORY=0` in the environment."""
    libc = (
        _glibc()
        if device.type == "cpu" and os.environ.get("AVBOOK_KEEP_MEMORY", "1") != "0"
        else None
    )
    kept = (
        libc is not None
        and bool(libc.mallopt(MMAP_THRESHOLD, 2**30) or libc.mallopt(MMAP_MAX, 0))
        and bool(libc.mallopt(TRIM_THRESHOLD, -1))
    )
    try:
        yield kept
    finally:
        # the largest values that glibc reaches by itself, since its own adjustment ends with the
        # first call above
        if libc is not None and kept:
            for name, value in (
                (MMAP_THRESHOLD, 2**25),
                (MMAP_MAX, 2**16),
                (TRIM_THRESHOLD, 2**26),
            ):
                libc.mallopt(name, value)
            libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """This process's C library if it is glibc, else None."""
    try:
        libc = ctypes.CDLL(None)
        return libc if hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "mallopt") else None
    except (OSError, TypeError):  # TypeError: Windows
        return None


# --------------------------------------------------------------------------------------------- cost
def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in megabytes: of the card (CUDA), else of this process since its start; 0 if
    unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def device_name(device: torch.device) -> str:
    """The kind of device and, if known, its model."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    model = platform.processor() or platform.machine()
    if CPUINFO.exists():
        lines = CPUINFO.read_text().splitlines()
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
            model,
        )
    return f"{device.type} ({model}, {torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """The versions of packages on which numbers may depend."""
    import accelerate

    from avbook import __version__

    return {
        "avbook": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "accelerate": accelerate.__version__,
    }
