"""The text encoder: hand-computed values, batches, and files that do not fit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.encoders.terms import TermConfig
from model.encoders.tfidf import TfidfEncoder, TfidfState
from model.errors import BundleError
from training.items import Item


def encoder(dim: int = 2, terms: int = 3) -> TfidfEncoder:
    vocabulary = ["blue", "guitar", "red"][:terms]
    idf = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    components = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    return TfidfEncoder(TfidfState(dim=dim, terms=TermConfig(title=2, text=1)), vocabulary, idf, components)


def text(words: str, title: str = "") -> Item:
    return Item(id="x", title=title, text=words)


def test_an_embedding_is_the_projected_tfidf_of_unit_length() -> None:
    # guitar once in the title (counts 2) and once in the text: (1 + ln 3) 2; red once: 3.
    weights = np.array([(1 + np.log(3)) * 2, 3.0])
    expected: NDArray[np.float64] = weights[0] * np.array([0, 1]) + weights[1] * np.array([1, 1])
    embedding = encoder().encode_texts([text("a red guitar", title="Guitar")])
    np.testing.assert_allclose(embedding[0], expected / np.linalg.norm(expected), rtol=1e-6)
    assert embedding.dtype == np.float32


def test_a_text_without_a_known_term_gives_zeros() -> None:
    assert not encoder().encode_texts([text("nothing known"), text("")]).any()


def test_a_batch_gives_bitwise_what_each_text_gives_alone() -> None:
    texts = [text("red red blue"), text("guitar"), text("blue guitar red")]
    alone = np.concatenate([encoder().encode_texts([one]) for one in texts])
    np.testing.assert_array_equal(encoder().encode_texts(texts), alone)


def test_the_order_of_words_changes_no_bit() -> None:
    forward, backward = encoder().encode_texts([text("red blue guitar"), text("guitar blue red")])
    np.testing.assert_array_equal(forward, backward)


@pytest.mark.parametrize("wrong", [{"dim": 3}, {"terms": 2}])
def test_arrays_of_another_size_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BundleError, match="different runs"):
        encoder(**wrong)
