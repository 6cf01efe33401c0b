"""Required and available memory: networks that cannot fit are refused before they are built."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from avbook.common.system import lacks_memory
from avbook.errors import AvbookError

__all__ = ["check_memory", "memory_of", "told_out_of_memory"]

# memory limits of a container: cgroup version 2 and version 1
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_memory(
    owner: str,  # owner of the network, for messages
    build: Callable[[], Any],  # makes the network
    device: str = "auto",  # device of the training
    copies: int = 4,  # copies of each weight: itself, its gradient, Adam's two moments
) -> None:
    """Raises `AvbookError` if the weights held in training exceed the memory.

    The network is built without values. A network that cannot be (since it computes with them)
    passes."""
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
    """Bytes of the CUDA card if that is the device, else of this machine or container; None if
    unknown."""
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # missing, or "max"
            found.append(int(Path(path).read_text()))
    return min((size for size in found if size > 0), default=None)


@contextmanager
def told_out_of_memory(
    owner: str,  # what was run, for messages
) -> Iterator[None]:
    """Turns the out-of-memory errors of NumPy and PyTorch into an `AvbookError`."""
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
