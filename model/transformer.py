"""A T5-style encoder-decoder over a small vocabulary of tokens; of their meaning it knows the padding alone.

The architecture is T5's (Raffel et al., 2020): RMSNorm before every sublayer, no biases, relative position buckets
shared by a stack's layers, unscaled attention, ReLU feed-forward, and an output tied to the embedding and scaled by
d_model^-0.5. Batched training decodes all positions at once; the search decodes one position of all beams at a time,
with the beams of a row sharing one copy of its cross-attention keys and values.
"""

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.dropout import Dropout
from model.layers import DecoderLayer, EncoderLayer, Projected, RelativePositionBias
from model.onnx_operators import take
from model.rms_norm import RMSNorm
from model.semantic_ids import PAD
from model.transformer_config import TransformerConfig

Past: TypeAlias = list[tuple[Tensor, Tensor]]
"""Per decoder layer, keys and values of the positions that each beam decoded, each ``(B * W, T, heads, d_head)``."""


class Memory(NamedTuple):
    """What the decoder reads of an encoded history, computed once for all beams and steps.

    Attributes:
        keys_values: per decoder layer, keys and values, each ``(B, S, inner)``.
        bias: ``(B, 1, T, S)``, for each of T targets 0 at what it sees and a large negative number at the rest; T is 1
            where all see the same.
        start: ``(B, T, d_model)``, what is added to the decoder's first input; None if nothing is.
    """

    keys_values: list[tuple[Tensor, Tensor]]
    bias: Tensor
    start: Tensor | None

    def rows(self, rows: Tensor) -> "Memory":
        """The histories that ``rows`` ``(n,)`` int64 names, in that order."""
        keys_values = [(keys.index_select(0, rows), values.index_select(0, rows)) for keys, values in self.keys_values]
        start = None if self.start is None else self.start.index_select(0, rows)
        return Memory(keys_values, self.bias.index_select(0, rows), start)


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

    def present(self, tokens: Tensor) -> Tensor:
        """Which positions ``(B, P)`` bool of the encoder tokens ``(B, P * tokens_per_position)`` fill."""
        each = self.config.tokens_per_position
        return (tokens != PAD).view(tokens.shape[0], -1, each).any(dim=2)

    def encode(self, tokens: Tensor, present: Tensor, of_tokens: Projected | None = None) -> Tensor:
        """States ``(B, P, d_model)`` of the encoder's positions.

        Args:
            tokens: ``(B, P * tokens_per_position)`` int64; a position may have fewer tokens, PAD in their place.
            present: ``(B, P)`` bool, False at positions that nothing may see.
            of_tokens: where a position is one token, what :meth:`project_positions` returned, so that the first layer
                looks up what else it computes; for inference only.
        """
        positions = torch.arange(present.shape[1], device=tokens.device)
        bias = self.encoder_position(positions, positions) + padding_bias(present)
        if self.config.causal:
            bias = bias + causal_bias(positions)
        x = self.dropout(self._embed_positions(tokens))
        projected = None if of_tokens is None else Projected(*(take(each, tokens) for each in of_tokens))
        for layer in self.encoder:
            x, projected = layer(x, bias, projected), None
        return self.dropout(self.encoder_norm(x))  # type: ignore[no-any-return]

    def encode_on(self, tokens: Tensor, present: Tensor, past: Tensor) -> Tensor:
        """Encodes positions behind others of a causal encoder, for inference only (no dropout).

        Args:
            tokens: as :meth:`encode`'s, those of the new positions.
            present: ``(B, P)``, as there.
            past: ``(B, Q, state_width)``, what this returned for the Q positions before them, all of them present.

        Returns:
            ``(B, Q + P, state_width)``: each position's keys and values in every encoder layer, and its state.
        """
        before, (layers, width) = past.shape[1], self._state_parts()
        positions = torch.arange(before + present.shape[1], device=tokens.device)
        own = positions[before:]
        bias = self.encoder_position(own, positions) + padding_bias(F.pad(present, (before, 0), value=True))
        bias = bias + padding_bias(positions[None, :] <= own[:, None])[:, 0, 0]
        sizes = [width] * layers + [self.config.d_model]
        *of_layers, states = past.split(sizes, dim=2)  # type: ignore[no-untyped-call]
        x, extended = self._embed_positions(tokens), []
        for layer, of_layer in zip(self.encoder, of_layers, strict=True):
            x, keys_values = layer.extend(x, of_layer, bias)  # type: ignore[operator]
            extended.append(keys_values)
        return torch.cat([*extended, torch.cat([states, self.encoder_norm(x)], dim=1)], dim=2)

    @property
    def state_width(self) -> int:
        """Numbers that :meth:`encode_on` keeps of a position; the last ``d_model`` of them are its state."""
        layers, width = self._state_parts()
        return layers * width + self.config.d_model

    def _state_parts(self) -> tuple[int, int]:
        """How many encoder layers keep keys and values of a position, and how many numbers each."""
        return self.config.encoder_layers, 2 * self.config.inner

    def _embed_positions(self, tokens: Tensor) -> Tensor:
        """Embeddings ``(B, P, d_model)`` of the encoder's positions."""
        each = self.config.tokens_per_position
        if each == 1:
            return F.embedding(tokens, self.embedding)
        grouped = tokens.view(tokens.shape[0], -1, each)
        # A mask of numbers: a CPU multiplies them several times faster than truth values.
        embedded = F.embedding(grouped, self.embedding) * (grouped != PAD)[..., None].to(self.embedding.dtype)
        summed: Tensor = embedded.sum(dim=2) * each**-0.5
        return summed

    def memory(self, states: Tensor, present: Tensor, targets: int = 1) -> Memory:
        """Cross-attention keys and values of encoder states ``(B, P, d_model)`` for all decoder layers.

        Args:
            states: what :meth:`encode` returned.
            present: ``(B, P)``, as there.
            targets: T; the t-th of several targets sees the first ``P / T * (t + 1)`` positions.
        """
        bias, visible = padding_bias(present), None
        if targets > 1:
            positions = torch.arange(present.shape[1], device=present.device)
            behind = torch.arange(1, targets + 1, device=present.device) * (present.shape[1] // targets)
            visible = positions < behind[:, None]
            bias = bias + padding_bias(visible)[:, 0, 0]
        keys_values = [layer.cross_attention.keys_values(states) for layer in self.decoder]  # type: ignore[union-attr, operator]
        return Memory(keys_values, bias, latest(states, present, visible) if self.config.starts_from_state else None)

    def decode(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Logits ``(B, T, vocabulary)`` at all positions of decoder inputs ``(B, T)``, each seeing those before it."""
        return self.logits(self.decode_targets(tokens[:, None, None], memory)[:, 0, 0])

    def decode_targets(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Decodes several targets of each history, none of which sees another.

        Args:
            tokens: ``(B, T, K, L)`` int64, the decoder's inputs for K branches of each of T targets. The first input is
                the same in all branches of a target, and is decoded once.
            memory: the histories, with a bias ``(B, 1, T, S)`` (what each target sees) or ``(B, 1, 1, S)``.

        Returns:
            What :meth:`logits` reads, ``(B, T, K, L, d_model)``.
        """
        branches, length = tokens.shape[2:]
        inputs = torch.cat([tokens[:, :, 0, :1], tokens[..., 1:].flatten(2)], dim=2)
        own_bias = self._branches_bias(branches, length)
        memory_bias = memory.bias
        if memory_bias.shape[2] > 1:
            memory_bias = memory_bias.repeat_interleave(inputs.shape[2], dim=2)
        x = self.dropout(F.embedding(inputs, self.embedding))
        if memory.start is not None:
            x = torch.cat([x[:, :, :1] + memory.start[:, :, None], x[:, :, 1:]], dim=2)
        for layer, keys_values in zip(self.decoder, memory.keys_values, strict=True):
            x = layer(x, own_bias, keys_values, memory_bias)
        first, later = self.dropout(self.decoder_norm(x)).split([1, inputs.shape[2] - 1], dim=2)
        shared = first[:, :, None].expand(-1, -1, branches, -1, -1)
        return torch.cat([shared, later.unflatten(2, (branches, length - 1))], dim=3)

    def _branches_bias(self, branches: int, length: int) -> Tensor:
        """Bias ``(heads, n, n)`` of a shared first position and the ``length - 1`` others of each branch behind it."""
        behind = torch.arange(1, length, device=self.embedding.device)
        positions = F.pad(behind.repeat(branches), (1, 0))
        branch = F.pad(torch.arange(1, branches + 1, device=behind.device).repeat_interleave(length - 1), (1, 0))
        sees = (branch[None, :] == branch[:, None]) | (branch[None, :] == 0)
        return self.decoder_position(positions, positions) + causal_bias(positions) + padding_bias(sees)[:, 0, 0]  # type: ignore[no-any-return]

    def project_positions(self) -> Projected:
        """All tokens as the first encoder layer's attention reads them, each ``(vocabulary, inner)``."""
        return self.encoder[0].project(self.embedding)  # type: ignore[no-any-return, operator]

    def project_tokens(self) -> Projected:
        """All tokens as the first decoder layer reads them: see :meth:`model.layers.Attention.project_own`."""
        return self.decoder[0].project_own(self.embedding)  # type: ignore[no-any-return, operator]

    def decode_step(
        self, tokens: Tensor, past: Past | None, memory: Memory, of_tokens: Projected | None = None
    ) -> tuple[Tensor, Past]:
        """Decodes one more position of each beam, for inference only (no dropout).

        Args:
            tokens: ``(B, W)`` int64, the last token of each beam.
            past: what the beams decoded before, None at the first step.
            memory: the histories, one for the W beams of a row.
            of_tokens: what :meth:`project_tokens` returned, so that the first layer looks up what else it computes.

        Returns:
            What :meth:`logits` reads, ``(B, W, d_model)``, and the past with this position.
        """
        length = 0 if past is None else past[0][0].shape[1]
        keys = torch.arange(length + 1, device=tokens.device)
        bias = self.decoder_position(keys[length:], keys)
        x, extended = F.embedding(tokens, self.embedding), []
        projected: Projected | None = None
        if past is None and memory.start is not None:
            x = x + memory.start
        elif of_tokens is not None:
            queries, *own = of_tokens
            flat = tokens.flatten()
            projected = Projected(take(queries, tokens), *(take(each, flat) for each in own))
        for index, (layer, keys_values) in enumerate(zip(self.decoder, memory.keys_values, strict=True)):
            own_past = None if past is None else past[index]
            x, layer_past = layer.step(x, own_past, bias, keys_values, memory.bias, projected)  # type: ignore[operator]
            extended.append(layer_past)
            projected = None
        return self.decoder_norm(x), extended

    def logits(self, x: Tensor) -> Tensor:
        """Scores of all tokens for decoder outputs ``(..., d_model)``."""
        return F.linear(x * self.config.d_model**-0.5, self.embedding)

    def logits_of(self, x: Tensor, embeddings: Tensor) -> Tensor:
        """Scores ``(..., V)`` of the tokens whose embeddings ``(..., V, d_model)`` are given, as :meth:`logits`'."""
        scores: Tensor = (x * self.config.d_model**-0.5) @ embeddings.transpose(-2, -1)
        return scores


def latest(states: Tensor, present: Tensor, visible: Tensor | None = None) -> Tensor:
    """Of states ``(B, P, d)`` the last ``present`` ``(B, P)`` one that is ``visible`` ``(T, P)``: ``(B, T, d)``.

    If it is not said what is visible, everything is, for T = 1.
    """
    positions = torch.arange(present.shape[1], device=present.device)
    candidates = present[:, None] if visible is None else present[:, None] & visible
    index = (candidates * positions).amax(dim=2)
    return states.gather(1, index[..., None].expand(-1, -1, states.shape[2]))


def causal_bias(positions: Tensor) -> Tensor:
    """``(T, T)``: 0 where the key of positions ``(T,)`` is not behind the query."""
    return padding_bias(positions[None, :] <= positions[:, None])[:, 0, 0]


def padding_bias(present: Tensor) -> Tensor:
    """``(B, 1, 1, S)``: 0 where ``present`` ``(B, S)``, else the most negative number that survives bf16."""
    return torch.where(present, 0.0, -1e9)[:, None, None, :]
