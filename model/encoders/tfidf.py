"""Text to embedding: TF-IDF, projected on the components of a truncated singular value decomposition.

Also called latent semantic analysis. The weight of a term is (1 + ln count) idf, a text's weights have unit length, and
so has the projected embedding; with equal settings this is scikit-learn's TfidfVectorizer(sublinear_tf=True),
TruncatedSVD and Normalizer in a row.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from model.config import Config
from model.encoders.base import Embeddings, Encoder, Takes, TextFields
from model.encoders.terms import TermConfig, count_terms
from model.errors import BundleError


class TfidfState(Config):
    """The settings that are saved beside a :class:`TfidfEncoder`'s arrays."""

    kind: Literal["tfidf"] = "tfidf"
    dim: int
    terms: TermConfig


class TfidfEncoder(Encoder):
    """A vocabulary of V terms with their idf ``(V,)`` and components ``(V, d)``, both float32.

    Raises:
        BundleError: if the arrays' shapes do not fit the vocabulary and ``state.dim``.
    """

    takes: ClassVar[Takes] = "text"

    def __init__(
        self, state: TfidfState, vocabulary: Sequence[str], idf: NDArray[np.float32], components: NDArray[np.float32]
    ) -> None:
        """Keeps the arrays; term i of ``vocabulary`` owns their row i."""
        if idf.shape != (len(vocabulary),) or components.shape != (len(vocabulary), state.dim):
            raise BundleError(
                f"{len(vocabulary)} terms and dim {state.dim} do not fit idf {idf.shape} and components "
                f"{components.shape}; the text encoder's files come from different runs"
            )
        self.state = state
        self.dim = state.dim
        self.vocabulary = list(vocabulary)
        self.idf = idf
        self.components = components
        self._row_of = {term: row for row, term in enumerate(vocabulary)}

    def encode_texts(self, items: Sequence[TextFields]) -> Embeddings:
        """Embeddings ``(B, d)`` of unit length; zeros where an item holds no known term."""
        embeddings = np.zeros((len(items), self.dim), dtype=np.float32)
        for row, item in enumerate(items):
            embeddings[row] = self._encode(item)
        return embeddings

    def _encode(self, item: TextFields) -> NDArray[np.float32]:
        rows, weights = self._weights(item)
        return unit(weights @ self.components[rows])

    def _weights(self, item: TextFields) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The known terms' rows, ascending so that sums always run in one order, and their TF-IDF of unit length."""
        counts = count_terms(item, self.state.terms)
        known = sorted((self._row_of[term], count) for term, count in counts.items() if term in self._row_of)
        rows = np.array([row for row, _ in known], dtype=np.int64)
        weights = np.array([count for _, count in known], dtype=np.float32)
        return rows, unit((1 + np.log(weights)) * self.idf[rows])


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """``vector`` scaled to Euclidean length 1; zeros stay zeros."""
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
