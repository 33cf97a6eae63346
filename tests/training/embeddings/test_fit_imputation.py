"""The fitted maps: equal to scikit-learn's ridge, stretched to the true spread, absent where items are too few."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from training.embeddings.fit_imputation import ImputationConfig, fit_imputer

Matrix = NDArray[np.float32]


def related(noise: float, rows: int = 400) -> tuple[Matrix, Matrix]:
    """Two views of 3 latent factors, with noise of its own in each."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(rows, 3))
    views = [latent @ rng.normal(size=(3, d)) + noise * rng.normal(size=(rows, d)) + rng.normal(size=d) for d in (6, 5)]
    return views[0].astype(np.float32), views[1].astype(np.float32)


def masks(rows: int = 400) -> dict[str, NDArray[np.bool_]]:
    """The last 100 rows lack b."""
    return {"a": np.ones(rows, dtype=bool), "b": np.arange(rows) < rows - 100}


def test_a_map_is_ridge_regression_times_the_stretch() -> None:
    a, b = related(noise=1.0)
    imputer, reports = fit_imputer(ImputationConfig(ridge=(0.5,)), {"a": a, "b": b}, masks())
    x, y = (a[:300] - a.mean(axis=0)) / a.std(axis=0), b[:300] - b[:300].mean(axis=0)
    expected = Ridge(alpha=0.5 * 300, fit_intercept=False).fit(x, y).coef_.T
    np.testing.assert_allclose(imputer.maps["a", "b"], expected * reports["a", "b"].stretch, atol=1e-4)


def test_closely_related_modalities_are_predicted_almost_exactly() -> None:
    a, b = related(noise=0.01)
    imputer, reports = fit_imputer(ImputationConfig(), {"a": a, "b": b}, masks())
    imputed = imputer.impute("b", {"a": a[300:]})
    assert reports["a", "b"].explained > 0.99
    assert np.abs(imputed - b[300:]).max() < 0.15 * b.std()


def test_imputed_rows_spread_as_far_as_true_ones_even_if_weakly_related() -> None:
    a, b = related(noise=4.0)
    imputer, reports = fit_imputer(ImputationConfig(), {"a": a, "b": b}, masks())
    imputed = imputer.impute("b", {"a": a[300:]}) - imputer.means["b"]
    true = b[300:] - imputer.means["b"]
    assert reports["a", "b"].stretch > 1.5
    assert np.square(imputed).mean() == pytest.approx(np.square(true).mean(), rel=0.3)


def test_rows_that_are_not_present_have_no_influence() -> None:
    a, b = related(noise=1.0)
    spoilt = b.copy()
    spoilt[300:] = 1e6
    first, _ = fit_imputer(ImputationConfig(), {"a": a, "b": b}, masks())
    second, _ = fit_imputer(ImputationConfig(), {"a": a, "b": spoilt}, masks())
    np.testing.assert_array_equal(first.maps["a", "b"], second.maps["a", "b"])
    np.testing.assert_array_equal(first.means["b"], second.means["b"])


def test_too_few_common_items_give_no_map_and_the_mean_stands_in() -> None:
    a, b = related(noise=1.0)
    present = {"a": np.arange(400) < 210, "b": np.arange(400) >= 200}
    imputer, reports = fit_imputer(ImputationConfig(least_items=20), {"a": a, "b": b}, present)
    assert not imputer.maps
    assert not reports
    filled = imputer.fill({"a": a, "b": b}, present)
    np.testing.assert_allclose(filled["b"][0], b[200:].mean(axis=0), rtol=1e-5)


def test_a_dimension_that_never_varies_does_no_harm() -> None:
    a, b = related(noise=0.1)
    a[:, 2], b[:, 1] = 7.0, 0.0
    imputer, _ = fit_imputer(ImputationConfig(), {"a": a, "b": b}, masks())
    imputed = imputer.impute("b", {"a": a[300:]})
    assert np.isfinite(imputed).all()
    np.testing.assert_allclose(imputed[:, 1], 0.0, atol=1e-6)
