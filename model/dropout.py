"""Dropout that is cheap on a CPU, where drawing one random number per element costs as much as the matrix products."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BITS = 16
_PER_DRAW = 64 // _BITS


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zeroes elements with probability ``rate`` and scales the others by 1 / (1 - rate).

    On a CPU one 64-bit draw serves four elements, 15 bits each, so the rate is met to 2^-16; elsewhere torch draws.
    """
    if not training or rate == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate, training=True)
    scale = 1 / (1 - rate)
    if x.dtype == torch.bfloat16:
        kept = _zeros_and(scale, rate, x.numel())
    else:
        kept = _zeros_and(1.0, rate, x.numel()).to(x.dtype).mul_(scale)
    scaled: Tensor = x * kept.view(x.shape)
    return scaled


def _zeros_and(factor: float, rate: float, count: int) -> Tensor:
    """``factor`` and, with probability ``rate``, 0: bfloat16 ``(count,)``.

    Truth values are slow to make and slow to multiply by: the sign of a difference, spread over all bits, masks those
    of the factor.
    """
    draws = torch.empty(-(-count // _PER_DRAW), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[:count].bitwise_right_shift_(1)
    threshold = round((1 - rate) * 2 ** (_BITS - 1)) - 2 ** (_BITS - 2)
    negative = bits.sub_(threshold).bitwise_right_shift_(_BITS - 1)
    return negative.bitwise_and_(_bits_of(factor)).view(torch.bfloat16)


@cache
def _bits_of(factor: float) -> int:
    """Those of ``factor`` in bfloat16, as a number of 16 bits."""
    return int(torch.tensor(factor, dtype=torch.bfloat16).view(torch.int16))


class Dropout(nn.Module):
    """:func:`dropout` as a module."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return dropout(x, self.rate, self.training)
