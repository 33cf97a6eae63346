"""T5's norm: division by the root mean square, and a learned gain."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

NORM_EPSILON = 1e-6


class RMSNorm(nn.Module):
    """Division by the root mean square and a learned gain; one node in an exported graph."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """``(..., size)`` to the same shape, in the type that mixed precision multiplies in, if it trains on a CPU."""
        if not self.training or x.device.type != "cpu":
            return F.rms_norm(x, self.weight.shape, self.weight, NORM_EPSILON)
        mixed = torch.is_autocast_enabled("cpu")
        return _Normalise.apply(x, self.weight, torch.get_autocast_dtype("cpu") if mixed else x.dtype)  # type: ignore[no-any-return, no-untyped-call]


class _Normalise(torch.autograd.Function):
    """The norm in half of torch's passes over memory on a CPU, where torch puts the gradient together from parts.

    With n = x / rms(x) and the gradient g of the output n * w:  dx = (g * w - n * mean(g * w * n)) / rms(x).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = length.square_().div_(x.shape[-1]).add_(NORM_EPSILON).rsqrt_()
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        output: Tensor = (normed * weight).to(dtype)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight = ctx.saved_tensors
        gradient = gradient.to(normed.dtype)
        of_gain = gradient * normed
        mean = (of_gain @ weight)[..., None].div_(weight.shape[0])
        of_input = torch.addcmul(gradient * weight, normed, mean, value=-1).mul_(scale)
        return of_input, of_gain.view(-1, weight.shape[0]).sum(0), None
