"""Operations that ONNX has one operator for where torch's exporter would write several.

A node costs a CPU time whatever it does, and a search has hundreds. In an exported graph these are single operators;
elsewhere torch works them out. Every export is run against torch before anything is served from it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from model.dropout import dropout

OPSET = 23
"""The version of ONNX's operators that exports are written in; :func:`attention`'s is of this one."""


def attention(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, heads: int, dropped: float = 0.0) -> Tensor:
    """Multi-head attention without scaling.

    Args:
        queries: ``(B, T, heads * d_head)``.
        keys: ``(B, K, heads * d_head)``, as ``values``.
        values: what is mixed.
        bias: what is added to scores, ``(B, heads, T, K)``, where B, heads and T may be 1. Where nothing is exported,
            any shape that expands to that will do.
        heads: how many.
        dropped: the share of weights that are dropped, in training.

    Returns:
        ``(B, T, heads * d_head)``.
    """
    if torch.compiler.is_exporting():
        # The operator repeats a bias over rows and heads, but not over queries.
        bias = bias.expand(-1, -1, queries.shape[1], -1)
        attributes: dict[str, Any] = {"scale": 1.0, "q_num_heads": heads, "kv_num_heads": heads}
        return _operator("Attention", (queries, keys, values, bias), queries.dtype, queries.shape, attributes)
    d_head = queries.shape[2] // heads
    by_head = [each.view(*each.shape[:2], heads, d_head).transpose(1, 2) for each in (queries, keys, values)]
    scores = by_head[0] @ by_head[1].transpose(2, 3) + bias
    weights = dropout(F.softmax(scores, dim=-1).to(values.dtype), dropped, dropped > 0)
    mixed: Tensor = weights @ by_head[2]
    return mixed.transpose(1, 2).flatten(2)


def take(values: Tensor, places: Tensor) -> Tensor:
    """``values`` ``(n, ...)`` at ``places`` int64 ``(...)``: of the shape of ``places`` and then of a value."""
    if torch.compiler.is_exporting():
        shape = (*places.shape, *values.shape[1:])
        return _operator("Gather", (values, places), values.dtype, shape, {"axis": 0})
    return values.take(places) if values.dim() == 1 else values[places]


def log_sigmoid(x: Tensor) -> Tensor:
    """The logarithm of ``1 / (1 + exp(-x))``, which overflows nowhere."""
    if torch.compiler.is_exporting():
        return -_operator("Softplus", (-x,), x.dtype, x.shape, {})
    return F.logsigmoid(x)


def divide(numbers: Tensor, by: Tensor) -> Tensor:
    """Integers of at least 0 by positive ones that expand to their shape, rounded down."""
    if torch.compiler.is_exporting():
        return _operator("Div", (numbers, by), numbers.dtype, numbers.shape, {})
    return numbers.div(by, rounding_mode="trunc")


def number(size: int, device: torch.device) -> Tensor:
    """A size ``(1,)`` int64 to calculate with: in a graph sizes are on the CPU, and a range begins where tensors are.

    Copies between the two would wait for each other, and a graph with copies cannot be captured.
    """
    return torch.arange(size, size + 1, device=device)


def _operator(
    name: str, inputs: tuple[Tensor, ...], dtype: torch.dtype, shape: Sequence[int], attributes: dict[str, Any]
) -> Tensor:
    """One of ONNX's operators in the graph that is being traced."""
    return torch.onnx.ops.symbolic(name, inputs, attrs=attributes, dtype=dtype, shape=shape, version=OPSET)
