"""Embeddings for the modalities that an item lacks, predicted from those that it has, so that it gets all semantic IDs.

For each ordered pair of modalities (a, b) there is one linear map, fitted in training by ridge regression:

    imputed b = mean_b + ((a - mean_a) / deviation_a) map_ab.

Ridge predictions of a weakly related modality shrink towards the mean, where all imputed items would collide on a few
codes. Therefore each map is stretched by one factor,

    s = sqrt(mean |b - mean_b|^2 / mean |prediction - mean_b|^2),

both means over items held out of the fit: imputed embeddings are as far from the mean as true ones, in the direction
that the other modality suggests. That keeps more of the direction than copying or averaging the embeddings of the
nearest items, and needs none of them in serving. Several predictions are joined likewise: the direction of their mean,
with the mean of their lengths.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from model.errors import BundleError, DataError

Embeddings = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Imputer:
    """Means and standard deviations ``(d_a,)`` of each modality, and maps ``(d_a, d_b)`` of pairs (a, b); all float32.

    A pair that too few items link has no map. Standard deviations are positive.
    """

    means: Mapping[str, NDArray[np.float32]]
    deviations: Mapping[str, NDArray[np.float32]]
    maps: Mapping[tuple[str, str], NDArray[np.float32]]

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """The modalities, in the order of the ID space."""
        return tuple(self.means)

    def impute(self, modality: str, given: Mapping[str, Embeddings]) -> Embeddings:
        """Embeddings ``(B, d)`` float32 of ``modality`` for B items that have the ``given`` ones, ``(B, d_a)`` each.

        Where no given modality has a map, the rows are the mean; where nothing is given at all, that is one row.

        Raises:
            DataError: for a modality that the imputer does not know.
        """
        unknown = {modality, *given} - set(self.modalities)
        if unknown:
            raise DataError(f"cannot impute with {sorted(unknown)}; this model's modalities are {self.modalities}")
        rows = max((len(values) for values in given.values()), default=1)
        predictions = [self._predict(name, modality, given[name]) for name in given if (name, modality) in self.maps]
        if not predictions:
            return np.tile(self.means[modality], (rows, 1))
        return self.means[modality] + _join(predictions)

    def fill(self, values: Mapping[str, Embeddings], present: Mapping[str, Mask]) -> dict[str, Embeddings]:
        """Copies of ``values`` ``(N, d)`` in which the rows that are not ``present`` ``(N,)`` are imputed."""
        filled = {name: rows.copy() for name, rows in values.items()}
        names = tuple(values)
        has = np.stack([present[name] for name in names])
        for pattern in np.unique(has[:, ~has.all(axis=0)], axis=1).T:
            rows = np.flatnonzero((has == pattern[:, None]).all(axis=0))
            given = {name: values[name][rows] for name, there in zip(names, pattern, strict=True) if there}
            for name in set(names) - set(given):
                filled[name][rows] = self.impute(name, given)
        return filled

    def _predict(self, source: str, target: str, embeddings: Embeddings) -> Embeddings:
        """Predicted deviations ``(B, d_b)`` from the target's mean."""
        standardised = (embeddings - self.means[source]) / self.deviations[source]
        return np.asarray(standardised @ self.maps[source, target], dtype=np.float32)

    def save(self, path: Path) -> None:
        """Writes a safetensors file."""
        tensors = {f"mean.{name}": value for name, value in self.means.items()}
        tensors |= {f"deviation.{name}": value for name, value in self.deviations.items()}
        tensors |= {f"map.{source}.{target}": value for (source, target), value in self.maps.items()}
        content = save(tensors, metadata={"modalities": json.dumps(self.modalities)})
        path.write_bytes(content)

    @classmethod
    def load(cls, path: Path) -> "Imputer":
        """Reads what :meth:`save` wrote.

        Raises:
            BundleError: if the file is missing, damaged, or lacks a tensor.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                names: list[str] = json.loads(file.metadata()["modalities"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
            return cls(
                means={name: tensors[f"mean.{name}"] for name in names},
                deviations={name: tensors[f"deviation.{name}"] for name in names},
                maps={
                    pair: tensors[key] for pair in permutations(names, 2) if (key := "map." + ".".join(pair)) in tensors
                },
            )
        except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise BundleError(f"the imputer in {path} cannot be read: {error}") from error


def _join(predictions: list[Embeddings]) -> Embeddings:
    """The direction of the mean of ``(B, d)`` predictions with the mean of their lengths."""
    if len(predictions) == 1:
        return predictions[0]
    mean = np.mean(predictions, axis=0)
    lengths = np.mean([np.linalg.norm(rows, axis=1) for rows in predictions], axis=0)
    stretch = lengths / np.maximum(np.linalg.norm(mean, axis=1), np.finfo(np.float32).tiny)
    return np.asarray(mean * stretch[:, None], dtype=np.float32)
