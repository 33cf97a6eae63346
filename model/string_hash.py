"""A 64-bit hash of strings that is the same in every process and on every machine, of one or of millions at once.

The UTF-8 bytes are taken eight at a time as little-endian integers, the last ones filled up with zeros; behind each the
state is mixed with the finaliser of SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
Generators*, OOPSLA 2014). It begins with the length. Strings of over LONG bytes are hashed as their BLAKE2b digest, so
that one huge string costs no loop of its own. It has no key: whoever uses it must stay fast when somebody makes many
hashes equal.
"""

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray

WORD = 8
LONG = 256
"""Bytes up to which a string is hashed, and compared, word by word."""
_MASK = (1 << 64) - 1
_START = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_AT_ONCE = 1 << 18


def hash_one(string: bytes) -> int:
    """The hash of one string, 0 to 2 ** 64 - 1."""
    if len(string) > LONG:
        return int.from_bytes(hashlib.blake2b(string, digest_size=WORD).digest(), "little")
    words = -(-len(string) // WORD)
    state = _mix_one((len(string) + _START) & _MASK)
    for word in struct.unpack(f"<{words}Q", string.ljust(words * WORD, b"\0")):
        state = _mix_one(state ^ word)
    return state


def hash_all(blob: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hashes ``(n,)`` of n strings, the bytes ``blob[start : start + length]`` of each."""
    hashes = np.empty(len(starts), dtype=np.uint64)
    for first in range(0, len(starts), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        hashes[part] = _hash_some(blob, starts[part], lengths[part])
    return hashes


def words(blob: NDArray[np.uint8], places: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The word that begins at each place ``(n,)``, 0 behind the string's end.

    Args:
        blob: the bytes of all strings.
        places: where each word begins.
        lengths: how many bytes of its string ``(n,)`` there are from there on, at least 1.
    """
    if len(blob) < WORD:
        blob = np.pad(blob, (0, WORD - len(blob)))
    view = np.ndarray((len(blob) - WORD + 1,), dtype="<u8", buffer=blob, strides=(1,))
    if places.max() < len(view):
        found = view[places]
    else:  # the last bytes of the blob begin no whole word: they are taken from the last one
        behind = np.maximum(places - (len(view) - 1), 0)
        found = view[places - behind] >> (behind * 8).astype(np.uint64)
    if lengths.min() < WORD:
        unused = (np.maximum(WORD - lengths, 0) * 8).astype(np.uint64)
        found = (found << unused) >> unused
    return found.astype(np.uint64, copy=False)


def longer(lengths: NDArray[np.int64], depth: int) -> NDArray[np.int64] | slice:
    """Which strings have more than ``depth`` bytes; a slice where it is all of them, which is cheaper to index with."""
    rows = np.flatnonzero(lengths > depth)
    return slice(None) if len(rows) == len(lengths) else rows


def _hash_some(blob: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """See :func:`hash_all`."""
    hashes = _mix(lengths.astype(np.uint64) + np.uint64(_START))
    short = np.where(lengths <= LONG, lengths, 0)
    for depth in range(0, int(short.max()), WORD):
        rest = longer(short, depth)
        hashes[rest] = _mix(hashes[rest] ^ words(blob, starts[rest] + depth, short[rest] - depth))
    for row in np.flatnonzero(lengths > LONG).tolist():
        hashes[row] = hash_one(blob[starts[row] : starts[row] + lengths[row]].tobytes())
    return hashes


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    return state ^ (state >> np.uint64(31))


def _mix_one(state: int) -> int:
    """The same for one integer."""
    state = ((state ^ (state >> 30)) * _FIRST) & _MASK
    state = ((state ^ (state >> 27)) * _SECOND) & _MASK
    return state ^ (state >> 31)
