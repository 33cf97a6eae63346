"""Dropout that is cheap on a CPU, where drawing one random number per element costs as much as the matrix products."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BITS = 16
_PER_DRAW = 64 // _BITS


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zeroes elements with probability ``rate`` and scales the others by 1 / (1 - rate).

    On a CPU one 64-bit draw serves four elements, 16 bits each, so the rate is met to 2^-17; elsewhere torch draws.
    """
    if not training or rate == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate, training=True)
    draws = torch.empty(-(-x.numel() // _PER_DRAW), dtype=torch.int64).random_(-(2**63), None)
    threshold = round(rate * 2**_BITS) - 2 ** (_BITS - 1)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= threshold
    scaled: Tensor = x * kept.to(x.dtype).mul_(1 / (1 - rate))
    return scaled


class Dropout(nn.Module):
    """:func:`dropout` as a module."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return dropout(x, self.rate, self.training)
