"""What one request sees: a model and a catalog that belong together, and the holder that hands them out.

A request takes the snapshot once and keeps it. A newer one replaces it between two requests, so nobody sees a mix.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Literal

from model.bundle import Bundle, Manifest
from model.catalog import Catalog
from model.codewords import Codewords
from model.edge_masks import EdgeMasks
from model.errors import BundleError
from model.fusion import FusionConfig
from model.live_catalog import LiveCatalog
from service.engine import Engine
from service.search_rows import TrieInputs

Source = Literal["bundle", "registry"]


@dataclass(frozen=True)
class Snapshot:
    """A model and a catalog of one ID space, ready to be searched."""

    bundle: Bundle
    engine: Engine
    catalog: LiveCatalog
    trie: TrieInputs
    codewords: Codewords
    fusion: FusionConfig
    source: Source
    loaded_at: datetime

    def with_catalog(self, catalog: LiveCatalog) -> "Snapshot":
        """The same model with a catalog of the same base that knows more of the live log."""
        catalog.work_out()
        if catalog.trie is self.catalog.trie:
            return replace(self, catalog=catalog)
        return replace(self, catalog=catalog, trie=self.engine.prepare(catalog.trie, catalog.trained))

    @cached_property
    def edge_masks(self) -> EdgeMasks:
        """For allow lists."""
        return EdgeMasks(self.catalog.trie)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    @property
    def version(self) -> str:
        """Names the catalog."""
        return self.catalog.version

    @property
    def model_version(self) -> str:
        """Names the generator."""
        return self.manifest.model_hash


class Live:
    """The snapshot that new requests get."""

    def __init__(self) -> None:
        """Starts with none."""
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """The current snapshot, None while the service starts."""
        return self._snapshot

    def replace(self, snapshot: Snapshot) -> None:
        """Serves ``snapshot`` from the next request on; requests in flight keep theirs."""
        self._snapshot = snapshot


def check_space(engine: Engine, catalog: Catalog) -> None:
    """Raises BundleError unless the engine can search the catalog."""
    if catalog.space != engine.space:
        raise BundleError(
            f"catalog {catalog.version} has {catalog.space}, the generator {engine.space}; publish a catalog of it"
        )
    check_space_hash(engine, catalog.version, catalog.space_hash)


def check_space_hash(engine: Engine, version: str, space_hash: str) -> None:
    """Raises BundleError unless the engine is of the ID space that catalog ``version`` is of."""
    if space_hash != engine.space_hash:
        raise BundleError(
            f"catalog {version} is of ID space {space_hash}, the generator of {engine.space_hash}; "
            "publish the catalog of the same bundle"
        )
