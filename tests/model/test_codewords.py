"""The likeness of items by their codewords: the stated formula, item by item, and what follows from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.catalog import Catalog
from model.codewords import Codewords, Floats
from model.semantic_ids import IdSpace
from tests.toys import random_codes

SPACE = IdSpace(("text", "image"), levels=3, codes=4)
ITEMS, NEW = 30, 6


def catalog(counts: NDArray[np.int64]) -> Catalog:
    return Catalog.build(
        SPACE, random_codes(ITEMS, SPACE), [(f"item-{item:02d}", {}) for item in range(ITEMS)], counts, "a"
    )


TRAINED = catalog(np.where(np.arange(ITEMS) < ITEMS - NEW, 1 + np.arange(ITEMS), 0))
CODEBOOKS: list[Floats] = [
    np.random.default_rng(seed).standard_normal((3, 4, 5)).astype(np.float32) * scale
    for seed, scale in ((0, 1.0), (1, 30.0))
]


def stand(modality: int, item: int) -> NDArray[np.float64]:
    """Where an item stands: its codewords, one by one."""
    codes = TRAINED.codes[modality, item]
    words = np.stack([CODEBOOKS[modality][level, code] for level, code in enumerate(codes)])
    total: NDArray[np.float64] = words.sum(axis=0, dtype=np.float64)
    return total


@settings(deadline=None)
@given(
    modality=st.sampled_from([0, 1]),
    weights=st.dictionaries(st.integers(0, ITEMS - NEW - 1), st.floats(0.01, 1.0), min_size=1, max_size=8),
)
def test_the_likeness_is_the_formula(modality: int, weights: dict[int, float]) -> None:
    trained = [stand(modality, item) for item in range(ITEMS - NEW)]
    mean = np.mean(trained, axis=0)
    variance = np.mean([np.square(each - mean).sum() for each in trained])
    total = sum(weights.values())
    expected = sum(weight / total * stand(modality, item) for item, weight in weights.items())
    naive = [(stand(modality, item) - mean) @ (expected - mean) / variance for item in range(ITEMS)]
    codes = TRAINED.codes[modality]
    found = Codewords.of(TRAINED, CODEBOOKS).likeness(
        modality, codes, codes[list(weights)], np.array(list(weights.values()), dtype=np.float32) / np.float32(total)
    )
    np.testing.assert_allclose(found, naive, rtol=1e-4, atol=1e-4)
    assert np.mean(naive[: ITEMS - NEW]) == pytest.approx(0, abs=1e-9)


def test_without_codebooks_every_code_has_a_direction_of_its_own() -> None:
    apart = np.eye(SPACE.levels * SPACE.codes, dtype=np.float32).reshape(SPACE.levels, SPACE.codes, -1)
    given_apart, of_codes = Codewords.of(TRAINED, [apart] * 2), Codewords.of(TRAINED, None)
    np.testing.assert_array_equal(np.stack(of_codes.codebooks), np.stack(given_apart.codebooks))
    np.testing.assert_allclose(np.stack(of_codes.means), np.stack(given_apart.means), atol=1e-6)
    np.testing.assert_allclose(of_codes.variances, given_apart.variances, rtol=1e-5)


def test_without_codebooks_shared_codes_count() -> None:
    """Relative to an item, another one gains the same for each code that it shares, wherever the other codes are."""
    codes = TRAINED.codes[0]
    found = Codewords.of(TRAINED, None).likeness(0, codes, codes[:1], np.ones(1, dtype=np.float32))
    others = Codewords.of(TRAINED, None).likeness(0, codes, codes[1:2], np.ones(1, dtype=np.float32))
    shared = (codes == codes[0]).sum(axis=1) - (codes == codes[1]).sum(axis=1)
    difference = found - others
    for count in np.unique(shared):
        assert np.ptp(difference[shared == count]) < 1e-5
    assert difference[0] > difference[1]


def test_a_catalog_in_which_nothing_was_trained_still_has_an_answer() -> None:
    codes = TRAINED.codes[0]
    untrained = Codewords.of(catalog(np.zeros(ITEMS, dtype=np.int64)), CODEBOOKS)
    assert np.isfinite(untrained.likeness(0, codes, codes[:2], np.full(2, 0.5, dtype=np.float32))).all()
