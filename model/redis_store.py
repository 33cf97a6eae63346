"""Versions of bundles and catalogs in Redis or Valkey.

    macrec:chunk:SHA256   one chunk; its key says what it must hold
    macrec:manifests      hash: KIND/VERSION -> manifest, written when the chunks are complete
    macrec:releases       list: every release (JSON) that was made current; the last one is current
    macrec:released       pub/sub channel: the release that has just become current

The pointer is the end of one list, so that moving it, forwards or back, is one command, and the server runs it together
with the manifests and the message. The server must not evict keys (``maxmemory-policy noeviction``).
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

from model.errors import ConfigError, RegistryError
from model.release import Release, VersionKey

RELEASES = "macrec:releases"
CHANNEL = "macrec:released"
MANIFESTS = "macrec:manifests"
CHUNK = "macrec:chunk:"
_KEPT_RELEASES = 100

POINTER_SECONDS = 2.0
"""Longest wait for the pointer or a manifest: who waits longer notices too late that Redis answers again."""

_TICK = 0.25
"""Seconds after which a thread that waits for a message notices that the store was closed."""

_OVERTAKEN = -1

_RELEASE = """
if (redis.call('LINDEX', KEYS[2], -1) or '') ~= ARGV[2] then return 'overtaken' end
for key = 3, #KEYS do
  if redis.call('EXISTS', KEYS[key]) == 0 then return KEYS[key] end
end
for manifest = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[manifest], ARGV[manifest + 1])
end
if ARGV[1] ~= ARGV[2] then
  redis.call('RPUSH', KEYS[2], ARGV[1])
  redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
  redis.call('PUBLISH', ARGV[4], ARGV[1])
end
return 'released'
"""
_WITHDRAW = """
if redis.call('LLEN', KEYS[1]) < 2 then return false end
redis.call('RPOP', KEYS[1])
local release = redis.call('LINDEX', KEYS[1], -1)
redis.call('PUBLISH', ARGV[1], release)
return release
"""
_FORGET = """
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[1]), -1)
local named = {}
for _, text in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  local release = cjson.decode(text)
  named['catalog/' .. release.catalog] = true
  if release.bundle ~= cjson.null then named['bundle/' .. release.bundle] = true end
end
local forgotten = {}
for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not named[key] then
    redis.call('HDEL', KEYS[1], key)
    table.insert(forgotten, key)
  end
