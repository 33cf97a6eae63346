"""Users' histories in Redis or Valkey.

    macrec:history:{USER}:times   sorted set: event id by timestamp
    macrec:history:{USER}:items   hash: event id -> item id

Waiting is bounded at every step and nothing is retried. After a failure the store is not asked for a second, so that
requests do not each wait for a server that is away.
"""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from model.errors import ConfigError
from service.store import StoredEvent, StoreUnavailableError

PAUSE = 1.0

_APPEND = """
local added = 0
for i = 2, #ARGV, 3 do
  if redis.call('ZADD', KEYS[1], 'NX', ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i + 2])
    added = added + 1
  end
end
local excess = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if excess > 0 then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, excess - 1)
  redis.call('ZREM', KEYS[1], unpack(oldest))
  redis.call('HDEL', KEYS[2], unpack(oldest))
end
return added
"""
_READ = """
local events = redis.call('ZRANGE', KEYS[1], 0, -1)
if #events == 0 then return events end
return redis.call('HMGET', KEYS[2], unpack(events))
"""


class RedisHistories:
    """Histories in the Redis database that a URL names; see :class:`service.store.HistoryStore`."""

    def __init__(self, url: str, history_limit: int, timeout: float, connections: int, pool_wait: float) -> None:
        """Connects when first used.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            history_limit: events kept per user, the latest.
            timeout: seconds to wait for a connection or an answer.
            connections: at most.
            pool_wait: seconds to wait for a free connection.

        Raises:
            ConfigError: if the URL cannot be understood.
        """
        self._history_limit = history_limit
        self._asked_again = 0.0
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=pool_wait,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigError(f"MACREC_REDIS_URL cannot be used: {error}") from error
        self._client: Redis = Redis.from_pool(pool)

    async def read(self, user_id: str) -> list[str]:
        """The item ids of a user's history, oldest first."""
        async with self._available():
            items: list[bytes] = await self._client.eval(_READ, 2, *_keys(user_id))
        return [item.decode() for item in items]

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """Stores events, one round trip for all users; returns how many were new."""
        arguments: dict[str, list[Any]] = defaultdict(list)
        for event in events:
            arguments[event.user_id] += [repr(event.timestamp), event.event_id, event.item_id]
        async with self._available(), self._client.pipeline(transaction=False) as pipeline:
            for user_id, triples in arguments.items():
                pipeline.eval(_APPEND, 2, *_keys(user_id), self._history_limit, *triples)
            return sum(await pipeline.execute())

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _available(self) -> AsyncIterator[None]:
        """Turns every failure into StoreUnavailableError, at once for a while after one."""
        if time.monotonic() < self._asked_again:
            raise StoreUnavailableError("the history store did not answer a moment ago")
        try:
            yield
        except (RedisError, OSError) as error:
            self._asked_again = time.monotonic() + PAUSE
            raise StoreUnavailableError(f"the history store does not answer: {error}") from error


def _keys(user_id: str) -> tuple[str, str]:
    """The keys of a user, which a cluster keeps on one server."""
    return f"macrec:history:{{{user_id}}}:times", f"macrec:history:{{{user_id}}}:items"
