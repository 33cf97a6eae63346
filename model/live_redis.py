"""A live log in Redis or Valkey; the braces keep all of it on one server of a cluster.

    macrec:{live}:sequence       the number of the latest change
    macrec:{live}:log            stream: number-0 -> the number before, what happened, to which item, and its codes
    macrec:{live}:state          hash: item -> number of its latest change, digest, deleted, available
    macrec:{live}:metadata       hash: item -> metadata of its latest upsert
    macrec:{live}:inputs         hash: item -> inputs of its latest upsert
    macrec:{live}:codes:SPACE    hash: item -> its codes in an ID space, for ever
    macrec:{live}:leaves:SPACE   hash: modality and leaf -> the item that took it first, for ever

Each change is one script, so it is there as a whole or not at all, and as durable as the server makes its writes: run
it with ``appendonly yes`` and ``appendfsync always``, or what was acknowledged in the last second may be lost with the
machine. The stream only tells who changed; it keeps about a million changes and may be trimmed further, as the hashes
hold the latest state of every item.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from pydantic import ValidationError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from model.errors import ConfigError, LiveLogError
from model.item_inputs import ItemInputs
from model.live_log import Changes, Claim, LiveItem, Mark, Standing, Upsert, Written
from model.live_scripts import MARK, UPSERT

PREFIX = "macrec:{live}:"
_SEQUENCE, _LOG, _STATE, _METADATA, _INPUTS = (
    PREFIX + name for name in ("sequence", "log", "state", "metadata", "inputs")
)
_OFFERS = (16, 256, 1 << 16)
"""Leaves that are offered at the first, second and last attempt; most items get one of the first."""

KEPT_CHANGES = 1_000_000
"""Changes that the stream keeps at least; who was away for longer reads the states."""

_MOST_CHANGES = 10_000
_SCANNED = 1_000
_SECONDS_BEYOND_WAIT = 1.0

_CLAIM_ONLY = ""


class RedisLog:
    """See :class:`model.live_log.LiveLog`; threads and processes may share a database."""

    def __init__(self, url: str, timeout: float, kept_changes: int = KEPT_CHANGES) -> None:
        """Connects lazily; ``timeout`` seconds bound connecting and each wait for an answer, and nothing is retried.

        Raises:
            ConfigError: if the URL cannot be understood.
        """
        self._timeout = timeout
        self._client = _client(url, timeout)
        # A reader that waits for a change must not take the silence for a dead server.
        self._reader = _client(url, timeout + _SECONDS_BEYOND_WAIT)
        self._kept = kept_changes
        self._upsert = self._client.register_script(UPSERT)
        self._mark = self._client.register_script(MARK)

    def upsert(self, upserts: Sequence[Upsert], floor: int) -> list[Written]:
        """See :class:`model.live_log.LiveLog`; one round trip unless what is offered is taken."""
        prepared = [
            [
                self._kept,
                floor,
                upsert.claim.item_id,
                _standing(upsert.standing or Standing()),
                upsert.claim.space_hash,
                upsert.inputs.digest(),
                orjson.dumps(upsert.inputs.metadata()),
                upsert.inputs.pack(),
            ]
            for upsert in upserts
        ]
        return self._run([upsert.claim for upsert in upserts], prepared)

    def mark(self, item_id: str, mark: Mark, standing: Standing | None, floor: int) -> Written | None:
        """See :class:`model.live_log.LiveLog`."""
        known = "" if standing is None else _standing(standing)
        with _named_errors():
            answer = self._mark(
                keys=[_SEQUENCE, _LOG, _STATE, _METADATA, _INPUTS], args=[self._kept, floor, item_id, known, mark]
            )
        return None if answer is None else Written(int(answer[0]), bool(answer[1]))

    def claim(self, claims: Sequence[Claim]) -> list[bytes]:
        """See :class:`model.live_log.LiveLog`."""
        prepared = [
            [self._kept, 0, claim.item_id, _standing(Standing()), claim.space_hash, _CLAIM_ONLY, "", ""]
            for claim in claims
        ]
        return [written.codes for written in self._run(claims, prepared)]

    def changes(self, after: int, space_hash: str, wait: float = 0.0) -> Changes:
        """See :class:`model.live_log.LiveLog`."""
        with _named_errors():
            sequence = self.sequence()
            if sequence < after:
                return Changes(sequence, [], lost=True)
            block = max(1, round(min(wait, self._timeout) * 1e3)) if wait and sequence == after else None
            streams: Any = self._reader.xread({_LOG: f"{after}-0"}, count=_MOST_CHANGES, block=block)
            entries = streams[0][1] if streams else []
            if not entries and sequence == after:
                return Changes(after, [])
            if not entries or _number(entries[0]) > after + 1:
                return Changes(sequence, self._scan(after, space_hash))
            item_ids = list(dict.fromkeys(fields[b"item"] for _, fields in entries))
            items = [item for item in self._latest(item_ids, space_hash) if item.sequence > after]
            items.sort(key=lambda item: item.sequence)
            # A log that lost its end goes on behind what its writer knew, and says so.
            lost = int(entries[0][1].get(b"last", after)) < after
            return Changes(_number(entries[-1]), items, more=len(entries) == _MOST_CHANGES, lost=lost)

    def inputs(self, item_ids: Sequence[str]) -> list[ItemInputs | None]:
        """See :class:`model.live_log.LiveLog`."""
        if not item_ids:
            return []
        with _named_errors():
            packed: Any = self._client.hmget(_INPUTS, list(item_ids))
            return [None if each is None else ItemInputs.unpack(each) for each in packed]

    def sequence(self) -> int:
        """See :class:`model.live_log.LiveLog`."""
        with _named_errors():
            return int(self._client.get(_SEQUENCE) or 0)

    def trim(self, below: int) -> None:
        """Shortens the stream; the states stay."""
        with _named_errors():
            self._client.xtrim(_LOG, minid=f"{below + 1}-0", approximate=False)

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()
        self._reader.close()

    def _run(self, claims: Sequence[Claim], prepared: list[list[Any]]) -> list[Written]:
        """Runs the script for each claim, offering more leaves to those that found all taken.

        What is said of one item several times is run turn by turn, so that the last word stays the last.
        """
        results: list[Written | None] = [None] * len(claims)
        for turn in _turns(claims):
            for offer in _OFFERS:
                open_rows = [row for row in turn if results[row] is None]
                if not open_rows:
                    break
                with _named_errors(), self._client.pipeline(transaction=False) as pipeline:
                    for row in open_rows:
                        leaves, is_last = _offered(claims[row], offer)
                        keys = _keys(claims[row].space_hash)
                        self._upsert(keys=keys, args=[*prepared[row], int(is_last), *leaves], client=pipeline)
                    answers = pipeline.execute()
                for row, (sequence, changed, codes) in zip(open_rows, answers, strict=True):
                    results[row] = None if codes is None else Written(int(sequence), bool(changed), codes)
        return [result for result in results if result is not None]

    def _scan(self, after: int, space_hash: str) -> list[LiveItem]:
        """The states that changed after a number, from all that there are."""
        found: list[LiveItem] = []
        wanted: list[bytes] = []
        for item_id, state in self._reader.hscan_iter(_STATE, count=_SCANNED):
            if int(state.split()[0]) > after:
                wanted.append(item_id)
            if len(wanted) == _SCANNED:
                found += self._latest(wanted, space_hash)
                wanted = []
        found += self._latest(wanted, space_hash)
        return sorted(found, key=lambda item: item.sequence)

    def _latest(self, item_ids: list[bytes], space_hash: str) -> list[LiveItem]:
        """The states of items as they stood together."""
        if not item_ids:
            return []
        with self._reader.pipeline(transaction=True) as pipeline:
            for key in (_STATE, _METADATA, _codes_key(space_hash)):
                pipeline.hmget(key, item_ids)
            columns = pipeline.execute()
        return [
            _item(item_id.decode(), state, metadata, codes)
            for item_id, state, metadata, codes in zip(item_ids, *columns, strict=True)
            if state is not None
        ]


def _client(url: str, timeout: float) -> Redis:
    try:
        return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        raise ConfigError(f"the live log's Redis URL cannot be used: {error}") from error


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise LiveLogError(f"the live log does not answer: {error}") from error
    except (ValidationError, orjson.JSONDecodeError) as error:
        raise LiveLogError(f"the live log holds what no server of this version wrote: {error}") from error


def _keys(space_hash: str) -> list[str]:
    return [_SEQUENCE, _LOG, _STATE, _METADATA, _INPUTS, _codes_key(space_hash), f"{PREFIX}leaves:{space_hash}"]


def _codes_key(space_hash: str) -> str:
    return f"{PREFIX}codes:{space_hash}"


def _standing(standing: Standing) -> str:
    """The state of an item that the log has not heard of."""
    return f"0 - {int(standing.deleted)} {int(standing.available)}"


def _turns(claims: Sequence[Claim]) -> list[list[int]]:
    """The rows of claims in as many turns as needed so that none names an item twice."""
    turns: list[list[int]] = []
    seen: Counter[str] = Counter()
    for row, claim in enumerate(claims):
        if seen[claim.item_id] == len(turns):
            turns.append([])
        turns[seen[claim.item_id]].append(row)
        seen[claim.item_id] += 1
    return turns


def _offered(claim: Claim, wanted: int) -> tuple[list[bytes | int], bool]:
    """For each modality the leaf to share, how many are offered, and those; and whether there are no more to offer."""
    offers = [claim.first(modality, wanted) for modality in range(len(claim.shared))]
    arguments: list[bytes | int] = []
    for shared, leaves in zip(claim.shared, offers, strict=True):
        arguments += [shared, len(leaves), *leaves]
    return arguments, wanted == _OFFERS[-1] or all(len(leaves) < wanted for leaves in offers)


def _number(entry: tuple[bytes, Any]) -> int:
    return int(entry[0].split(b"-")[0])


def _item(item_id: str, state: bytes, metadata: bytes | None, codes: bytes | None) -> LiveItem:
    sequence, _, deleted, available = state.split()
    return LiveItem(
        item_id=item_id,
        sequence=int(sequence),
        deleted=deleted == b"1",
        available=available == b"1",
        metadata=None if metadata is None else orjson.loads(metadata),
        codes=codes,
    )
