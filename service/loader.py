"""Gets a model and a catalog into memory, checks that they answer, and keeps the catalog current.

The model comes from a bundle on disk. The catalog is the registry's current version if there is a registry, else the
bundle's own. While the registry cannot be reached, what is there is served and marked; what fails a check is never
served.
"""

import asyncio
import logging
import math
import time
from datetime import UTC, datetime

from pydantic import ValidationError

from model.bundle import Bundle, Manifest
from model.catalog import Catalog
from model.errors import BundleError, MacrecError, RegistryError
from model.fusion import FusionConfig
from model.live_catalog import LiveCatalog
from model.registry import Registry
from service.engine import Engine
from service.metrics import Metrics
from service.query import Query
from service.recommender import Recommender
from service.settings import Settings
from service.snapshot import Live, Snapshot, Source, check_space

log = logging.getLogger(__name__)

REFUSED_FOR = 30.0
"""Seconds after which a version that failed its checks is tried again: somebody may have mended it."""


class Loader:
    """Fills a :class:`Live` and keeps it current."""

    def __init__(
        self, settings: Settings, live: Live, recommender: Recommender, registry: Registry | None, metrics: Metrics
    ) -> None:
        """Loads by ``settings``, with no registry if there is none."""
        self.stale = False
        self._settings = settings
        self._live = live
        self._recommender = recommender
        self._registry = registry
        self._metrics = metrics
        self._refused: tuple[str, float] = ("", -math.inf)

    async def start(self) -> None:
        """Loads a model and a catalog and serves them.

        Raises:
            MacrecError: if the bundle cannot be served; waiting would not help.
        """
        await asyncio.to_thread(self._start)

    async def keep_current(self) -> None:
        """Looks at the registry for as long as the service runs."""
        while self._registry is not None:
            await asyncio.sleep(self._settings.catalog_poll)
            try:
                await asyncio.to_thread(self._follow, self._registry)
            except Exception as error:
                # Whatever went wrong, the next look may succeed; an ended task would freeze the catalog unseen.
                log.exception("the look at the registry failed")
                self._mark(stale=True, reason=repr(error))

    def _start(self) -> None:
        """Serves the bundle with the registry's catalog, or with its own."""
        bundle = Bundle.load(self._settings.bundle)
        engine = Engine(bundle.generator, self._settings.provider, self._settings.allow_cpu, self._settings.threads)
        for modality in self._settings.weights:
            engine.space.modality_index(modality)
        if self._registry is not None and self._update(self._registry, bundle, engine):
            return
        self._serve(bundle, engine, bundle.catalog(), "bundle")

    def _follow(self, registry: Registry) -> None:
        """Replaces the live catalog if the registry has another one."""
        live = self._live.snapshot
        assert live is not None
        self._update(registry, live.bundle, live.engine)

    def _update(self, registry: Registry, bundle: Bundle, engine: Engine) -> bool:
        """Serves the registry's current catalog; False if what was served before goes on being served."""
        version = None
        try:
            version = registry.current()
            if version is None or self._is_served(version):
                self._mark(stale=False)
                return False
            if self._is_refused(version):
                return False
            folder = registry.fetch(version, self._settings.catalog_cache)
            self._serve(bundle, engine, Catalog.load(folder), "registry")
        except RegistryError as error:
            self._mark(stale=True, reason=str(error))
            return False
        except MacrecError as error:
            self._refused = (version or "", time.monotonic())
            self._metrics.swaps.labels(result="failed").inc()
            self._mark(stale=True, reason=str(error))
            return False
        self._metrics.swaps.labels(result="swapped").inc()
        self._mark(stale=False)
        return True

    def _serve(self, bundle: Bundle, engine: Engine, catalog: Catalog, source: Source) -> None:
        """Proves beside the live catalog that another one answers, and puts it in its place."""
        check_space(engine, catalog)
        fusion = self._settings.fusion or bundled_fusion(bundle.manifest)
        snapshot = Snapshot(
            bundle,
            engine,
            LiveCatalog.of(catalog),
            engine.prepare(catalog.trie, catalog.popularity > 0, self._settings.cold_share),
            fusion,
            source,
            datetime.now(UTC),
        )
        check_answer(self._recommender, snapshot)
        self._recommender.filters.prepare(snapshot)
        self._live.replace(snapshot)
        self._metrics.show_catalog(len(catalog), catalog.version, snapshot.model_version, engine.provider)
        log.info("serving catalog", extra={"catalog_version": catalog.version, "items": len(catalog), "source": source})

    def _is_served(self, version: str) -> bool:
        """Whether requests get ``version`` already."""
        return self._live.snapshot is not None and self._live.snapshot.catalog.base.version == version

    def _is_refused(self, version: str) -> bool:
        """Whether ``version`` failed its checks a moment ago."""
        refused, at = self._refused
        return version == refused and time.monotonic() < at + REFUSED_FOR

    def _mark(self, *, stale: bool, reason: str = "") -> None:
        """Notes whether the catalog may be older than the registry's, and logs when that changes."""
        if stale and not self.stale:
            log.warning("catalog may be stale", extra={"reason": reason})
        if self.stale and not stale:
            log.info("catalog is current again")
        self.stale = stale
        self._metrics.degraded.labels(reason="catalog").set(stale)


def bundled_fusion(manifest: Manifest) -> FusionConfig:
    """How the bundle's evaluation joined the lists.

    Raises:
        BundleError: if the manifest says it in a way that cannot be understood.
    """
    try:
        return FusionConfig.model_validate(manifest.config.get("fusion", {}))
    except ValidationError as error:
        raise BundleError(f"config.fusion in the manifest cannot be used: {error}; export the bundle again") from error


def check_answer(recommender: Recommender, snapshot: Snapshot) -> None:
    """Asks for what follows the most popular item, which warms every path that a request takes.

    Raises:
        BundleError: if nothing comes back, or a score that is no number.
    """
    history = (snapshot.catalog.item_id(int(snapshot.catalog.popular[0])),)
    weights = dict.fromkeys(snapshot.catalog.space.modalities, 1.0)
    query = Query(history, k=1, beam=1, weights=weights, exclude_seen=False)
    answer = recommender.recommend(snapshot, query)
    if not answer.items or not all(math.isfinite(item.score) for item in answer.items):
        raise BundleError(f"catalog {snapshot.version} gives no answer to history {list(history)}; export it again")
