"""A T5-style encoder-decoder over a small vocabulary of tokens; it does not know what the tokens mean.

The architecture is T5's (Raffel et al., 2020): RMSNorm before every sublayer, no biases, relative position buckets
shared by a stack's layers, unscaled attention, ReLU feed-forward, and an output tied to the embedding and scaled by
d_model^-0.5. Batched training decodes all positions at once; the search decodes one position of all beams at a time,
with the beams of a row sharing one copy of its cross-attention keys and values.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import Config
from model.dropout import Dropout, dropout

NORM_EPSILON = 1e-6


class TransformerSizes(Config):
    """Sizes of the encoder-decoder; the defaults are MACRec's."""

    d_model: int = 128
    d_ff: int = 1024
    heads: int = 6
    d_head: int = 64
    encoder_layers: int = 4
    decoder_layers: int = 4
    position_buckets: int = 32
    max_distance: int = 128
    dropout: float = 0.1

    @property
    def inner(self) -> int:
        """The width of all heads together."""
        return self.heads * self.d_head


class TransformerConfig(TransformerSizes):
    """Sizes together with the number of tokens."""

    vocabulary: int


class Memory(NamedTuple):
    """What the decoder reads of an encoded history, computed once for all beams and steps.

    Attributes:
        keys_values: per decoder layer, keys and values, each ``(B, heads, S, d_head)``.
        bias: ``(B, 1, 1, S)``, 0 at tokens and a large negative number at padding.
    """

    keys_values: list[tuple[Tensor, Tensor]]
    bias: Tensor


class RelativePositionBias(nn.Module):
    """T5's learned bias per head and bucket of the distance between query and key.

    The bucket of a distance is a table of ``max_distance + 1`` integers made once in float64, so that exported graphs
    and mixed precision cannot move a distance to another bucket.
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
        distance = keys[None, :] - queries[:, None]
        bucket = self.bucket[distance.clamp(-self.max_distance, self.max_distance) + self.max_distance]  # type: ignore[index]
        return F.embedding(bucket, self.weight).permute(2, 0, 1)


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

    def split(self, x: Tensor) -> Tensor:
        """``(B, T, inner)`` to ``(B, heads, T, d_head)``."""
        return x.view(x.shape[0], x.shape[1], self.heads, self.d_head).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of ``(B, T, d_model)``, each ``(B, heads, T, d_head)``."""
        keys, values = self.key_value(x).chunk(2, dim=-1)
        return self.split(keys), self.split(values)

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Attention of ``x`` ``(B, T, d_model)`` to keys and values ``(B, heads, K, d_head)``; ``(B, T, d_model)``."""
        scores = self.split(self.query(x)) @ keys.transpose(2, 3) + bias
        weights = dropout(F.softmax(scores, dim=-1).to(values.dtype), self.dropout, self.training)
        mixed = (weights @ values).transpose(1, 2)
        return self.output(mixed.reshape(x.shape[0], x.shape[1], self.heads * self.d_head))  # type: ignore[no-any-return]

    def attend_own(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Attention of each beam to its own past.

        Args:
            x: ``(B, W, d_model)``, one position of each beam.
            keys: ``(B, W, T, heads, d_head)``, as ``values``.
            values: the past of each beam and its own position.
            bias: ``(heads, 1, T)``.

        Returns:
            ``(B, W, d_model)``.
        """
        beams = (x.shape[0], x.shape[1], self.heads, self.d_head)
        query = self.query(x).view(beams).unsqueeze(2)
        scores = (query * keys).sum(-1) + bias[:, 0, :].transpose(0, 1)
        weights = F.softmax(scores, dim=2)
        mixed = (weights.unsqueeze(-1) * values).sum(2)
        return self.output(mixed.reshape(x.shape[0], x.shape[1], self.heads * self.d_head))  # type: ignore[no-any-return]


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


