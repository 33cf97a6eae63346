"""Imputation: hand-computed predictions, items that have several modalities or none, and files."""

from pathlib import Path

import numpy as np
import pytest

from model.errors import BundleError, DataError
from model.imputation import Imputer


def array(*rows: object) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def imputer() -> Imputer:
    """Sound predicts itself doubled as text and turned by 90 degrees as image; text and image know nothing else."""
    return Imputer(
        means={"text": array(1, 1), "image": array(10, 20), "sound": array(0, 5)},
        deviations={"text": array(1, 1), "image": array(1, 1), "sound": array(2, 1)},
        maps={
            ("sound", "text"): array([2, 0], [0, 2]),
            ("sound", "image"): array([0, 1], [-1, 0]),
            ("text", "image"): array([0, 1], [1, 0]),
        },
    )


def test_a_prediction_is_the_mean_plus_the_mapped_standardised_deviation() -> None:
    # Sound (4, 6) deviates by (4, 1), standardised (2, 1): as text (4, 2), as image (-1, 2).
    given = {"sound": array([4, 6])}
    np.testing.assert_allclose(imputer().impute("text", given), [[5, 3]])
    np.testing.assert_allclose(imputer().impute("image", given), [[9, 22]])


def test_several_predictions_give_the_mean_direction_with_the_mean_length() -> None:
    # From sound (-1, 2) as above; from text (1, 4), deviating by (0, 3): (3, 0). Mean direction (2, 2) / 2.
    imputed = imputer().impute("image", {"sound": array([4, 6]), "text": array([1, 4])})
    length = (np.sqrt(5) + 3) / 2
    np.testing.assert_allclose(imputed - [10, 20], [[length / np.sqrt(2)] * 2], rtol=1e-5)


def test_opposite_predictions_cancel_to_the_mean() -> None:
    # Sound (0, 4): standardised (0, -1), as image (1, 0); text (1, 0) deviates by (0, -1): (-1, 0).
    imputed = imputer().impute("image", {"sound": array([0, 4]), "text": array([1, 0])})
    np.testing.assert_array_equal(imputed, [[10, 20]])


def test_without_a_map_or_without_anything_the_mean_stands_in() -> None:
    np.testing.assert_array_equal(imputer().impute("sound", {"text": array([3, 3], [4, 4])}), [[0, 5], [0, 5]])
    np.testing.assert_array_equal(imputer().impute("sound", {}), [[0, 5]])


def test_fill_imputes_each_row_from_what_it_has_and_keeps_the_rest() -> None:
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(8, 2)).astype(np.float32) for name in ("text", "image", "sound")}
    patterns = np.array([[row >> bit & 1 for row in range(8)] for bit in range(3)], dtype=bool)
    present = dict(zip(values, patterns, strict=True))
    before = {name: rows.copy() for name, rows in values.items()}
    filled = imputer().fill(values, present)
    for row in range(8):
        given = {name: values[name][row : row + 1] for name in values if present[name][row]}
        for name in values:
            expected = given[name] if name in given else imputer().impute(name, given)
            np.testing.assert_allclose(filled[name][row : row + 1], expected, rtol=1e-5)
    for name, rows in before.items():
        np.testing.assert_array_equal(values[name], rows)


def test_an_imputer_comes_back_from_its_file(tmp_path: Path) -> None:
    imputer().save(tmp_path / "imputation.safetensors")
    loaded = Imputer.load(tmp_path / "imputation.safetensors")
    assert loaded.modalities == ("text", "image", "sound")
    assert set(loaded.maps) == set(imputer().maps)
    given = {"sound": array([4, 6])}
    np.testing.assert_array_equal(loaded.impute("image", given), imputer().impute("image", given))


def test_a_damaged_file_is_a_bundle_error(tmp_path: Path) -> None:
    path = tmp_path / "imputation.safetensors"
    with pytest.raises(BundleError, match="cannot be read"):
        Imputer.load(path)
    path.write_bytes(b"damaged")
    with pytest.raises(BundleError, match="cannot be read"):
        Imputer.load(path)


def test_an_unknown_modality_is_named() -> None:
    with pytest.raises(DataError, match="smell"):
        imputer().impute("smell", {})
    with pytest.raises(DataError, match="smell"):
        imputer().impute("text", {"smell": array([1, 2])})
