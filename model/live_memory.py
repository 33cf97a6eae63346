"""A live log in this process' memory: for trying things out, and the half of every log that a single process keeps."""

import threading
from collections.abc import Sequence

from model.item_inputs import ItemInputs
from model.live_book import Book, Record
from model.live_log import Changes, Claim, Mark, Standing, Upsert, Written


class MemoryLog:
    """See :class:`model.live_log.LiveLog`; it ends with the process."""

    def __init__(self) -> None:
        """Starts empty."""
        self._book = Book()
        self._changed = threading.Condition()

    def upsert(self, upserts: Sequence[Upsert], floor: int) -> list[Written]:
        """See :class:`model.live_log.LiveLog`."""
        with self._changed:
            return [self._keep(*self._book.upsert(upsert, floor)) for upsert in upserts]

    def mark(self, item_id: str, mark: Mark, standing: Standing | None, floor: int) -> Written | None:
        """See :class:`model.live_log.LiveLog`."""
        with self._changed:
            made = self._book.mark(item_id, mark, standing, floor)
            return None if made is None else self._keep(*made)

    def claim(self, claims: Sequence[Claim]) -> list[bytes]:
        """See :class:`model.live_log.LiveLog`."""
        with self._changed:
            codes = []
            for claim in claims:
                claimed, record = self._book.claim(claim)
                if record is not None:
                    self._book.keep(record)
                codes.append(claimed)
            return codes

    def changes(self, after: int, space_hash: str, wait: float = 0.0) -> Changes:
        """See :class:`model.live_log.LiveLog`."""
        with self._changed:
            self._changed.wait_for(lambda: self._book.sequence > after, wait)
            sequence = self._book.sequence
            return Changes(sequence, self._book.after(after, space_hash), lost=sequence < after)

    def inputs(self, item_ids: Sequence[str]) -> list[ItemInputs | None]:
        """See :class:`model.live_log.LiveLog`."""
        with self._changed:
            return self._book.inputs(item_ids)

    def sequence(self) -> int:
        """See :class:`model.live_log.LiveLog`."""
        return self._book.sequence

    def trim(self, below: int) -> None:
        """Only the latest states are kept anyway."""

    def close(self) -> None:
        """There is nothing to free."""

    def _keep(self, written: Written, record: Record | None) -> Written:
        if record is not None and written.changed:
            self._book.keep(record)
            self._changed.notify_all()
        return written
