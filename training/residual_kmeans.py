"""Semantic IDs without training: principal components of the embeddings, then K-means on what each level leaves over.

The cheapest way to residual codes, and what a learned quantizer has to beat. The result is a quantizer like any other:
its encoder and decoder are linear layers that hold the components, so that new items are encoded the same way.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import nn

from model.quantizer import CrossModalQuantizer, ModalityQuantizer, QuantizerConfig
from training.codebooks import start_codebooks
from training.embedded_items import EmbeddedItems
from training.quantizer_config import FitQuantizerConfig

MOST_ROWS = 65_536


def residual_kmeans(config: FitQuantizerConfig, items: EmbeddedItems) -> CrossModalQuantizer:
    """A quantizer of ``config.latent`` components (fewer where an embedding or the catalog is smaller), on the CPU.

    At most :data:`MOST_ROWS` random items of a modality, none of them imputed, shape its components and codebooks.
    """
    rng = np.random.default_rng(config.seed)
    rows = [_sample(matrix[own], rng) for matrix, own in zip(items.embeddings, items.present, strict=True)]
    latent = min(config.latent, *items.widths, *(len(own) for own in rows))
    sizes = QuantizerConfig(
        modalities=items.modalities,
        inputs=items.widths,
        levels=config.levels,
        codes=config.sizes(len(items)).codes,
        projection=latent,
        widths=(),
        latent=latent,
    )
    model = CrossModalQuantizer(sizes)
    for modality, own in enumerate(rows):
        _fit(model.part(modality), own, config, latent)
    return model.eval()


@torch.no_grad()
def _fit(part: ModalityQuantizer, rows: NDArray[np.float32], config: FitQuantizerConfig, latent: int) -> None:
    """Sets all weights of one modality from its embeddings ``(n, width)``."""
    given = torch.from_numpy(np.ascontiguousarray(rows))
    if config.normalise == "standard":
        part.standardiser.fit(given.double().mean(0), given.double().var(0, correction=0))
    standardised = part.standardiser(given)
    pca = PCA(latent, random_state=config.seed).fit(standardised.double().numpy())
    components, mean = (torch.from_numpy(array).float() for array in (pca.components_, pca.mean_))
    identity, nothing = torch.eye(latent), torch.zeros(latent)
    for layers, values in (
        (part.encoder, ((components, -components @ mean), (identity, nothing))),
        (part.decoder, ((identity, nothing), (components.T, mean))),
    ):
        linear = [layer for layer in layers.modules() if isinstance(layer, nn.Linear)]
        for layer, (weight, bias) in zip(linear, values, strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    start_codebooks(part.quantizer, part.encode(given), config.seed)


def _sample(rows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[np.sort(rng.choice(len(rows), MOST_ROWS, replace=False))]
