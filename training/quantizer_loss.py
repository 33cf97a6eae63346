"""The quantizer's training objective, term by term: MACRec's losses, each with its weight.

    total = reconstruction * sum_m MSE + quantization * sum_m mean_l (codebook + commitment)
          + contrast * sum_(l >= contrast_from) sum_m L_con(m, l) + alignment * sum_pairs L_align

A weight of 0 leaves its term out altogether. An item takes part in a modality's terms only where it has that modality:
an imputed embedding is no evidence.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from model.config import Config
from model.quantizer import ModalityOutput
from model.residual_quantizer import Quantized
from training.contrast import NO_LABEL, draw_positives, info_nce, two_way_info_nce


class LossConfig(Config):
    """The weights of the terms; the defaults are the paper's.

    Attributes:
        commitment: weight of the commitment error within a level's quantization loss.
        contrast: weight of L_con at each level where it acts. The cosine's gradient grows with 1 / residual length,
            the other terms are means over features: so the paper's 0.1 outweighs reconstruction: latents grow until the
            commitment error holds them. On catalogs of some thousand items 0.003 keeps the reconstruction it has
            without L_con, 0.01 pulls harder and needs more epochs.
        contrast_from: the first level, counted from 1, at which L_con acts; it acts at all levels after it too.
        temperature: of both contrastive losses.
    """

    reconstruction: float = Field(1.0, ge=0)
    quantization: float = Field(1.0, ge=0)
    commitment: float = Field(0.25, ge=0)
    contrast: float = Field(0.1, ge=0)
    contrast_from: int = Field(3, ge=1)
    alignment: float = Field(0.001, ge=0)
    temperature: float = Field(0.1, gt=0)

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not self.reconstruction and not self.quantization:
            raise ValueError("reconstruction and quantization cannot both be 0: the rest alone does not make codes")
        return self


class Term(NamedTuple):
    """One part of the objective: its name, its weight and its scalar value before weighting."""

    name: str
    weight: float
    value: Tensor


class Losses(NamedTuple):
    """What a batch costs.

    Attributes:
        total: the weighted sum that is minimised, a scalar.
        terms: the unweighted parts by name, detached: ``reconstruction/text``, ``quantization/text``,
            ``contrast/text/3`` (levels count from 1), ``alignment/text-image``.
        with_positive: per modality, the share of its items with a real positive; empty where nothing is contrasted.
    """

    total: Tensor
    terms: dict[str, Tensor]
    with_positive: dict[str, Tensor]


class Batch(NamedTuple):
    """A model's answers for ``B`` items and their pseudo-labels.

    Attributes:
        outputs: one per modality.
        labels: ``(m, B)`` int64; NO_LABEL where an item lacks the modality.
    """

    outputs: tuple[ModalityOutput, ...]
    labels: Tensor

    def rows(self, modality: int) -> Tensor:
        """Positions ``(n,)`` of the items that have the modality."""
        return (self.labels[modality] != NO_LABEL).nonzero().squeeze(1)


def losses(config: LossConfig, modalities: tuple[str, ...], batch: Batch, generator: torch.Generator) -> Losses:
    """The objective on one batch; ``generator`` draws the positives. Modalities that no item has are left out."""
    contrasted = list(_contrasts(config, modalities, batch, generator))
    terms = [
        *_own_terms(config, modalities, batch),
        *(term for _, term, _ in contrasted),
        *_alignments(config, modalities, batch),
    ]
    shares: dict[str, list[Tensor]] = {}
    for name, _, share in contrasted:
        shares.setdefault(name, []).append(share)
    return Losses(
        total=torch.stack([term.weight * term.value for term in terms]).sum(),
        terms={term.name: term.value.detach() for term in terms},
        with_positive={name: torch.stack(values).mean() for name, values in shares.items()},
    )


def quantization_loss(quantized: Quantized, rows: Tensor, commitment: float) -> Tensor:
    """Codebook MSE + ``commitment`` x commitment MSE of these rows, mean over levels (all have the same size)."""
    residuals, codewords = quantized.residuals[rows], quantized.codewords[rows]
    return F.mse_loss(codewords, residuals.detach()) + commitment * F.mse_loss(residuals, codewords.detach())


def level_contrast(
    residuals: Tensor, other_labels: list[Tensor], temperature: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """L_con of one modality at one level, and the share of its items with a real positive.

    Args:
        residuals: ``(B, d)``, the residuals entering the level, of items that have the modality.
        other_labels: ``(B,)`` int64 for each OTHER modality. With more than one, each gives its own positives and the
            losses are averaged (the paper has two modalities and is silent on more).
        temperature: of InfoNCE.
        generator: draws the positives.
    """
    itself = torch.arange(len(residuals), device=residuals.device)
    draws = [draw_positives(labels, generator) for labels in other_labels]
    values = [info_nce(residuals, positives, temperature) for positives in draws]
    shares = [(positives != itself).float().mean() for positives in draws]
    return torch.stack(values).mean(), torch.stack(shares).mean()


def _own_terms(config: LossConfig, modalities: tuple[str, ...], batch: Batch) -> Iterator[Term]:
    """Reconstruction and quantization, each modality by itself."""
    for modality, (name, output) in enumerate(zip(modalities, batch.outputs, strict=True)):
        rows = batch.rows(modality)
        if not len(rows):
            continue
        if config.reconstruction:
            error = F.mse_loss(output.reconstruction[rows], output.target[rows])
            yield Term(f"reconstruction/{name}", config.reconstruction, error)
        if config.quantization:
            error = quantization_loss(output.quantized, rows, config.commitment)
            yield Term(f"quantization/{name}", config.quantization, error)


def _contrasts(
    config: LossConfig, modalities: tuple[str, ...], batch: Batch, generator: torch.Generator
) -> Iterator[tuple[str, Term, Tensor]]:
    """L_con per modality and level: modality, term, share of real positives. One modality alone has nothing to ask."""
    for modality, (name, output) in enumerate(zip(modalities, batch.outputs, strict=True)):
        rows = batch.rows(modality)
        others = [labels[rows] for other, labels in enumerate(batch.labels) if other != modality]
        if not (config.contrast and others and len(rows)):
            continue
        for level in range(config.contrast_from, output.quantized.codes.shape[1] + 1):
            residuals = output.quantized.residuals[rows, level - 1]
            value, share = level_contrast(residuals, others, config.temperature, generator)
            yield name, Term(f"contrast/{name}/{level}", config.contrast, value), share


def _alignments(config: LossConfig, modalities: tuple[str, ...], batch: Batch) -> Iterator[Term]:
    """L_align of every pair of modalities, over the items that have both.

    The sums of codewords are the straight-through ones, so the term moves the encoders; the codebooks follow them by
    the quantization loss.
    """
    for left, right in combinations(range(len(modalities)), 2):
        rows = ((batch.labels[left] != NO_LABEL) & (batch.labels[right] != NO_LABEL)).nonzero().squeeze(1)
        if config.alignment and len(rows):
            one, other = (batch.outputs[side].quantized.total[rows] for side in (left, right))
            value = two_way_info_nce(one, other, config.temperature)
            yield Term(f"alignment/{modalities[left]}-{modalities[right]}", config.alignment, value)
