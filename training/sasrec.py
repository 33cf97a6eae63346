"""SASRec: a causal transformer over item ids, the sequential recommender that semantic IDs have to beat.

Kang and McAuley, "Self-Attentive Sequential Recommendation" (2018), with the changes that later comparisons found to
matter (Petrov and Macdonald, 2023; Klenitskiy and Vasilev, 2023): cross-entropy over ALL items in place of one sampled
negative, and norms before the sublayers. Output and input share the item embeddings.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import Config

PAD = -1
EMBEDDING_DEVIATION = 0.02
ROWS = 256


class SasrecSizes(Config):
    """Sizes of the model; ``max_history`` is the longest history in items."""

    d_model: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.2
    max_history: int = 50


class Block(nn.Module):
    """Causal self-attention and feed-forward, each behind a norm and a residual."""

    def __init__(self, sizes: SasrecSizes) -> None:
        super().__init__()
        self.heads, self.rate = sizes.heads, sizes.dropout
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(sizes.d_model), nn.LayerNorm(sizes.d_model)
        self.query_key_value = nn.Linear(sizes.d_model, 3 * sizes.d_model)
        self.output = nn.Linear(sizes.d_model, sizes.d_model)
        self.wide, self.narrow = nn.Linear(sizes.d_model, sizes.d_model), nn.Linear(sizes.d_model, sizes.d_model)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, T, d)`` to the same shape; what is behind the end of a short history reaches nothing before it."""
        batch, length, width = x.shape
        packed = self.query_key_value(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=True)
        x = x + self.dropout(self.output(mixed.transpose(1, 2).reshape(batch, length, width)))
        hidden = self.dropout(F.relu(self.wide(self.feed_forward_norm(x))))
        return x + self.dropout(self.narrow(hidden))  # type: ignore[no-any-return]


class Sasrec(nn.Module):
    """Scores all items as the one after each position of a history."""

    def __init__(self, items: int, sizes: SasrecSizes) -> None:
        """``items`` is the size of the catalog, N."""
        super().__init__()
        self.sizes = sizes
        self.items = nn.Parameter(torch.randn(items, sizes.d_model) * EMBEDDING_DEVIATION)
        self.positions = nn.Parameter(torch.randn(sizes.max_history, sizes.d_model) * EMBEDDING_DEVIATION)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.d_model)
        self.dropout = nn.Dropout(sizes.dropout)

    def states(self, histories: Tensor) -> Tensor:
        """State ``(B, T, d)`` at each position of histories ``(B, T)`` int64, oldest first, PAD behind their ends."""
        embedded = F.embedding(histories.clamp(min=0), self.items) * self.sizes.d_model**0.5
        x = self.dropout(embedded + self.positions[: histories.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]

    def loss(self, histories: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over all items of targets ``(B, T)`` int64, one a position; PAD where there is none.

        The positions are rounded up to a multiple of ROWS: CPU kernels that are compiled for each new shape would
        otherwise take time and memory for every batch.
        """
        wanted = (targets.flatten() != PAD).nonzero().squeeze(1)
        spare = -len(wanted) % ROWS
        logits = F.linear(self.states(histories).flatten(0, 1)[F.pad(wanted, (0, spare))], self.items)
        labels = F.pad(targets.flatten()[wanted], (0, spare), value=PAD)
        return F.cross_entropy(logits.float(), labels, ignore_index=PAD)

    def scores(self, histories: Tensor, lengths: Tensor) -> Tensor:
        """Scores ``(B, N)`` of all items after histories ``(B, T)`` of ``lengths`` ``(B,)``, at least 1 each."""
        rows = torch.arange(len(histories), device=histories.device)
        return F.linear(self.states(histories)[rows, lengths - 1], self.items).float()
