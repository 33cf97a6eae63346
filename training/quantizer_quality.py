"""How well a quantizer tells the items of a catalog apart, measured over the whole catalog."""

from typing import NamedTuple

import torch
from torch import Tensor

from model.quantizer import ModalityQuantizer

_ROWS = 8192  # items in one forward pass


class Quality(NamedTuple):
    """The state of one modality's codes.

    Attributes:
        collision_rate: (N - distinct IDs) / N, before any item is moved.
        reconstruction_error: mean squared error per (standardised) feature, over the items that have the modality.
        codes_used: per level, how many codes some item has.
        perplexity: per level, exp(entropy of the codes' frequencies); all codes equally often gives M.
    """

    collision_rate: float
    reconstruction_error: float
    codes_used: list[int]
    perplexity: list[float]

    def as_metrics(self, modality: str) -> dict[str, float]:
        """One number per name, levels counted from 1."""
        flat: dict[str, float] = {
            f"collision_rate/{modality}": self.collision_rate,
            f"reconstruction_error/{modality}": self.reconstruction_error,
        }
        for level, (used, perplexity) in enumerate(zip(self.codes_used, self.perplexity, strict=True), start=1):
            flat[f"codes_used/{modality}/{level}"] = used
            flat[f"perplexity/{modality}/{level}"] = perplexity
        return flat


@torch.no_grad()
def measure_quality(part: ModalityQuantizer, embeddings: Tensor, present: Tensor) -> Quality:
    """Runs all items ``(N, width)`` through one modality's quantizer; ``present`` is ``(N,)`` bool."""
    codes, errors = [], []
    for rows, own in zip(torch.split(embeddings, _ROWS), torch.split(present, _ROWS), strict=True):
        output = part(rows)
        codes.append(output.quantized.codes)
        errors.append((output.reconstruction - output.target).square().mean(-1)[own])
    ids = torch.cat(codes)
    frequencies = torch.stack([column.bincount(minlength=part.quantizer.codebooks.shape[1]) for column in ids.T]) / len(
        ids
    )
    entropy = torch.special.entr(frequencies.double()).sum(-1)
    return Quality(
        collision_rate=(len(ids) - distinct_rows(ids)) / len(ids),
        reconstruction_error=float(torch.cat(errors).double().mean()),
        codes_used=(frequencies > 0).sum(-1).tolist(),
        perplexity=entropy.exp().tolist(),
    )


def distinct_rows(codes: Tensor) -> int:
    """The number of different rows in codes ``(N, L)`` int64 below 256, for any L."""
    numbers = torch.zeros_like(codes[:, 0])
    for column in codes.T:
        numbers = torch.unique(numbers * 256 + column, return_inverse=True)[1]
    return int(numbers.max()) + 1
