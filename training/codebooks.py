"""Codebooks before and between the epochs: where they start, and what becomes of codes that nothing uses."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from model.residual_quantizer import ResidualQuantizer, squared_distances

_JITTER = 0.01  # of the residuals' deviation: sets copies of one vector apart


@torch.no_grad()
def start_codebooks(quantizer: ResidualQuantizer, latents: Tensor, seed: int) -> None:
    """Sets each level's codes to the K-means centres of what the levels before leave of ``latents`` ``(B, d)``.

    With fewer latents than codes, every latent is a centre and the codes left over start beside random latents.
    """
    residual = latents
    for level, codebook in enumerate(quantizer.codebooks):
        centres = _centres(residual.double().cpu().numpy(), len(codebook), seed + level)
        codebook.copy_(torch.from_numpy(centres))
        residual = _pass_on(residual, codebook)


def _centres(residual: NDArray[np.float64], codes: int, seed: int) -> NDArray[np.float64]:
    """K-means centres ``(M, d)`` of residuals ``(B, d)``."""
    clusters = min(codes, len(residual))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # identical residuals give identical centres: harmless
        centres: NDArray[np.float64] = KMeans(clusters, n_init=1, random_state=seed).fit(residual).cluster_centers_
    rng = np.random.default_rng(seed)
    spare = residual[rng.integers(0, len(residual), codes - clusters)]
    return np.concatenate([centres, spare + _JITTER * residual.std() * rng.standard_normal(spare.shape)])


@torch.no_grad()
def reseed_dead_codes(
    quantizer: ResidualQuantizer, used: Tensor, latents: Tensor, optimiser: torch.optim.Optimizer, rng: torch.Generator
) -> None:
    """Moves every unused code onto a random residual of its level and forgets its optimiser moments.

    Args:
        quantizer: whose ``codebooks`` change.
        used: ``(L, M)`` bool.
        latents: ``(B, d)``, whose residuals are drawn from.
        optimiser: AdamW over the codebooks.
        rng: on the latents' device.
    """
    residual = latents
    for level, codebook in enumerate(quantizer.codebooks):
        drawn = torch.randint(len(residual), (len(codebook),), generator=rng, device=residual.device)
        codebook.copy_(torch.where(used[level, :, None], codebook, residual[drawn]))
        residual = _pass_on(residual, codebook)
    moments = optimiser.state.get(quantizer.codebooks, {})
    for name in ("exp_avg", "exp_avg_sq"):
        if name in moments:
            moments[name] *= used[:, :, None]


def _pass_on(residual: Tensor, codebook: Tensor) -> Tensor:
    """What the nearest codes leave of residuals ``(B, d)``."""
    return residual - codebook[squared_distances(residual, codebook).argmin(-1)]
