"""Residual quantization against a loop over items, and where its gradients go."""

import torch
from torch import Tensor

from model.residual_quantizer import ResidualQuantizer


def quantizer(levels: int = 4, codes: int = 6, width: int = 3) -> ResidualQuantizer:
    module = ResidualQuantizer(levels, codes, width)
    with torch.no_grad():
        module.codebooks.copy_(torch.randn(levels, codes, width, generator=torch.Generator().manual_seed(1)))
    return module


def latents(rows: int = 7, width: int = 3) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(2)).requires_grad_()


def test_codes_distances_and_sums_are_those_of_a_loop() -> None:
    module, latent = quantizer(), latents()
    result = module(latent)
    for row in range(len(latent)):
        residual = latent[row].detach()
        total = torch.zeros(3)
        for level, codebook in enumerate(module.codebooks.detach()):
            distances = torch.stack([(residual - code).square().sum() for code in codebook])
            code = int(distances.argmin())
            assert int(result.codes[row, level]) == code
            torch.testing.assert_close(result.distances[row, level], distances, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(result.residuals[row, level], residual)
            torch.testing.assert_close(result.codewords[row, level], codebook[code])
            residual, total = residual - codebook[code], total + codebook[code]
        torch.testing.assert_close(result.total[row], total)


def test_shapes_and_types() -> None:
    result = quantizer()(latents())
    assert result.codes.dtype == torch.int64
    assert [tuple(part.shape) for part in result] == [(7, 4), (7, 4, 6), (7, 4, 3), (7, 4, 3), (7, 3)]


def test_the_sums_gradient_passes_straight_through_to_the_latent_and_not_to_the_codes() -> None:
    module, latent = quantizer(), latents()
    weight = torch.arange(21.0).reshape(7, 3)
    (module(latent).total * weight).sum().backward()
    assert latent.grad is not None
    torch.testing.assert_close(latent.grad, weight)
    assert module.codebooks.grad is None or not module.codebooks.grad.any()


def test_every_levels_residual_carries_the_latents_gradient_in_full_and_none_to_the_codes() -> None:
    for level in range(4):
        module, latent = quantizer(), latents()
        module(latent).residuals[:, level].sum().backward()
        assert latent.grad is not None
        torch.testing.assert_close(latent.grad, torch.ones_like(latent))
        assert module.codebooks.grad is None or not module.codebooks.grad.any()
