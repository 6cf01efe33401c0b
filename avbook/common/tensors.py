"""Small helpers of all networks: Xavier-initialised layers, half precision raised to single."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["xavier_linear", "upcast_half"]


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
