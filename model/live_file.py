"""A live log in a folder: one line for each change, synced before anybody hears of it.

    live.jsonl   an item's whole state after each change, so that the last line of an item says everything
    live.lock    held by the process that writes

Several processes may use one folder. A line that a killed writer left unfinished was never acknowledged, and is cut off
by the next writer. Trimming writes the file anew with one line an item, and so does a writer who finds that most lines
were replaced by later ones.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pydantic import ValidationError

from model.durable_files import locked, named_errors, sync_folder, write_durably
from model.errors import LiveLogError
from model.item_inputs import ItemInputs
from model.live_book import Book, Record
from model.live_log import Changes, Claim, Mark, Standing, Upsert, Written

log = logging.getLogger(__name__)

LOG_FILE = "live.jsonl"
LOCK_FILE = "live.lock"
_GLANCE = 0.01
"""Seconds between two looks at the file while somebody waits for a change."""
SPARE_BYTES = 64 << 20
"""The file is written anew when it is twice as large as its latest lines, and this much larger."""


class FileLog:
    """See :class:`model.live_log.LiveLog`; threads and processes may share a folder."""

    def __init__(self, folder: Path, spare_bytes: int = SPARE_BYTES) -> None:
        """Touches nothing yet; ``folder`` is made when it is first written to."""
        self._path = folder / LOG_FILE
        self._lock_path = folder / LOCK_FILE
        self._spare_bytes = spare_bytes
        self._thread_lock = threading.Lock()
        self._book = Book()
        self._descriptor: int | None = None  # held, so that no later file gets the number by which this one is known
        self._is_named = False  # whether the file's name is known to be durable
        self._read_to = 0
        self._sizes: dict[str, int] = {}  # bytes of the latest line of each item
        self._needed = 0  # the sum of those
        self._postponed = 0  # bytes of the file below which it is not written anew, as that failed

    def upsert(self, upserts: Sequence[Upsert], floor: int) -> list[Written]:
        """See :class:`model.live_log.LiveLog`; all of them are synced together."""
        with self._writing() as lines:
            return [self._keep(*self._book.upsert(upsert, floor), lines) for upsert in upserts]

    def mark(self, item_id: str, mark: Mark, standing: Standing | None, floor: int) -> Written | None:
        """See :class:`model.live_log.LiveLog`."""
        with self._writing() as lines:
            made = self._book.mark(item_id, mark, standing, floor)
            return None if made is None else self._keep(*made, lines)

    def claim(self, claims: Sequence[Claim]) -> list[bytes]:
        """See :class:`model.live_log.LiveLog`."""
        with self._writing() as lines:
            codes = []
            for claim in claims:
                claimed, record = self._book.claim(claim)
                self._keep(Written(0, record is not None), record, lines)
                codes.append(claimed)
            return codes

    def changes(self, after: int, space_hash: str, wait: float = 0.0) -> Changes:
        """See :class:`model.live_log.LiveLog`."""
        deadline = time.monotonic() + wait
        while self.sequence() == after and time.monotonic() < deadline:
            time.sleep(_GLANCE)
        with self._thread_lock:
            sequence = self._book.sequence
            return Changes(sequence, self._book.after(after, space_hash), lost=sequence < after)

    def inputs(self, item_ids: Sequence[str]) -> list[ItemInputs | None]:
        """See :class:`model.live_log.LiveLog`."""
        with self._reading():
            return self._book.inputs(item_ids)

    def sequence(self) -> int:
        """See :class:`model.live_log.LiveLog`."""
        with self._reading():
            return self._book.sequence

    def trim(self, below: int) -> None:  # noqa: ARG002 (the file holds no more than the latest states then)
        """Writes the file anew without the states that a later one of the same item replaces."""
        with self._writing():
            self._rewrite()

    def close(self) -> None:
        """Closes the file; whoever asks again opens it again."""
        with self._thread_lock:
            self._forget()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Knows all that is in the file."""
        with self._thread_lock, self._errors():
            self._catch_up()
            yield

    @contextmanager
    def _writing(self) -> Iterator[list[bytes]]:
        """Is the only writer, knows all that is in the file, and appends the lines that it is given in the end.

        If they cannot be written, what was made of them is forgotten.
        """
        with self._thread_lock, self._errors(), locked(self._lock_path):
            self._catch_up()
            lines: list[bytes] = []
            try:
                yield lines
                self._append(lines)
            except BaseException:
                self._forget()
                raise
            if self._read_to > max(2 * self._needed + self._spare_bytes, self._postponed):
                self._shrink()

    def _keep(self, written: Written, record: Record | None, lines: list[bytes]) -> Written:
        if record is not None and written.changed:
            lines.append(_line(record))
            self._take(record, len(lines[-1]))
        return written

    def _take(self, record: Record, size: int) -> None:
        """Takes in a record whose line has ``size`` bytes."""
        self._book.keep(record)
        self._needed += size - self._sizes.get(record.item, 0)
        self._sizes[record.item] = size

    def _append(self, lines: list[bytes]) -> None:
        """Appends whole lines behind the last whole one, and syncs them."""
        if not lines:
            return
        with self._path.open("ab") as file:
            file.truncate(self._read_to)
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
            if self._descriptor is None:
                self._descriptor = os.dup(file.fileno())
        if not self._is_named:
            sync_folder(self._path.parent)
            self._is_named = True
        self._read_to += sum(map(len, lines))

    def _shrink(self) -> None:
        """Writes the file anew behind a change that is stored already: a failure costs only space."""
        try:
            self._rewrite()
        except OSError as error:
            self._postponed = self._read_to + self._spare_bytes
            log.warning("the live log cannot be written anew", extra={"reason": str(error)})

    def _rewrite(self) -> None:
        """Writes the file anew with one line an item; this is the only writer."""
        for left_over in self._path.parent.glob(f".{LOG_FILE}.*.partial"):
            left_over.unlink()
        write_durably(self._path, map(_line, self._book.records.values()))

    def _catch_up(self) -> None:
        """Reads the whole lines that came since the last look; all of them if the file was written anew."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            self._forget()
            return
        with file:
            status = os.fstat(file.fileno())
            if self._descriptor is None or os.fstat(self._descriptor).st_ino != status.st_ino:
                self._forget()
                self._descriptor = os.dup(file.fileno())
            if status.st_size <= self._read_to:
                return
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._take(self._parsed(line), len(line))
                self._read_to += len(line)

    def _parsed(self, line: bytes) -> Record:
        try:
            return Record.model_validate_json(line)
        except ValidationError as error:
            raise LiveLogError(
                f"{self._path} is damaged at byte {self._read_to}: {error}; restore it, or move it away to start anew"
            ) from error

    def _forget(self) -> None:
        """Reads everything again next time."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._book, self._descriptor, self._is_named, self._read_to = Book(), None, False, 0
        self._sizes, self._needed = {}, 0

    def _errors(self) -> AbstractContextManager[None]:
        return named_errors(LiveLogError, f"the live log {self._path}")


def _line(record: Record) -> bytes:
    return record.model_dump_json(exclude_defaults=True).encode() + b"\n"
