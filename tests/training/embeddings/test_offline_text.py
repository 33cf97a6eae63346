"""Offline text embeddings: equal to scikit-learn's, the same every time, and clear about texts that say nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from model.encoders.terms import TermConfig, count_terms
from model.errors import DataError
from training.embeddings.offline_text import TfidfSource, embed_tfidf
from training.embeddings.sources import Inputs
from training.items import Item

MakeInputs = Callable[[str], Inputs]


def test_embeddings_equal_scikit_learns(inputs: MakeInputs, items: list[Item]) -> None:
    config = TfidfSource(dim=6, terms=TermConfig(title=2, category=3, text=1, longest_run=2))
    reference = make_pipeline(
        TfidfVectorizer(
            analyzer=lambda item: list(count_terms(item, config.terms).elements()),
            min_df=config.min_items,
            max_df=config.max_share,
            sublinear_tf=True,
        ),
        TruncatedSVD(6, n_iter=7, random_state=config.seed),
        Normalizer(),
    )
    expected = reference.fit_transform(items)
    embedded = embed_tfidf(config, inputs("text"))
    np.testing.assert_allclose(embedded.rows.values, expected, atol=1e-5)
    assert embedded.present.all()


def test_a_second_run_gives_the_same_bits(inputs: MakeInputs) -> None:
    first, second = (embed_tfidf(TfidfSource(), inputs(name)) for name in "ab")
    np.testing.assert_array_equal(first.rows.values, second.rows.values)


def test_a_new_item_is_embedded_as_in_training(inputs: MakeInputs, items: list[Item]) -> None:
    embedded = embed_tfidf(TfidfSource(), inputs("text"))
    copy = items[7].model_copy(update={"id": "new"})
    np.testing.assert_array_equal(embedded.encoder.encode_texts([copy])[0], embedded.rows.values[7])


def test_items_that_share_words_are_nearer(inputs: MakeInputs, items: list[Item]) -> None:
    values = embed_tfidf(TfidfSource(), inputs("text")).rows.values
    same = np.array([[a.category == b.category for b in items] for a in items])
    similarity = values @ values.T
    assert similarity[same].mean() > similarity[~same].mean() + 0.3


def with_item(given: Inputs, row: int, **fields: object) -> Inputs:
    items = list(given.items)
    items[row] = Item.model_validate({"id": items[row].id, **fields})
    return replace(given, items=items)


def test_an_item_without_text_is_absent_and_one_without_a_known_word_is_skipped(inputs: MakeInputs) -> None:
    given = with_item(with_item(inputs("text"), 3), 4, title="xyzzy", text="plugh")
    embedded = embed_tfidf(TfidfSource(), given)
    assert np.flatnonzero(~embedded.present).tolist() == [3, 4]
    assert embedded.rows.skipped == {4: "no term of its text is in the vocabulary"}


def test_on_bad_error_names_the_item(inputs: MakeInputs) -> None:
    given = with_item(inputs("text"), 4, title="xyzzy", text="plugh")
    with pytest.raises(DataError, match=r"item 'i4' \(row 4\).*on_bad"):
        embed_tfidf(TfidfSource(on_bad="error"), given)


def test_dimensions_are_capped_by_the_catalog(inputs: MakeInputs) -> None:
    given = inputs("text")
    embedded = embed_tfidf(TfidfSource(dim=128), replace(given, items=given.items[:8]))
    assert embedded.rows.values.shape == (8, embedded.encoder.dim)
    assert embedded.encoder.dim < 8


@pytest.mark.parametrize("texts", [["alpha", "beta", "gamma"], ["", ""], ["one"], []])
def test_texts_with_nothing_in_common_are_refused_with_a_remedy(inputs: MakeInputs, texts: list[str]) -> None:
    items = [Item(id=str(row), text=text) for row, text in enumerate(texts)]
    with pytest.raises(DataError, match="lower min_items"):
        embed_tfidf(TfidfSource(), replace(inputs("text"), items=items))


def test_fitting_on_a_sample_still_embeds_every_item(inputs: MakeInputs) -> None:
    embedded = embed_tfidf(TfidfSource(fit_items=30, dim=4), inputs("text"))
    assert embedded.present.all()
