"""Small helpers of all networks: Xavier-initialised layers, half precision raised to single, one
thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["xavier_linear", "upcast_half", "one_thread"]


def xavier_linear(
    inputs: int,  # input width
    outputs: int,  # output width
    bias: bool = True,  # whether the layer has a bias
) -> nn.Linear:
    """A linear layer with uniform Xavier (Glorot) weights, as in most layers of AVEL and PSP. The
    bias is initialised as usual in PyTorch."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def upcast_half(
    x: torch.Tensor,
) -> torch.Tensor:
    """The tensor in float32 if it is half precision: probabilities and logarithms need the
    range."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Makes torch compute in one thread within the block: the last bits may depend on the number of
    threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
