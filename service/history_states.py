"""Encoder states of histories that were searched lately, so that a request encodes only what is new in its history.

For causal encoders alone: what they made of a history's beginning does not depend on what follows. Keys are the tokens
themselves, so that whatever changes a history or an item's semantic ID finds nothing; an engine has its own states, so
that no other generator's are found.
"""

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOOK_BACK = 8
"""New events of a user between two requests up to which the states before them are found."""

SHORTEST_KNOWN = 3
"""Items of the shortest history of which something can be known: a single item is not worth keeping."""

Tokens = NDArray[np.int64]
States = NDArray[np.float32]


class _Entry(NamedTuple):
    """A history's tokens ``(n, T)``, and the states ``(n, width)`` of its items."""

    tokens: Tokens
    states: States

    @property
    def nbytes(self) -> int:
        return self.tokens.nbytes + self.states.nbytes


class HistoryStates:
    """The histories used last; threads may share it."""

    def __init__(self, width: int, max_bytes: int) -> None:
        """Keeps ``max_bytes`` of states, of ``width`` numbers for an item; 0 keeps none."""
        self._none: States = np.zeros((0, width), dtype=np.float32)
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many histories are kept."""
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return self._nbytes

    def of_beginning(self, tokens: Tokens) -> States:
        """States ``(p, width)`` of the first items of a history ``(n, T)``, as many as are known, but not of the last.

        Where the encoder's last state tells the decoder where the history ends, it has to be encoded in any case.
        """
        for known in range(len(tokens) - 1, max(0, len(tokens) - 2 - LOOK_BACK), -1):
            with self._lock:
                entry = self._entries.get(key := _key(tokens[:known]))
                if entry is None:
                    continue
                self._entries.move_to_end(key)
            same = known + 1 < len(tokens) and np.array_equal(entry.tokens[known], tokens[known])
            return entry.states[: known + same]
        return self._none

    def keep(self, tokens: Tokens, states: States) -> None:
        """Keeps the states ``(n, width)`` of a history ``(n, T)`` in place of what was used longest ago.

        It is found by its tokens but the last, so that the same request is found as well as the next one. A history
        that it continues is forgotten: its user went on.
        """
        entry = _Entry(tokens, states)
        if len(tokens) < 2 or entry.nbytes > self._max_bytes:
            return
        with self._lock:
            key = _key(tokens[:-1])
            self._forget(key)
            self._forget_beginning(tokens)
            self._entries[key] = entry
            self._nbytes += entry.nbytes
            while self._nbytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._nbytes -= oldest.nbytes

    def _forget_beginning(self, tokens: Tokens) -> None:
        """Forgets the longest history that ``tokens`` continue; the lock is held."""
        for length in range(len(tokens) - 1, max(1, len(tokens) - 1 - LOOK_BACK), -1):
            entry = self._entries.get(key := _key(tokens[: length - 1]))
            if entry is not None and np.array_equal(entry.tokens, tokens[:length]):
                self._forget(key)
                return

    def _forget(self, key: bytes) -> None:
        """Forgets an entry, if it is there; the lock is held."""
        entry = self._entries.pop(key, None)
        self._nbytes -= 0 if entry is None else entry.nbytes


def _key(tokens: Tokens) -> bytes:
    return tokens.astype(np.int32).tobytes()
