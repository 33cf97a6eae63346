"""Picture embeddings without a download: a classical descriptor and principal components, fitted by scikit-learn."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from model.encoders.descriptor import DIMS
from model.encoders.picture import PictureEncoder, PictureState, features
from model.errors import DataError
from training.embeddings.chunks import Chunks
from training.embeddings.pictures import Pictures
from training.embeddings.rows import BadRows, Embedded, Rows, scatter
from training.embeddings.sources import FittedConfig, Inputs

CHUNK = 512


class PictureSource(FittedConfig):
    """``images`` is the folder or zip archive inside the data folder; None looks for images/ or images.zip."""

    kind: Literal["picture"] = "picture"
    images: str | None = None


def embed_pictures(config: PictureSource, inputs: Inputs) -> Embedded:
    """Describes every picture, fits the encoder on the descriptors and projects them.

    Raises:
        DataError: if fewer than two pictures decode, or for a bad one under ``on_bad`` "error".
    """
    pictures = Pictures(inputs, config.images)

    def make(rows: range) -> Rows:
        bad = BadRows(config.on_bad)
        read = pictures.read(rows, bad)
        described = np.array([features(image) for image in read.values()], dtype=np.float32)
        return Rows(scatter(described.reshape(len(read), sum(DIMS)), list(read), rows), bad.reasons)

    chunks = Chunks(inputs.work, len(inputs.items), CHUNK)
    chunks.fill(make, "pictures")
    encoder = fit_pictures(config, _sample(chunks, config))
    values = np.zeros((len(inputs.items), encoder.dim), dtype=np.float32)
    skipped: dict[int, str] = {}
    for rows, chunk in chunks:
        there = np.flatnonzero(chunk.values.any(axis=1))
        values[rows.start + there] = encoder.project(chunk.values[there])
        skipped |= chunk.skipped
    return Embedded(Rows(values, skipped), encoder)


def fit_pictures(config: PictureSource, described: NDArray[np.float32]) -> PictureEncoder:
    """Balances the descriptor's blocks to equal variance and takes principal components of descriptors ``(n, D)``.

    Raises:
        DataError: if there are not two that differ.
    """
    if len(described) < 2 or (described == described[0]).all():
        raise DataError(
            f"{len(described)} pictures, of which no two differ, are too few to fit an encoder; check the items' image "
            "names and the image folder, or leave the modality out"
        )
    mean = described.mean(axis=0, dtype=np.float64)
    variances = np.split(described.var(axis=0, dtype=np.float64), np.cumsum(DIMS)[:-1])
    scale = np.concatenate([np.full(len(block), _balance(block)) for block in variances])
    dim = min(config.dim, len(described) - 1, described.shape[1])
    pca = PCA(dim, random_state=config.seed).fit((described - mean) * scale)
    return PictureEncoder(
        PictureState(dim=dim),
        mean.astype(np.float32),
        scale.astype(np.float32),
        np.ascontiguousarray(pca.components_.T, dtype=np.float32),
    )


def _balance(variances: NDArray[np.float64]) -> float:
    total = float(variances.sum())
    return total**-0.5 if total > 0 else 1.0


def _sample(chunks: Chunks, config: PictureSource) -> NDArray[np.float32]:
    """Up to ``fit_items`` of the descriptors, drawn with the seed, in order."""
    there = np.concatenate([rows.start + np.flatnonzero(chunk.values.any(axis=1)) for rows, chunk in chunks])
    rng = np.random.default_rng(config.seed)
    chosen = np.zeros(chunks.rows, dtype=bool)
    chosen[rng.permutation(there)[: config.fit_items]] = True
    return np.concatenate([chunk.values[chosen[rows.start : rows.stop]] for rows, chunk in chunks])
