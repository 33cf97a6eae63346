"""Where codebooks start, and that codes which nothing uses come back to life."""

import torch
from torch import Tensor

from model.residual_quantizer import ResidualQuantizer
from training.codebooks import reseed_dead_codes, start_codebooks


def clusters() -> Tensor:
    """Four tight clusters of ten latents each."""
    corners = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]])
    return corners.repeat(10, 1) + 0.01 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0))


def test_the_first_level_starts_at_the_clusters_and_the_next_at_what_they_leave() -> None:
    module = ResidualQuantizer(2, 4, 2)
    start_codebooks(module, clusters(), seed=0)
    result = module(clusters())
    assert result.codes[:, 0].bincount(minlength=4).tolist() == [10] * 4
    assert len(result.codes[:, 1].unique()) == 4
    left = (clusters() - result.codewords.sum(1)).square().mean()
    assert left < result.residuals[:, 1].square().mean() < 1e-3


def test_a_batch_smaller_than_the_codebook_makes_every_latent_a_code() -> None:
    module = ResidualQuantizer(2, 16, 2)
    latents = clusters()[:5]
    start_codebooks(module, latents, seed=0)
    assert torch.isfinite(module.codebooks).all()
    torch.testing.assert_close(module(latents).codewords[:, 0], latents)
    assert len(torch.unique(module.codebooks[0], dim=0)) == 16


def test_identical_latents_are_no_error() -> None:
    module = ResidualQuantizer(2, 8, 2)
    start_codebooks(module, torch.ones(20, 2), seed=0)
    torch.testing.assert_close(module(torch.ones(1, 2)).total, torch.ones(1, 2))


def test_dead_codes_move_onto_residuals_and_forget_their_moments_while_live_ones_stay() -> None:
    module = ResidualQuantizer(2, 4, 2)
    with torch.no_grad():
        module.codebooks.fill_(1000.0)
        module.codebooks[:, 0] = 0.0
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-9)
    module.codebooks.sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    latents = clusters()
    before = module(latents)
    used = torch.stack([column.bincount(minlength=4) > 0 for column in before.codes.T])
    assert used.sum(1).tolist() == [1, 1]
    reseed_dead_codes(module, used, latents, optimiser, torch.Generator().manual_seed(0))
    after = module(latents)
    torch.testing.assert_close(module.codebooks[0, 0].detach(), torch.zeros(2))
    assert all(len(column.unique()) > 1 for column in after.codes.T)
    assert (latents - after.total).square().mean() < (latents - before.total).square().mean()
    moments = optimiser.state[module.codebooks]["exp_avg"]
    assert moments[used].all()
    assert not moments[~used].any()
