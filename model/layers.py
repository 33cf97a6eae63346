"""The layers of the encoder-decoder: attention with T5's relative positions, feed-forward and norm."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.dropout import Dropout
from model.onnx_operators import attention
from model.rms_norm import RMSNorm
from model.transformer_config import TransformerConfig


class Projected(NamedTuple):
    """Queries, keys and values of some positions, each ``(..., inner)`` unless said otherwise."""

    queries: Tensor
    keys: Tensor
    values: Tensor


class RelativePositionBias(nn.Module):
    """T5's learned bias per head and bucket of the distance between query and key.

    The bucket of a distance is a table of ``2 * max_distance + 1`` integers made once in float64, so that exported
    graphs and mixed precision cannot move a distance to another bucket.
    """

    def __init__(self, config: TransformerConfig, bidirectional: bool) -> None:
        super().__init__()
        self.max_distance = config.max_distance
        self.weight = nn.Parameter(torch.empty(config.position_buckets, config.heads))
        table = _bucket_table(config.position_buckets, config.max_distance, bidirectional)
        self.register_buffer("bucket", table, persistent=False)
        nn.init.normal_(self.weight, std=config.d_model**-0.5)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Bias ``(heads, Q, K)`` between positions ``(Q,)`` and ``(K,)`` int64."""
        distance = (keys[None, :] - queries[:, None]).clamp(-self.max_distance, self.max_distance)
        # Biases of all distances first: in an exported graph they are a constant.
        of_distance = F.embedding(self.bucket, self.weight)  # type: ignore[arg-type]
        return F.embedding(distance + self.max_distance, of_distance).permute(2, 0, 1)


