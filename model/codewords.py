"""What items are like, by the codewords of their semantic IDs alone.

In a modality an item stands at z, the sum of its L codewords. With z0 the mean of the trained items and s^2 the mean of
|z - z0|^2, and E the expectation over items t that stand for what a user will meet next, each with a probability,

    likeness(i) = <z_i - z0, E z_t - z0> / s^2

is how far item i lies where they lie: on average 0. It needs no probability of item i itself, so that it ranks items
which the generator never saw. As z is a sum over levels, so is the likeness, and an item costs L look-ups in a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.catalog import Catalog

SAMPLE = 10_000
"""Trained items, the most popular ones, whose mean and spread stand for all."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Codewords:
    """The codewords of m modalities.

    Attributes:
        codebooks: per modality ``(L, M, d)``.
        means: per modality z0 ``(d,)``.
        variances: per modality s^2.
    """

    codebooks: Sequence[Floats]
    means: Sequence[Floats]
    variances: Sequence[float]

    @classmethod
    def of(cls, catalog: Catalog, codebooks: Sequence[Floats] | None) -> "Codewords":
        """The codewords of a catalog; without codebooks ``(m, L, M, d)`` all codes of a level are equally far apart."""
        popular = catalog.popular[:SAMPLE]
        sample = popular[catalog.popularity[popular] > 0]
        if codebooks is None:
            return cls._apart(catalog, sample)
        sums = [_sums(own, catalog.codes[modality][sample]) for modality, own in enumerate(codebooks)]
        means = [each.sum(axis=0) / max(1, len(each)) for each in sums]
        spreads = [np.square(each - mean).sum() / max(1, len(each)) for each, mean in zip(sums, means, strict=True)]
        return cls(tuple(codebooks), means, [float(spread) or 1.0 for spread in spreads])

    @classmethod
    def _apart(cls, catalog: Catalog, sample: NDArray[np.integer]) -> "Codewords":
        """One direction for each code of each level: a sum's are its codes', and its square is L."""
        levels, codes = catalog.space.levels, catalog.space.codes
        apart = np.eye(levels * codes, dtype=np.float32).reshape(levels, codes, -1)
        means = []
        for own in catalog.codes:
            counts = [np.bincount(own[sample, level], minlength=codes) for level in range(levels)]
            means.append((np.concatenate(counts) / max(1, len(sample))).astype(np.float32))
        spreads = [levels - float(mean @ mean) if len(sample) else 0.0 for mean in means]
        return cls((apart,) * len(means), means, [spread or 1.0 for spread in spreads])

    def likeness(
        self, modality: int, codes: NDArray[np.uint8], expected: NDArray[np.uint8], probabilities: NDArray[np.floating]
    ) -> Floats:
        """The likeness ``(n,)`` of items with ``codes`` ``(n, L)``.

        Args:
            modality: the modality of all codes.
            codes: the items'.
            expected: ``(k, L)``, of the items that stand for what comes next.
            probabilities: theirs ``(k,)``, adding up to 1.
        """
        codebooks, mean = self.codebooks[modality], self.means[modality]
        towards = (probabilities @ _sums(codebooks, expected) - mean) / self.variances[modality]
        table = codebooks @ towards
        found = np.full(len(codes), -(mean @ towards), dtype=np.float32)
        for level in range(codes.shape[1]):
            found += table[level, codes[:, level]]
        return found


def _sums(codebooks: Floats, codes: NDArray[np.uint8]) -> Floats:
    """The sums ``(n, d)`` of the codewords of codes ``(n, L)``, of codebooks ``(L, M, d)``."""
    sums = np.zeros((len(codes), codebooks.shape[2]), dtype=np.float32)
    for level, codebook in enumerate(codebooks):
        sums += codebook[codes[:, level]]
    return sums