class RMSNorm(nn.Module):
    """Division by the root mean square and a learned gain; one node in an exported graph."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """``(..., size)`` to the same shape."""
        return F.rms_norm(x, self.weight.shape, self.weight, NORM_EPSILON)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each behind a norm and a residual."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(config.d_model), Attention(config)
        self.feed_forward_norm, self.feed_forward = RMSNorm(config.d_model), FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``(B, S, d_model)`` with a bias ``(B, heads, S, S)``."""
        normed = self.attention_norm(x)
        x = x + self.dropout(self.attention.attend(normed, *self.attention.keys_values(normed), bias))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to the history and feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_norm, self.self_attention = RMSNorm(config.d_model), Attention(config)
        self.cross_norm, self.cross_attention = RMSNorm(config.d_model), Attention(config)
        self.feed_forward_norm, self.feed_forward = RMSNorm(config.d_model), FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, causal_bias: Tensor, memory: tuple[Tensor, Tensor], memory_bias: Tensor) -> Tensor:
        """All positions at once: ``(B, T, d_model)`` with ``causal_bias`` ``(heads, T, T)``."""
        normed = self.self_norm(x)
        keys, values = self.self_attention.keys_values(normed)
        x = x + self.dropout(self.self_attention.attend(normed, keys, values, causal_bias))
        return self.read_memory(x, memory, memory_bias)

    def step(
        self, x: Tensor, past: Tensor | None, bias: Tensor, memory: tuple[Tensor, Tensor], memory_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One position of each beam.

        Args:
            x: ``(B, W, d_model)``.
            past: ``(B, W, T, 2 * inner)`` keys and values of earlier positions, None at the first.
            bias: ``(heads, 1, T + 1)``.
            memory: the layer's cross-attention keys and values.
            memory_bias: ``(B, 1, 1, S)``.

        Returns:
            The layer's output ``(B, W, d_model)`` and the past with this position ``(B, W, T + 1, 2 * inner)``.
        """
        normed = self.self_norm(x)
        own = self.self_attention.key_value(normed).unsqueeze(2)
        past = own if past is None else torch.cat([past, own], dim=2)
        keys, values = past.unflatten(-1, (2, self.self_attention.heads, self.self_attention.d_head)).unbind(3)
        x = x + self.self_attention.attend_own(normed, keys, values, bias)
        return self.read_memory(x, memory, memory_bias), past

    def read_memory(self, x: Tensor, memory: tuple[Tensor, Tensor], memory_bias: Tensor) -> Tensor:
        """Cross-attention and feed-forward of ``(B, T, d_model)``; the T positions or beams share the memory."""
        x = x + self.dropout(self.cross_attention.attend(self.cross_norm(x), *memory, memory_bias))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Encoder, decoder and the embedding that both share with the output."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocabulary, config.d_model))
        self.encoder_position = RelativePositionBias(config, bidirectional=True)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoder_norm = RMSNorm(config.d_model)
        self.decoder_position = RelativePositionBias(config, bidirectional=False)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = RMSNorm(config.d_model)
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.embedding, std=1.0)

    def encode(self, tokens: Tensor, present: Tensor) -> Tensor:
        """States ``(B, S, d_model)`` of tokens ``(B, S)`` int64; ``present`` ``(B, S)`` bool is False at padding."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        bias = self.encoder_position(positions, positions) + padding_bias(present)
        x = self.dropout(F.embedding(tokens, self.embedding))
        for layer in self.encoder:
            x = layer(x, bias)
        return self.dropout(self.encoder_norm(x))  # type: ignore[no-any-return]

    def memory(self, states: Tensor, present: Tensor) -> Memory:
        """Cross-attention keys and values of encoder states ``(B, S, d_model)`` for all decoder layers."""
        return Memory([layer.cross_attention.keys_values(states) for layer in self.decoder], padding_bias(present))  # type: ignore[union-attr, operator]

    def decode(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Logits ``(B, T, vocabulary)`` at all positions of decoder inputs ``(B, T)``, each seeing those before it."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        causal = padding_bias(positions[None, :] <= positions[:, None])[:, 0, 0]
        bias = self.decoder_position(positions, positions) + causal
        x = self.dropout(F.embedding(tokens, self.embedding))
        for layer, keys_values in zip(self.decoder, memory.keys_values, strict=True):
            x = layer(x, bias, keys_values, memory.bias)
        return self.logits(self.dropout(self.decoder_norm(x)))

    def decode_step(self, tokens: Tensor, past: list[Tensor] | None, memory: Memory) -> tuple[Tensor, list[Tensor]]:
        """Decodes one more position of each beam, for inference only (no dropout).

        Args:
            tokens: ``(B, W)`` int64, the last token of each beam.
            past: per layer ``(B, W, T, 2 * inner)``, None at the first step.
            memory: the histories, one for the W beams of a row.

        Returns:
            Logits ``(B, W, vocabulary)`` and the past with this position.
        """
        length = 0 if past is None else past[0].shape[2]
        keys = torch.arange(length + 1, device=tokens.device)
        bias = self.decoder_position(keys[length:], keys)
        x, extended = F.embedding(tokens, self.embedding), []
        for index, (layer, keys_values) in enumerate(zip(self.decoder, memory.keys_values, strict=True)):
            x, layer_past = layer.step(x, None if past is None else past[index], bias, keys_values, memory.bias)  # type: ignore[operator]
            extended.append(layer_past)
        return self.logits(self.decoder_norm(x)), extended

    def logits(self, x: Tensor) -> Tensor:
        """Scores of all tokens for decoder outputs ``(..., d_model)``."""
        return F.linear(x * self.config.d_model**-0.5, self.embedding)


def padding_bias(present: Tensor) -> Tensor:
    """``(B, 1, 1, S)``: 0 where ``present`` ``(B, S)``, else the most negative number that survives bf16."""
    return torch.where(present, 0.0, -1e9)[:, None, None, :]


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
