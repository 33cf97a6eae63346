"""Residual quantization of one modality's latents: L codebooks, each of which names what the levels before left over.

MACRec, "cross-modal residual quantization". Pure tensor operations throughout, so that the forward pass exports to
ONNX.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Quantized(NamedTuple):
    """What quantizing ``B`` latents of width ``d`` yields, for ``L`` levels of ``M`` codes.

    Attributes:
        codes: ``(B, L)`` int64, the nearest code of every level.
        distances: ``(B, L, M)`` float, squared L2 distance of the residual entering a level to each of its codes.
        residuals: ``(B, L, d)`` float, the residual entering each level; carries the latent's gradient at every level.
        codewords: ``(B, L, d)`` float, the chosen codes' vectors; carries the codebooks' gradient.
        total: ``(B, d)`` float, the sum of the codewords; its gradient passes straight through to the latent.
    """

    codes: Tensor
    distances: Tensor
    residuals: Tensor
    codewords: Tensor
    total: Tensor


def squared_distances(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Squared L2 distances ``(B, M)`` of vectors ``(B, d)`` to a codebook ``(M, d)``, as one matrix product."""
    return vectors.square().sum(-1, keepdim=True) - 2 * vectors @ codebook.T + codebook.square().sum(-1)


class ResidualQuantizer(nn.Module):
    """``levels`` codebooks of ``codes`` vectors of ``width`` numbers; ``codebooks`` is ``(L, M, d)``."""

    def __init__(self, levels: int, codes: int, width: int) -> None:
        """Starts from small random codebooks; training replaces them by the centres of the first batch's residuals."""
        super().__init__()
        self.codebooks = nn.Parameter(torch.empty(levels, codes, width).uniform_(-1 / codes, 1 / codes))

    def forward(self, latent: Tensor) -> Quantized:
        """Quantizes latents ``(B, d)`` level by level.

        The residual that goes on subtracts the code WITHOUT its gradient, and nothing else is detached: a
        straight-through estimate per level would cancel the latent out of every later residual and cut those levels
        off from the encoder.
        """
        residual = latent
        levels: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for codebook in self.codebooks.unbind(0):
            distances = squared_distances(residual, codebook)
            codes = distances.argmin(-1)
            codewords = codebook[codes]
            levels.append((codes, distances, residual, codewords))
            residual = residual - codewords.detach()
        codes, distances, residuals, codewords = (torch.stack(column, 1) for column in zip(*levels, strict=True))
        total = latent + (codewords.sum(1) - latent).detach()
        return Quantized(codes, distances, residuals, codewords, total)
