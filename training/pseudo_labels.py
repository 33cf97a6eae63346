"""Pseudo-labels: K-means on the raw embeddings of one modality, the classes that L_con takes its positives from.

MACRec, "pseudo-label generation": K = 512 with 10 starts. K scales down with the catalog, and above a size the batches
of MiniBatchKMeans replace full K-means (10 starts there means 10 candidate initialisations), so a million items fit.
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from model.config import Config
from training.contrast import NO_LABEL

MOST_CLUSTERS = 512
ITEMS_PER_CLUSTER = 12
ITEMS_PER_START_CENTRE = 8
"""Of how many random items the starts choose each centre; of three batches, as in scikit-learn, ten starts for 512
clusters would cost more than all that follows."""


class PseudoLabelConfig(Config):
    """How items are clustered.

    Attributes:
        clusters: K; None chooses it from the catalog's size, see :func:`default_clusters`.
        starts: K-means runs from different centres, of which the best is kept.
        minibatch_above: items from which MiniBatchKMeans takes over.
        minibatch: its batch size.
    """

    clusters: int | None = Field(None, ge=1)
    starts: int = Field(10, ge=1)
    minibatch_above: int = Field(20_000, ge=1)
    minibatch: int = Field(8192, ge=1)


def default_clusters(items: int) -> int:
    """K = min(512, max(2, N // 12)): the paper's 512 from about 6,000 items on, a dozen items a cluster below."""
    return min(MOST_CLUSTERS, max(2, items // ITEMS_PER_CLUSTER))


def pseudo_labels(
    config: PseudoLabelConfig, embeddings: NDArray[np.float32], present: NDArray[np.bool_], seed: int
) -> NDArray[np.int64]:
    """The cluster ``(N,)`` of every item that has the modality, NO_LABEL elsewhere.

    Args:
        config: sizes.
        embeddings: ``(N, width)``, raw.
        present: ``(N,)``; an imputed row neither shapes a cluster nor belongs to one.
        seed: of the centres' choice.
    """
    labels = np.full(len(embeddings), NO_LABEL, dtype=np.int64)
    owned = embeddings if present.all() else embeddings[present]
    if not len(owned):
        return labels
    clusters = min(config.clusters or default_clusters(len(embeddings)), len(owned))
    with warnings.catch_warnings():
        # Fewer distinct embeddings than clusters leave some clusters empty, which harms nothing here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if len(owned) > config.minibatch_above:
            kmeans = MiniBatchKMeans(
                clusters,
                n_init=config.starts,
                init_size=ITEMS_PER_START_CENTRE * clusters,
                batch_size=config.minibatch,
                random_state=seed,
            )
        else:
            kmeans = KMeans(clusters, n_init=config.starts, random_state=seed)
        labels[present] = kmeans.fit_predict(owned)
    return labels
