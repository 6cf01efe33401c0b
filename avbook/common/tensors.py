"""Small helpers of all networks: Xavier-initialised layers, half precision raised to single, one
thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["xavier_linear", "upcast_half", "one_thread"]


def xavier_linear(
    inputs: int,  # width of what comes in
    outputs: int,  # width of what goes out
    bias: bool = True,  # whether the layer adds a vector of its own
) -> nn.Linear:
    """A linear layer with uniform Xavier (Glorot and Bengio) weights: most layers of AVEL and PSP
    start so."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def upcast_half(
    x: torch.Tensor,
) -> torch.Tensor:
    """The tensor in float32 where it is half precision: probabilities and their logarithms need
    more."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch computes in one thread: last bits may depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
