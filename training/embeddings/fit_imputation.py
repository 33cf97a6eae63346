"""Fits the maps from one modality's embeddings to another's, by ridge regression on items that have both."""

from collections.abc import Mapping
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from model.config import Config
from model.encoders import Embeddings
from model.imputation import Imputer, Mask

Matrix = NDArray[np.float32]


class ImputationConfig(Config):
    """How the maps are fitted: on at most ``fit_items`` items, of which ``held_out`` choose the ridge weight.

    A pair of modalities that fewer than ``least_items`` items link gets no map. A ridge weight is a multiple of the
    number of items fitted on, so that it means the same in a small and in a large catalog.
    """

    ridge: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    held_out: float = Field(default=0.2, gt=0, lt=1)
    least_items: int = Field(default=20, ge=5)
    fit_items: int = Field(default=50_000, ge=5)
    seed: int = 0


class MapReport(NamedTuple):
    """How one map does on held-out items: the share of variance ``explained`` is before, the rest after stretching.

    ``cosine`` is the mean between the true and the imputed deviation from the mean.
    """

    items: int
    ridge: float
    stretch: float
    explained: float
    cosine: float


def fit_imputer(
    config: ImputationConfig, values: Mapping[str, Embeddings], present: Mapping[str, Mask]
) -> tuple[Imputer, dict[tuple[str, str], MapReport]]:
    """The imputer for embeddings ``(N, d)`` of each modality, of which only the ``present`` rows ``(N,)`` count."""
    moments = {name: _moments(rows[present[name]]) for name, rows in values.items()}
    maps: dict[tuple[str, str], Matrix] = {}
    reports: dict[tuple[str, str], MapReport] = {}
    rng = np.random.default_rng(config.seed)
    for source, target in permutations(values, 2):
        both = rng.permutation(np.flatnonzero(present[source] & present[target]))[: config.fit_items]
        if len(both) >= config.least_items:
            x = (values[source][both] - moments[source].mean) / moments[source].deviation
            y = values[target][both] - moments[target].mean
            maps[source, target], reports[source, target] = _fit_map(config, x, y)
    means = {name: moment.mean for name, moment in moments.items()}
    deviations = {name: moment.deviation for name, moment in moments.items()}
    return Imputer(means, deviations, maps), reports


class _Moments(NamedTuple):
    mean: Matrix
    deviation: Matrix


def _moments(rows: Embeddings) -> _Moments:
    """Mean and standard deviation ``(d,)`` of rows ``(n, d)``; a dimension that never varies gets 1."""
    deviation = rows.std(axis=0, dtype=np.float64)
    constant = deviation <= 1e-6 * deviation.max()
    mean = rows.mean(axis=0, dtype=np.float64)
    return _Moments(mean.astype(np.float32), np.where(constant, 1, deviation).astype(np.float32))


def _fit_map(config: ImputationConfig, x: Matrix, y: Matrix) -> tuple[Matrix, MapReport]:
    """The stretched map from standardised ``x`` ``(n, d_a)`` to centred ``y`` ``(n, d_b)``, rows in random order."""
    held = max(1, round(len(x) * config.held_out))
    candidates = [(ridge, x[:held] @ weights) for ridge, weights in _ridges(config.ridge, x[held:], y[held:])]
    ridge, predicted = min(candidates, key=lambda candidate: float(np.square(y[:held] - candidate[1]).sum()))
    true_size, size = float(np.square(y[:held]).sum()), float(np.square(predicted).sum())
    stretch = (true_size / size) ** 0.5 if size > 0 else 1.0
    lengths = np.linalg.norm(y[:held], axis=1) * np.linalg.norm(predicted, axis=1)
    report = MapReport(
        items=len(x),
        ridge=ridge,
        stretch=stretch,
        explained=1 - float(np.square(y[:held] - predicted).sum()) / true_size if true_size > 0 else 0.0,
        cosine=float(np.mean((y[:held] * predicted).sum(axis=1) / np.where(lengths > 0, lengths, 1))),
    )
    [(_, weights)] = _ridges((ridge,), x, y)
    return (weights * stretch).astype(np.float32), report


def _ridges(ridges: tuple[float, ...], x: Matrix, y: Matrix) -> list[tuple[float, Matrix]]:
    """Weights ``(d_a, d_b)`` for each ridge r: (x'x + n r)^-1 x'y, all from one eigendecomposition."""
    values, vectors = np.linalg.eigh((x.T @ x).astype(np.float64))
    projected = vectors.T @ (x.T @ y)
    return [
        (ridge, (vectors @ (projected / (values + len(x) * ridge)[:, None])).astype(np.float32)) for ridge in ridges
    ]
