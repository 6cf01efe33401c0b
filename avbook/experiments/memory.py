"""Memory that a network needs and a machine has: what cannot fit is refused before it is built."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from avbook.common.system import lacks_memory
from avbook.errors import AvbookError

__all__ = ["check_memory", "memory_of", "told_out_of_memory"]

# the kernel's limits of a container: of version 2 and of version 1
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_memory(
    owner: str,  # whose network it is, for the message
    build: Callable[[], Any],  # makes the network
    device: str = "auto",  # where it is to train
    copies: int = 4,  # held of each weight: itself, its gradient, Adam's two moments
) -> None:
    """Nothing; raises `AvbookError` where the weights that training holds exceed the memory.

    The network is built without its numbers. One that cannot be (it computes with them) passes."""
    import torch

    try:
        with torch.device("meta"):
            net = build()
    except AvbookError:
        raise
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return
    need = copies * sum(p.numel() * p.element_size() for p in net.parameters())
    have = memory_of(device)
    if have is not None and need > have:
        raise AvbookError(
            f"{owner}: training holds {need / 2**30:,.0f} GiB of weights, gradients and moments;"
            f" there are {have / 2**30:,.1f} GiB; choose smaller widths"
        )


def memory_of(
    device: str = "auto",
) -> int | None:
    """Bytes of the CUDA card where that is the device, else of this machine or container; None
    where the system does not say."""
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            found.append(int(Path(path).read_text()))
    return min((size for size in found if size > 0), default=None)


@contextmanager
def told_out_of_memory(
    owner: str,  # what was run, for the message
) -> Iterator[None]:
    """Turns what NumPy and PyTorch raise where memory ends into an `AvbookError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error)
        if not lacks_memory(error):
            raise
        told = said.strip().splitlines()[0][:150] if said.strip() else type(error).__name__
        raise AvbookError(
            f"{owner}: out of memory ({told}); choose a smaller batch_size or smaller widths, or"
            " fewer --jobs"
        ) from error
