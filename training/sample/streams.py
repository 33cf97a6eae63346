"""Independent random streams, so that a change in one part of the shop leaves every other part as it was."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream of random numbers decides; the values are part of what a seed means and must not change."""

    FACTORS = 1
    POPULARITY = 2
    TEXT = 3
    PICTURE = 4
    MISSING_PICTURE = 5
    TASTE = 6
    LENGTH = 7
    HISTORY = 8
    TIME = 9
    RATING = 10


def generator(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """The generator of one stream; ``index`` separates the items within it."""
    return np.random.default_rng([seed, int(stream), index])
