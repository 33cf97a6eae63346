"""Implicit alignment: an item's semantic IDs of different modalities should be encoded alike (MACRec)."""

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from model.generator import Generator
from training.batches import BatchBuilder


def two_way_info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """InfoNCE between rows ``(k, d)`` in both directions, summed: row i of one belongs to row i of the other.

    With cosine similarity s_ij: mean_i [-log softmax_j(s_ij / t)_i] + mean_j [-log softmax_i(s_ij / t)_j].
    """
    similarity = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T / temperature
    own = torch.arange(len(similarity), device=similarity.device)
    return F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)


def implicit_alignment(generator: Generator, builder: BatchBuilder, items: Tensor, temperature: float) -> Tensor:
    """The loss of distinct items ``(k,)`` between their mean encoder states in two modalities, over all pairs."""
    modalities = range(len(builder.space.modalities))
    pooled = [generator.pooled(builder.tokens(modality, items)) for modality in modalities]
    losses = [two_way_info_nce(pooled[a], pooled[b], temperature) for a, b in combinations(modalities, 2)]
    return torch.stack(losses).sum()
