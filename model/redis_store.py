"""Catalog versions in Redis or Valkey.

    macrec:catalog:chunk:VERSION:SHA256   one chunk; its key says what it must hold
    macrec:catalog:manifests              hash: version -> manifest, written when the chunks are complete
    macrec:catalog:releases               list: every version that was made current; the last one is current
    macrec:catalog:released               pub/sub channel: the version that has just become current

The pointer is the end of one list, so that moving it, forwards or back, is one command, and the server runs it together
with the message. The server must not evict keys (``maxmemory-policy noeviction``).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from model.catalog_version import CatalogVersion, StoredFile
from model.errors import BundleError, ConfigError, RegistryError

RELEASES = "macrec:catalog:releases"
CHANNEL = "macrec:catalog:released"
_MANIFESTS = "macrec:catalog:manifests"
_KEPT_RELEASES = 100

_RELEASE = """
if redis.call('LINDEX', KEYS[1], -1) ~= ARGV[1] then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
  redis.call('PUBLISH', ARGV[3], ARGV[1])
end
"""
_WITHDRAW = """
if redis.call('LLEN', KEYS[1]) < 2 then return false end
redis.call('RPOP', KEYS[1])
local version = redis.call('LINDEX', KEYS[1], -1)
redis.call('PUBLISH', ARGV[1], version)
return version
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
            self._client = Redis.from_url(
                url,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                socket_read_size=1 << 20,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigError(f"{self._address} is no Redis URL: {error}") from error

    def write_chunks(self, version: str, file: StoredFile, chunks: Iterable[bytes]) -> None:
        """Writes the chunks of one file of ``version``, each under its own key."""
        for sha256, chunk in zip(file.chunks, chunks, strict=True):
            with self._named_errors():
                self._client.set(_chunk_key(version, sha256), chunk)

    def read_chunks(self, manifest: CatalogVersion, file: StoredFile) -> Iterator[bytes]:
        """Yields the chunks of one file; raises BundleError where one is missing."""
        for number, sha256 in enumerate(file.chunks):
            key = _chunk_key(manifest.version, sha256)
            with self._named_errors():
                chunk = _bytes(self._client.get(key))
            if chunk is None:
                raise BundleError(
                    f"chunk {number} of {file.name} is missing from {self._address} ({key}); publish the catalog again"
                )
            yield chunk

    def write_manifest(self, version: str, manifest: bytes) -> None:
        """Makes ``version`` known."""
        with self._named_errors():
            self._client.hset(_MANIFESTS, version, manifest)

    def read_manifest(self, version: str) -> bytes | None:
        """The manifest of ``version``, or None."""
        with self._named_errors():
            return _bytes(self._client.hget(_MANIFESTS, version))

    def known_versions(self) -> list[str]:
        """All versions with a manifest."""
        with self._named_errors():
            return [_text(version) for version in self._client.hkeys(_MANIFESTS)]

    def current(self) -> str | None:
        """The last release."""
        with self._named_errors():
            version = self._client.lindex(RELEASES, -1)
        return None if version is None else _text(version)

    def release(self, version: str) -> None:
        """Appends ``version`` to the releases and announces it, unless it is the last one."""
        with self._named_errors():
            self._client.eval(_RELEASE, 1, RELEASES, version, _KEPT_RELEASES, CHANNEL)

    def withdraw(self) -> str | None:
        """Drops the last release, announces and returns the one before; None where there is none."""
        with self._named_errors():
            version = self._client.eval(_WITHDRAW, 1, RELEASES, CHANNEL)
        return None if version is None else _text(version)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise RegistryError(
                f"the registry {self._address} does not answer or refuses: {type(error).__name__}: {error}; "
                "check that the server runs, the password and its memory"
            ) from error


def _chunk_key(version: str, sha256: str) -> str:
    return f"macrec:catalog:chunk:{version}:{sha256}"


def _bytes(value: Any) -> bytes | None:
    """Narrows the answer of a client that decodes nothing: bytes or None."""
    assert value is None or isinstance(value, bytes)
    return value


def _text(value: Any) -> str:
    assert isinstance(value, bytes)
    return value.decode()
