"""Collaborative embeddings: which items users meet near each other, from the events that train and nothing else.

Items that stand within ``window`` steps in a history count as a pair, nearer ones for more. The counts' positive
pointwise mutual information, factorised, gives each item a vector (Levy and Goldberg, "Neural Word Embedding as
Implicit Matrix Factorization", 2014): neighbours in histories become neighbours in space, which neither texts nor
pictures tell. An item without such a pair has no embedding; one is predicted from its other modalities, as for any
modality that an item lacks.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD

from model.config import Config
from model.encoders.given import GivenEncoder, GivenState
from model.errors import DataError
from training.embeddings.rows import Embedded, Rows
from training.embeddings.sources import Inputs
from training.split import Split

ORIGIN = "the histories that the model was trained on; leave it out for a new item, and it is predicted"


class CooccurrenceSource(Config):
    """How items' company becomes ``dim`` numbers.

    A pair ``d`` steps apart counts 1 - (d - 1) / ``window``. ``smoothing`` is the power of the counts of contexts,
    which keeps rare ones from looking more telling than they are. ``seed`` is the factorisation's.
    """

    kind: Literal["cooccurrence"] = "cooccurrence"
    dim: int = Field(default=64, ge=1)
    window: int = Field(default=20, ge=1)
    smoothing: float = Field(default=0.75, gt=0, le=1)
    seed: int = 0


def embed_cooccurrence(config: CooccurrenceSource, inputs: Inputs) -> Embedded:
    """Embeds every item that stands near another one in some user's training events.

    Raises:
        DataError: if the events have too few pairs for any dimension.
    """
    counts = pair_counts(inputs.read_split(), len(inputs.items), config.window)
    information = positive_information(counts, config.smoothing)
    dim = min(config.dim, len(inputs.items) - 1)
    if dim < 1 or not information.nnz:
        raise DataError(
            f"the training events have no two items that stand within {config.window} steps more often than by chance: "
            "embed.modalities of kind 'cooccurrence' needs more events, or a wider window"
        )
    svd = TruncatedSVD(dim, n_iter=7, random_state=config.seed)
    rows = svd.fit_transform(information) / np.sqrt(np.maximum(svd.singular_values_, np.finfo(np.float32).tiny))
    rows[np.diff(information.indptr) == 0] = 0.0  # of items without pairs only the factorisation's noise is left
    encoder = GivenEncoder(GivenState(dim=dim, normalize=True, origin=ORIGIN))
    return Embedded(Rows(encoder.accept(rows), {}), encoder)


def pair_counts(split: Split, items: int, window: int) -> csr_array:
    """How often each two of N items stand near each other, ``(N, N)`` float64, symmetric, nothing on the diagonal."""
    trains = split.training_events()
    sequence = split.interactions.items[trains].astype(np.int64)
    users = np.repeat(np.arange(len(split.interactions.user_ids)), split.interactions.lengths())[trains]
    counts = csr_array((items, items), dtype=np.float64)
    for distance in range(1, min(window, len(sequence) - 1) + 1):
        left, right = sequence[:-distance], sequence[distance:]
        pairs = (users[:-distance] == users[distance:]) & (left != right)
        weights = np.full(int(pairs.sum()), 1 - (distance - 1) / window)
        counts += csr_array((weights, (left[pairs], right[pairs])), shape=(items, items))
    return counts + counts.T


def positive_information(counts: csr_array, smoothing: float) -> csr_array:
    """The positive pointwise mutual information ``(N, N)`` of pair counts n, c being their sums over rows.

    PPMI(i, j) = max(0, log(n(i, j) sum_k c(k)^a / (c(i) c(j)^a))), a being ``smoothing``
    """
    found = counts.tocoo()
    sums = np.asarray(counts.sum(axis=1)).ravel()
    contexts = sums**smoothing
    information: NDArray[np.float64] = np.log(found.data * contexts.sum() / (sums[found.row] * contexts[found.col]))
    kept = information > 0
    return csr_array((information[kept], (found.row[kept], found.col[kept])), shape=counts.shape)
