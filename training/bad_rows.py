"""Rows that cannot be used: counted by kind with their line numbers, and an error once they are too many."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from model.config import Config
from model.errors import DataError

SHOWN_LINES = 20
Policy = Literal["error", "skip"]


class RowRules(Config):
    """What to do with rows that cannot be used.

    ``skip`` counts and reports them. ``max_bad_share`` bounds the skipped share of each file; an item with an
    unreadable image or price stays in the catalog without it and counts as well. An empty text is reported only.
    """

    max_bad_share: float = Field(default=0.01, ge=0, le=1)
    unknown_item: Policy = "skip"
    broken_image: Policy = "skip"
    empty_text: Policy = "skip"


class Rows(Config):
    """How many rows of one kind there were, and the 1-based line numbers of the first :data:`SHOWN_LINES`."""

    count: int
    lines: list[int]


class FileRows(Config):
    """What became of the rows of one file: ``bad`` counts towards the allowed share, ``noted`` does not."""

    rows: int
    bad: dict[str, Rows]
    noted: dict[str, Rows]


class BadRows:
    """Collects the bad rows of one file."""

    def __init__(self, source: str, rules: RowRules) -> None:
        """``source`` is the file's name, for messages."""
        self.source = source
        self.rules = rules
        self._bad: dict[str, list[NDArray[np.int64]]] = {}
        self._noted: dict[str, list[NDArray[np.int64]]] = {}

    def skip(self, kind: str, lines: ArrayLike, policy: Policy = "skip", detail: str = "") -> None:
        """Counts rows that cannot be used.

        Raises:
            DataError: if there are any and the policy is ``error``.
        """
        self._add(self._bad, kind, lines, policy, detail)

    def note(self, kind: str, lines: ArrayLike, policy: Policy = "skip", detail: str = "") -> None:
        """Counts rows that are used although something is missing.

        Raises:
            DataError: if there are any and the policy is ``error``.
        """
        self._add(self._noted, kind, lines, policy, detail)

    def check(self, rows: int) -> FileRows:
        """The summary, once all of the file's ``rows`` are read.

        Raises:
            DataError: if more than the allowed share is bad.
        """
        summary = FileRows(rows=rows, bad=_summary(self._bad), noted=_summary(self._noted))
        count = sum(kind.count for kind in summary.bad.values())
        if count > self.rules.max_bad_share * rows:
            kinds = "; ".join(f"{kind}: {_shown(found)}" for kind, found in summary.bad.items())
            raise DataError(
                f"{self.source}: {count} of {rows} rows are bad, more than max_bad_share = "
                f"{self.rules.max_bad_share:g} allows. Mend them or raise it. {kinds}"
            )
        return summary

    def _add(
        self, kinds: dict[str, list[NDArray[np.int64]]], kind: str, lines: ArrayLike, policy: Policy, detail: str
    ) -> None:
        numbers = np.atleast_1d(np.asarray(lines, dtype=np.int64))
        if numbers.size == 0:
            return
        kinds.setdefault(kind, []).append(numbers)
        if policy == "error":
            found = _shown(_summary(kinds)[kind])
            raise DataError(
                f"{self.source}, {kind}: {found}{detail and f'; {detail}'}. Mend the data or allow skipping."
            )


def _summary(kinds: dict[str, list[NDArray[np.int64]]]) -> dict[str, Rows]:
    """Counts and first lines by kind."""
    joined = {kind: np.concatenate(parts) for kind, parts in kinds.items()}
    return {kind: Rows(count=len(lines), lines=lines[:SHOWN_LINES].tolist()) for kind, lines in joined.items()}


def _shown(rows: Rows) -> str:
    """The lines of one kind in words."""
    more = ", ..." if rows.count > len(rows.lines) else ""
    return f"{rows.count} at line {', '.join(map(str, rows.lines))}{more}"
