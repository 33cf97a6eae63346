"""What the registry's pointer names: the bundle version and the catalog version that are served together."""

import re
from typing import Literal, NamedTuple

from pydantic import ValidationError

from model.bundle import HASH_LENGTH
from model.catalog import VERSION_LENGTH
from model.config import Config
from model.errors import BundleError

Kind = Literal["bundle", "catalog"]

_VERSIONS: dict[str, re.Pattern[str]] = {
    "bundle": re.compile(rf"[0-9a-f]{{{HASH_LENGTH}}}"),
    "catalog": re.compile(rf"[0-9a-f]{{{VERSION_LENGTH}}}"),
}


class VersionKey(NamedTuple):
    """Names one published bundle or catalog; as text ``KIND/VERSION``, which becomes part of paths and keys."""

    kind: Kind
    version: str

    def __str__(self) -> str:
        """``KIND/VERSION``."""
        return f"{self.kind}/{self.version}"

    @classmethod
    def of(cls, kind: str, version: str) -> "VersionKey":
        """The key of ``version``, which comes from outside.

        Raises:
            BundleError: if it has not the form of one.
        """
        pattern = _VERSIONS.get(kind)
        if pattern is None or not pattern.fullmatch(version):
            raise BundleError(f"{version!r} is no {kind} version: hexadecimal digits are expected")
        return cls("bundle" if kind == "bundle" else "catalog", version)

    @classmethod
    def parse(cls, text: str) -> "VersionKey":
        """Reads what :meth:`__str__` wrote.

        Raises:
            BundleError: if it is something else.
        """
        kind, _, version = text.partition("/")
        return cls.of(kind, version)


class Release(Config):
    """A bundle and a catalog of its ID space.

    Attributes:
        bundle: version of the bundle; None where only catalogs were published, for servers with a bundle on disk.
        catalog: version of the catalog.
    """

    bundle: str | None
    catalog: str

    @property
    def keys(self) -> list[VersionKey]:
        """What it consists of.

        Raises:
            BundleError: if it names something that is no version.
        """
        bundle = [] if self.bundle is None else [VersionKey.of("bundle", self.bundle)]
        return [*bundle, VersionKey.of("catalog", self.catalog)]

    def dump(self) -> bytes:
        """The release as JSON; equal releases give equal bytes."""
        return self.model_dump_json().encode()

    @classmethod
    def parse(cls, text: bytes) -> "Release":
        """Reads what :meth:`dump` wrote.

        Raises:
            BundleError: if it is something else.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BundleError(
                f"the registry's pointer cannot be read: {error}; publish to an empty registry"
            ) from error
