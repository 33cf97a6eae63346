"""Text embeddings without a download: TF-IDF and a truncated SVD, fitted by scikit-learn, run by model.encoders."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from model.encoders.terms import TermConfig, count_terms
from model.encoders.tfidf import TfidfEncoder, TfidfState
from model.errors import DataError
from training.embeddings.chunks import Chunks
from training.embeddings.rows import BadRows, Embedded, Rows
from training.embeddings.sources import FittedConfig, Inputs
from training.items import Item

CHUNK = 10_000


class TfidfSource(FittedConfig):
    """A term is kept if it stands in at least ``min_items`` items and at most ``max_share`` of them, the most frequent
    ``max_terms`` first."""

    kind: Literal["tfidf"] = "tfidf"
    terms: TermConfig = TermConfig()
    min_items: int = Field(default=2, ge=1)
    max_share: float = Field(default=0.5, gt=0, le=1)
    max_terms: int = Field(default=30_000, ge=1)


def embed_tfidf(config: TfidfSource, inputs: Inputs) -> Embedded:
    """Fits the encoder on the items' texts and embeds them.

    Raises:
        DataError: if the texts have too little in common for any dimension, or for a bad row under ``on_bad`` "error".
    """
    with_text = inputs.text_rows(range(len(inputs.items)))
    encoder = fit_tfidf(config, [inputs.items[row] for row in with_text])

    def make(rows: range) -> Rows:
        bad = BadRows(config.on_bad)
        values = encoder.encode_texts([inputs.items[row] for row in rows])
        for row in inputs.text_rows(rows):
            if not values[row - rows.start].any():
                bad.add(row, inputs.items[row].id, "no term of its text is in the vocabulary")
        return Rows(values, bad.reasons)

    chunks = Chunks(inputs.work, len(inputs.items), CHUNK)
    chunks.fill(make, "text")
    return Embedded(chunks.join(), encoder)


def fit_tfidf(config: TfidfSource, items: Sequence[Item]) -> TfidfEncoder:
    """Vocabulary, idf and components from the items' texts; the same items and settings give the same numbers.

    Raises:
        DataError: if fewer than two terms or items are left.
    """
    rng = np.random.default_rng(config.seed)
    chosen = np.sort(rng.permutation(len(items))[: config.fit_items])
    vectorizer = TfidfVectorizer(
        analyzer=lambda item: list(count_terms(item, config.terms).elements()),
        min_df=min(config.min_items, len(chosen)),
        max_df=config.max_share,
        max_features=config.max_terms,
        sublinear_tf=True,
    )
    try:
        weights = vectorizer.fit_transform([items[row] for row in chosen])
    except ValueError as error:
        raise _too_little(len(chosen)) from error
    dim = min(config.dim, *(size - 1 for size in weights.shape))
    if dim < 1:
        raise _too_little(len(chosen))
    svd = TruncatedSVD(dim, n_iter=7, random_state=config.seed).fit(weights)
    components: NDArray[np.float32] = np.ascontiguousarray(svd.components_.T, dtype=np.float32)
    return TfidfEncoder(
        TfidfState(dim=dim, terms=config.terms),
        vectorizer.get_feature_names_out().tolist(),
        vectorizer.idf_.astype(np.float32),
        components,
    )


def _too_little(items: int) -> DataError:
    return DataError(
        f"the texts of {items} items share too few terms to embed them; lower min_items, raise max_share, or give "
        "embeddings (kind: precomputed)"
    )
