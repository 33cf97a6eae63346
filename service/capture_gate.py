"""Keeps captures of a GPU's work apart from all other use of the GPU.

While CUDA captures, it lets nothing else in the process allocate or copy: the capture would fail, or the other would.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 0.05
"""Seconds that a capture waits for others to finish; they wait for it meanwhile."""


class CaptureGate:
    """Lets many users in together, or one capture alone."""

    def __init__(self) -> None:
        """Begins with nobody inside."""
        self._changed = threading.Condition()
        self._users = 0
        self._is_reserved = False

    @contextmanager
    def use(self) -> Iterator[None]:
        """For whatever allocates, copies or runs; not to be entered twice by one thread."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_reserved)
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @contextmanager
    def capture(self) -> Iterator[bool]:
        """For a capture, which must not be made if this yields False: others did not finish, or capture themselves."""
        with self._changed:
            is_alone = not self._is_reserved
            if is_alone:
                self._is_reserved = True
                is_alone = self._is_reserved = self._changed.wait_for(lambda: not self._users, PATIENCE)
        try:
            yield is_alone
        finally:
            with self._changed:
                if is_alone:
                    self._is_reserved = False
                self._changed.notify_all()


GATE = CaptureGate()
"""The process' only one: all its engines share the GPU."""
