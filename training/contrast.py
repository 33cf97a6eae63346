"""The contrastive losses of the quantizer: InfoNCE, and the positives that one modality draws from another.

MACRec, "cross-modal quantization" (L_con) and "reconstruction alignment" (L_align). Everything is a tensor operation on
the batch's device; an item's label is the cluster that K-means gave it in some modality, NO_LABEL where it has none.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

NO_LABEL = -1

# A vector shorter than this share of the batch's typical length is not blown up to length 1: the cosine's gradient
# grows with 1 / length, and a residual of exactly 0 (an item that IS its code, as K-means makes them) would swamp the
# step.
_SHORTEST = 1e-3


def draw_positives(labels: Tensor, generator: torch.Generator) -> Tensor:
    """For every item one random OTHER item of the batch with the same label, else the item itself.

    Args:
        labels: ``(B,)`` int64.
        generator: on the labels' device.

    Returns:
        ``(B,)`` int64 positions in the batch, uniform among the candidates.
    """
    order = labels.argsort(stable=True)
    ordered = labels[order]
    start = torch.searchsorted(ordered, labels)
    size = torch.searchsorted(ordered, labels, right=True) - start
    place = torch.empty_like(order)
    place[order] = torch.arange(len(labels), device=labels.device)
    others = (size - 1).clamp(min=1)
    draw = torch.rand(len(labels), generator=generator, device=labels.device)
    step = 1 + (draw * others).long().minimum(others - 1)
    partner = order[start + (place - start + step) % size]
    return torch.where(labels == NO_LABEL, order[place], partner)


def unit(vectors: Tensor) -> Tensor:
    """Vectors ``(B, d)`` scaled to length 1, except those next to 0, which stay short."""
    typical = vectors.detach().square().sum(-1).mean().sqrt()
    length = vectors.norm(dim=-1, keepdim=True)
    shortest = (_SHORTEST * typical).clamp(min=torch.finfo(vectors.dtype).tiny)
    scaled: Tensor = vectors / length.maximum(shortest)
    return scaled


def info_nce(vectors: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """InfoNCE within one set: the mean over i of -log(exp(s_ip / t) / sum_j exp(s_ij / t)), s the cosine.

    j runs over the batch without the anchor i, unless i is its own positive. The anchor's similarity to itself, always
    1, would otherwise outweigh all else at t = 0.1: negatives would hardly be repelled, and the residuals collapse.

    Args:
        vectors: ``(B, d)``.
        positives: ``(B,)`` int64, p of every i.
        temperature: t.
    """
    direction = unit(vectors)
    similarity = direction @ direction.T / temperature
    itself = torch.arange(len(vectors), device=vectors.device)
    excluded = torch.diag(positives != itself)
    return F.cross_entropy(similarity.masked_fill(excluded, -torch.inf), positives)


def two_way_info_nce(left: Tensor, right: Tensor, temperature: float) -> Tensor:
    """InfoNCE from left to right plus right to left, where rows ``(B, d)`` of the two belong together; cosine."""
    similarity = unit(left) @ unit(right).T / temperature
    matches = torch.arange(len(left), device=left.device)
    return F.cross_entropy(similarity, matches) + F.cross_entropy(similarity.T, matches)
