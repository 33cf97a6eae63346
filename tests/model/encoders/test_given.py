"""Embeddings that callers send: checked, and normalised where training did so."""

import numpy as np
import pytest

from model.encoders.given import GivenEncoder, GivenState
from model.errors import DataError


def test_rows_pass_as_they_are_in_float32() -> None:
    rows = np.array([[3, 4], [0, 0]], dtype=np.float16)
    accepted = GivenEncoder(GivenState(dim=2)).accept(rows.astype(np.float32))
    np.testing.assert_array_equal(accepted, rows)
    assert accepted.dtype == np.float32


def test_rows_are_scaled_to_unit_length_if_training_did() -> None:
    accepted = GivenEncoder(GivenState(dim=2, normalize=True)).accept(np.array([[3, 4], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(accepted, np.array([[0.6, 0.8], [0, 0]]), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named(value: float) -> None:
    with pytest.raises(DataError, match=r"row 1 .* NaN or infinity"):
        GivenEncoder(GivenState(dim=2)).accept(np.array([[0, 1], [value, 1]], dtype=np.float32))


def test_a_wrong_size_names_both_sizes_and_the_model() -> None:
    with pytest.raises(DataError, match=r"\(rows, 2\), not \(1, 3\).*clip-vit"):
        GivenEncoder(GivenState(dim=2, origin="clip-vit")).accept(np.zeros((1, 3), dtype=np.float32))


def test_texts_and_images_are_refused_with_a_remedy() -> None:
    with pytest.raises(DataError, match="takes each item's embedding, not its text"):
        GivenEncoder(GivenState(dim=2)).encode_texts([])
    with pytest.raises(DataError, match="takes each item's embedding, not its image"):
        GivenEncoder(GivenState(dim=2)).encode_images([])