class Attention(nn.Module):
    """Multi-head attention without biases or scaling; keys and values come from one projection."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.d_head, self.dropout = config.heads, config.d_head, config.dropout
        self.query = nn.Linear(config.d_model, config.inner, bias=False)
        self.key_value = nn.Linear(config.d_model, 2 * config.inner, bias=False)
        self.output = nn.Linear(config.inner, config.d_model, bias=False)
        nn.init.normal_(self.query.weight, std=(config.d_model * config.d_head) ** -0.5)
        nn.init.normal_(self.key_value.weight, std=config.d_model**-0.5)
        nn.init.normal_(self.output.weight, std=config.inner**-0.5)

    def project(self, x: Tensor) -> Projected:
        """Queries, keys and values of ``(..., d_model)`` by products of their own, so that none is copied."""
        return Projected(self.query(x), *self.keys_values(x))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of ``(..., d_model)``, each ``(..., inner)``."""
        of_keys, of_values = self.key_value.weight.chunk(2)
        return F.linear(x, of_keys), F.linear(x, of_values)

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Attention of ``x`` ``(B, T, d_model)`` to keys and values ``(B, K, inner)``; ``(B, T, d_model)``."""
        return self._mix(Projected(self.query(x), keys, values), bias)

    def attend_itself(self, x: Tensor, bias: Tensor, projected: Projected | None = None) -> Tensor:
        """Attention of ``x`` ``(B, T, d_model)`` to itself; ``projected`` is what :meth:`project` makes of it."""
        return self._mix(self.project(x) if projected is None else projected, bias)

    def attend_on(self, x: Tensor, past: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Attention of positions ``x`` ``(B, T, d_model)`` to earlier ones and themselves.

        Args:
            x: the new positions.
            past: ``(B, P, 2 * inner)``, what this returned for the earlier ones.
            bias: ``(B, heads, T, P + T)``.

        Returns:
            ``(B, T, d_model)``, and keys and values of all positions ``(B, P + T, 2 * inner)``.
        """
        everything = torch.cat([past, self.key_value(x)], dim=1)
        keys, values = everything.chunk(2, dim=-1)
        return self._mix(Projected(self.query(x), keys, values), bias), everything

    def _mix(self, projected: Projected, bias: Tensor) -> Tensor:
        """What queries ``(B, T, inner)`` read of values ``(B, K, inner)`` by their keys; ``(B, T, d_model)``."""
        return self.output(attention(*projected, bias, self.heads, self.dropout if self.training else 0.0))  # type: ignore[no-any-return]

    def project_own(self, x: Tensor) -> Projected:
        """Queries of ``(..., d_model)``, and its keys and values as single positions ``(n, 1, heads, d_head)``."""
        queries, *own = self.project(x)
        return Projected(queries, *(each.reshape(-1, 1, self.heads, self.d_head) for each in own))

    def attend_own(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Attention of each beam to its own past.

        Args:
            query: ``(B, W, inner)``, one position of each beam.
            keys: ``(B * W, T, heads, d_head)``, as ``values``.
            values: the past of each beam and its own position.
            bias: ``(heads, 1, T)``.

        Returns:
            ``(B, W, d_model)``.
        """
        if keys.shape[1] == 1:
            # There is one position to attend to.
            return self.output(values.view_as(query))  # type: ignore[no-any-return]
        scores = (query.reshape(-1, 1, self.heads, self.d_head) * keys).sum(-1, keepdim=True)
        weights = F.softmax(scores + bias.permute(2, 0, 1), dim=1)
        return self.output((weights * values).sum(1).view_as(query))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with ReLU and dropout between them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.wide = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.narrow = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.wide.weight, std=config.d_model**-0.5)
        nn.init.normal_(self.narrow.weight, std=config.d_ff**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., d_model)`` to the same shape."""
        return self.narrow(self.dropout(F.relu(self.wide(x))))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each behind a norm and a residual."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(config.d_model), Attention(config)
        self.feed_forward_norm, self.feed_forward = RMSNorm(config.d_model), FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor, projected: Projected | None = None) -> Tensor:
        """``(B, S, d_model)`` with a bias ``(B, heads, S, S)``; ``projected`` is what :meth:`project` makes of it."""
        x = x + self.dropout(self.attention.attend_itself(self.attention_norm(x), bias, projected))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # type: ignore[no-any-return]

    def project(self, x: Tensor) -> Projected:
        """Queries, keys and values of ``(..., d_model)`` for the positions' attention to each other."""
        return self.attention.project(self.attention_norm(x))

    def extend(self, x: Tensor, past: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`forward` for positions behind others, for inference only; see :meth:`Attention.attend_on`."""
        attended, keys_values = self.attention.attend_on(self.attention_norm(x), past, bias)
        x = x + attended
        return x + self.feed_forward(self.feed_forward_norm(x)), keys_values


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to the history and feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_norm, self.self_attention = RMSNorm(config.d_model), Attention(config)
        self.cross_norm, self.cross_attention = RMSNorm(config.d_model), Attention(config)
        self.feed_forward_norm, self.feed_forward = RMSNorm(config.d_model), FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, own_bias: Tensor, memory: tuple[Tensor, Tensor], memory_bias: Tensor) -> Tensor:
        """All positions of several targets of a history at once.

        Args:
            x: ``(B, T, n, d_model)``; a target's n positions see each other, not those of other targets.
            own_bias: ``(heads, n, n)``.
            memory: the layer's cross-attention keys and values.
            memory_bias: ``(B, 1, T * n, S)``, or 1 in place of ``T * n``.
        """
        own = self.self_attention.attend_itself(self.self_norm(x.flatten(0, 1)), own_bias)
        x = x + self.dropout(own).view_as(x)
        return self.read_memory(x.flatten(1, 2), memory, memory_bias).view_as(x)

    def step(
        self,
        x: Tensor,
        past: tuple[Tensor, Tensor] | None,
        bias: Tensor,
        memory: tuple[Tensor, Tensor],
        memory_bias: Tensor,
        projected: Projected | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One position of each beam.

        Args:
            x: ``(B, W, d_model)``.
            past: keys and values of earlier positions, each ``(B * W, T, heads, d_head)``, None at the first.
            bias: ``(heads, 1, T + 1)``.
            memory: the layer's cross-attention keys and values.
            memory_bias: ``(B, 1, 1, S)``.
            projected: what :meth:`project_own` makes of ``x``, if it is known already.

        Returns:
            The layer's output ``(B, W, d_model)`` and the past with this position.
        """
        query, keys, values = self.project_own(x) if projected is None else projected
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=1), torch.cat([past[1], values], dim=1)
        x = x + self.self_attention.attend_own(query, keys, values, bias)
        return self.read_memory(x, memory, memory_bias), (keys, values)

    def project_own(self, x: Tensor) -> Projected:
        """What beams' attention to their own past reads of ``(..., d_model)``; see :meth:`Attention.project_own`."""
        return self.self_attention.project_own(self.self_norm(x))

    def read_memory(self, x: Tensor, memory: tuple[Tensor, Tensor], memory_bias: Tensor) -> Tensor:
        """Cross-attention and feed-forward of ``(B, T, d_model)``; the T positions or beams share the memory."""
        x = x + self.dropout(self.cross_attention.attend(self.cross_norm(x), *memory, memory_bias))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # type: ignore[no-any-return]


def _bucket_table(buckets: int, max_distance: int, bidirectional: bool) -> Tensor:
    """Bucket ``(2 * max_distance + 1,)`` int64 of each distance key - query from -max_distance on (T5, section 2.1)."""
    distances = range(-max_distance, max_distance + 1)
    return torch.tensor([_bucket(distance, buckets, max_distance, bidirectional) for distance in distances])


def _bucket(distance: int, buckets: int, max_distance: int, bidirectional: bool) -> int:
    """T5's bucket of one distance: exact when near, logarithmic when far; a causal stack never looks ahead."""
    if bidirectional:
        buckets //= 2
        offset, distance = (buckets if distance > 0 else 0), abs(distance)
    else:
        offset, distance = 0, max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return offset + distance
    far = math.log(distance / exact) / math.log(max_distance / exact) * (buckets - exact)
    return offset + min(exact + int(far), buckets - 1)