end
return forgotten
"""
_SWEEP = """
if (redis.call('LINDEX', KEYS[2], -1) or '') ~= ARGV[2] then return -1 end
local idle = redis.call('OBJECT', 'IDLETIME', KEYS[1])
if idle and idle >= tonumber(ARGV[1]) then return redis.call('UNLINK', KEYS[1]) end
return 0
"""


class RedisStore:
    """A store in the Redis database that ``url`` names."""

    def __init__(self, url: str, timeout: float) -> None:
        """Connects lazily; ``timeout`` seconds bound connecting and each wait for an answer, and nothing is retried.

        Raises:
            ConfigError: if the URL cannot be understood.
        """
        parts = urlsplit(url)
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        try:
            self._client = _client(url, timeout)
            self._pointer_client = _client(url, min(timeout, POINTER_SECONDS))
        except ValueError as error:
            raise ConfigError(f"{self._address} is no Redis URL: {error}") from error
        self._channel: PubSub | None = None
        self._listening = threading.Lock()
        self._closed = threading.Event()

    def write_chunk(self, sha256: str, chunk: bytes) -> None:
        """Writes a chunk under its own key."""
        with self._named_errors():
            self._client.set(CHUNK + sha256, chunk)

    def read_chunk(self, sha256: str) -> bytes | None:
        """The chunk, or None."""
        with self._named_errors():
            return _bytes(self._client.get(CHUNK + sha256))

    def read_manifest(self, key: VersionKey) -> bytes | None:
        """The manifest of a version, or None."""
        with self._named_errors():
            return _bytes(self._pointer_client.hget(MANIFESTS, str(key)))

    def known(self) -> list[VersionKey]:
        """All versions with a manifest."""
        with self._named_errors():
            return [VersionKey.parse(_text(key)) for key in self._client.hkeys(MANIFESTS)]

    def current(self) -> Release | None:
        """The last release."""
        text = self._pointer()
        return Release.parse(text) if text else None

    def release(
        self, release: Release, manifests: Mapping[VersionKey, bytes], chunks: Collection[str], after: Release | None
    ) -> bool:
        """Writes ``manifests`` and appends ``release`` unless it is the last one already; all of it or nothing."""
        keys = [MANIFESTS, RELEASES, *(CHUNK + sha256 for sha256 in chunks)]
        before = b"" if after is None else after.dump()
        named = [part for key, manifest in manifests.items() for part in (str(key), manifest)]
        with self._named_errors():
            result = _text(
                self._client.eval(_RELEASE, len(keys), *keys, release.dump(), before, _KEPT_RELEASES, CHANNEL, *named)
            )
        if result.startswith(CHUNK):
            raise RegistryError(f"{result} vanished from {self._address} while it was published; publish again")
        return result == "released"

    def withdraw(self) -> Release | None:
        """Drops the last release, announces and returns the one before; None where there is none."""
        with self._named_errors():
            text = _bytes(self._client.eval(_WITHDRAW, 1, RELEASES, CHANNEL))
        return None if text is None else Release.parse(text)

    def forget(self, keep: int) -> list[VersionKey]:
        """Drops older releases and the manifests that only they named."""
        with self._named_errors():
            forgotten: Any = self._client.eval(_FORGET, 2, MANIFESTS, RELEASES, keep)
        return [VersionKey.parse(_text(key)) for key in forgotten]

    def sweep(self, in_use: Callable[[], Collection[str]], unused_seconds: float) -> int:
        """Deletes the chunks that nobody needs, judging each at the moment of its deletion.

        A release that comes meanwhile makes it ask again what is needed, before it deletes anything more.
        """
        deleted, pointer, needed = 0, self._pointer(), in_use()
        with self._named_errors():
            for key in self._client.scan_iter(f"{CHUNK}*", count=1000):
                while _text(key).removeprefix(CHUNK) not in needed:
                    swept = int(str(self._client.eval(_SWEEP, 2, key, RELEASES, unused_seconds, pointer)))
                    if swept != _OVERTAKEN:
                        deleted += swept
                        break
                    pointer, needed = self._pointer(), in_use()
        return deleted

    def wait(self, seconds: float) -> None:
        """Sleeps until a message comes; where none can come, for as long as it was told."""
        deadline = time.monotonic() + seconds
        with self._listening:
            try:
                while not self._closed.is_set() and (left := deadline - time.monotonic()) > 0:
                    if self._listen().get_message(timeout=min(left, _TICK)) is not None:
                        return
            except (RedisError, OSError):
                self._hang_up()
        self._closed.wait(max(deadline - time.monotonic(), 0))

    def close(self) -> None:
        """Ends waiting and closes the connections."""
        self._closed.set()
        with self._listening:
            self._hang_up()
        self._client.close()
        self._pointer_client.close()

    def _pointer(self) -> bytes:
        """The current release as it is stored, nothing before the first."""
        with self._named_errors():
            return _bytes(self._pointer_client.lindex(RELEASES, -1)) or b""

    def _listen(self) -> PubSub:
        """The subscription; a lost one is renewed, and what was said meanwhile is found by looking."""
        if self._channel is None:
            self._channel = PubSub(self._pointer_client.connection_pool, ignore_subscribe_messages=True)
            self._channel.subscribe(CHANNEL)
        return self._channel

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            # What else is connected may be half open, and would cost a timeout more when Redis is there again.
            self._client.connection_pool.disconnect()
            raise RegistryError(
                f"the registry {self._address} does not answer or refuses: {type(error).__name__}: {error}; "
                "check that the server runs, the password and its memory"
            ) from error


def _client(url: str, timeout: float) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_read_size=1 << 20,
        retry=Retry(NoBackoff(), 0),
    )


def _bytes(value: Any) -> bytes | None:
    """Narrows the answer of a client that decodes nothing: bytes or None."""
    assert value is None or isinstance(value, bytes)
    return value


def _text(value: Any) -> str:
    assert isinstance(value, bytes)
    return value.decode()
