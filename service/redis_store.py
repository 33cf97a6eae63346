"""Users' histories in Redis or Valkey.

    macrec:history:{USER}:times   sorted set: event id by timestamp
    macrec:history:{USER}:items   hash: event id -> item id

What is acknowledged is as durable as the server makes it (``appendfsync always``, or up to a second less). Waiting is
bounded at every step and as a whole, and nothing is retried. A server that refuses a connection, or was silent twice in
a row, is not asked for a second, so that requests do not each wait for one that is away.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from model.errors import ConfigError
from service.store import HistoryLimits, StoredEvent, StoreUnavailableError

PAUSE = 1.0

_APPEND = """
local window, lifetime, added = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for i = 3, #ARGV, 3 do
  local id = ARGV[i + 1]
  if redis.call('ZADD', KEYS[1], 'NX', ARGV[i], id) == 1 then
    local oldest = redis.call('ZCARD', KEYS[1]) > window and redis.call('ZRANGE', KEYS[1], 0, 0)[1]
    if oldest then
      redis.call('ZREM', KEYS[1], oldest)
      redis.call('HDEL', KEYS[2], oldest)
    end
    if oldest ~= id then
      redis.call('HSET', KEYS[2], id, ARGV[i + 2])
      added = added + 1
    end
  end
end
if added > 0 and lifetime > 0 then
  redis.call('PEXPIRE', KEYS[1], lifetime)
  redis.call('PEXPIRE', KEYS[2], lifetime)
end
return added
"""
_READ = """
local events = redis.call('ZRANGE', KEYS[1], -tonumber(ARGV[1]), -1)
local items = {}
for first = 1, #events, 1000 do
  local some = redis.call('HMGET', KEYS[2], unpack(events, first, math.min(first + 999, #events)))
  for i = 1, #some do items[#items + 1] = some[i] end
end
return items
"""
_DELETE = """
local events = redis.call('ZCARD', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[2])
return events
"""


class Waits(NamedTuple):
    """How long Redis is waited for, in seconds.

    Attributes:
        step: for a connection, or for the answer to a read.
        read: for a read in all.
        write: for a write in all.
        pool: for a free connection.
    """

    step: float
    read: float
    write: float
    pool: float


class RedisHistories:
    """Histories in the Redis database that a URL names; see :class:`service.store.HistoryStore`."""

    def __init__(self, url: str, limits: HistoryLimits, waits: Waits, connections: int) -> None:
        """Connects when first used.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            limits: how much is kept of a user.
            waits: how long to wait.
            connections: at most, for reads and for writes each.

        Raises:
            ConfigError: if the URL cannot be understood.
        """
        self._limits = limits
        self._waits = waits
        self._asked_again = 0.0
        self._doubted: float | None = None
        self._reads = _client(url, connections, waits.step, waits.pool)
        self._writes = _client(url, connections, waits.write, waits.pool)

    async def open(self) -> None:
        """See :class:`service.store.HistoryStore`; a server that is away does not hinder the service."""

    async def read(self, user_id: str) -> list[str]:
        """See :class:`service.store.HistoryStore`."""
        async with self._available(self._waits.read):
            items: list[bytes | None] = await self._reads.eval(_READ, 2, *_keys(user_id), self._limits.history)
        return [item.decode() for item in items if item is not None]

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """See :class:`service.store.HistoryStore`; one round trip for all users."""
        arguments: dict[str, list[Any]] = defaultdict(list)
        for event in events:
            arguments[event.user_id] += [repr(event.timestamp), event.event_id, event.item_id]
        lifetime = math.ceil((self._limits.ttl or 0) * 1e3)
        async with self._available(self._waits.write), self._writes.pipeline(transaction=False) as pipeline:
            for user_id, triples in arguments.items():
                pipeline.eval(_APPEND, 2, *_keys(user_id), self._limits.window, lifetime, *triples)
            return sum(await pipeline.execute())

    async def delete(self, user_id: str) -> int:
        """See :class:`service.store.HistoryStore`."""
        async with self._available(self._waits.write):
            return int(await self._writes.eval(_DELETE, 2, *_keys(user_id)))

    async def close(self) -> None:
        """Closes all connections."""
        await self._reads.aclose()
        await self._writes.aclose()

    @asynccontextmanager
    async def _available(self, seconds: float) -> AsyncIterator[None]:
        """Waits ``seconds`` at most and turns every failure into StoreUnavailableError, at once while the server rests.

        A server that refuses (it is full, or a replica) costs no time, so it goes on being asked; so does one of which
        every step came in time and only the whole did not, since it may be this process that is busy.
        """
        began = time.monotonic()
        if began < self._asked_again:
            raise StoreUnavailableError("the history store did not answer a moment ago")
        try:
            async with asyncio.timeout(seconds):
                yield
            self._doubted = None
        except ResponseError as error:
            raise StoreUnavailableError(f"the history store refuses: {error}") from error
        except TimeoutError as error:
            raise StoreUnavailableError(f"the history store took longer than {seconds} s") from error
        except (RedisError, OSError) as error:
            self._doubt(began, error)
            reason = str(error) or type(error).__name__
            raise StoreUnavailableError(f"the history store does not answer: {reason}") from error

    def _doubt(self, began: float, error: Exception) -> None:
        """Lets the server rest after a failure of a call that ``began`` then.

        A timeout may be this process' own: everything that waited while it was busy fails at once. So one is believed
        when a call that began after the first, with no answer in between, fails as well.
        """
        is_timeout = isinstance(error, RedisTimeoutError) or isinstance(error.__cause__, TimeoutError)
        if is_timeout and (self._doubted is None or began < self._doubted):
            self._doubted = self._doubted or time.monotonic()
        else:
            self._asked_again = time.monotonic() + PAUSE


def _client(url: str, connections: int, timeout: float, pool_wait: float) -> Redis:
    """A client with bounded waits that retries nothing."""
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=pool_wait,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            # With protocol 3 the client listens for notices, and takes a connection that was closed for a live one.
            protocol=2,
        )
    except ValueError as error:
        raise ConfigError(f"MACREC_REDIS_URL cannot be used: {error}") from error
    return Redis.from_pool(pool)


def _keys(user_id: str) -> tuple[str, str]:
    """The keys of a user, which a cluster keeps on one server."""
    return f"macrec:history:{{{user_id}}}:times", f"macrec:history:{{{user_id}}}:items"
