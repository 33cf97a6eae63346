"""Gets a model and a catalog into memory, checks that they answer, and follows the registry.

Where they come from:

- ``MACREC_BUNDLE`` not set: bundle and catalog of the registry's current release; a release with another bundle swaps
  both together. While the registry cannot be reached at the start, the release that was served last is, if the cache
  has it, and else the service waits.
- ``MACREC_BUNDLE`` set: that bundle's model is kept whatever is released; of the releases only the catalog is followed,
  and only if it is of the bundle's ID space. Until there is one, the bundle's own catalog is served.
- without a registry: the bundle's model and its own catalog.

While the registry cannot be reached, what is there is served and marked; what fails a check is never served.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from model.bundle import Bundle, Manifest
from model.catalog import Catalog
from model.codewords import Codewords, Floats
from model.errors import BundleError, CacheError, ConfigError, MacrecError, RegistryError
from model.fusion import FusionConfig
from model.item_encoder import read_codebooks
from model.list_names import DENSE
from model.registry import Registry
from model.release import Release, VersionKey
from model.version_cache import VersionCache
from service.engine import Engine
from service.large_pages import use_large_pages
from service.live_follower import LiveFollower
from service.metrics import Metrics
from service.query import Query
from service.recommender import Recommender
from service.settings import Settings
from service.snapshot import Live, Snapshot, Source, check_space, check_space_hash

log = logging.getLogger(__name__)

REFUSED_FOR = 30.0
"""Seconds after which a release that failed its checks, or had no room in the cache, is fetched and tried again."""

FETCH_SHARE = 0.25
"""Share of the time that a process which answers requests spends on fetching what it will serve next."""


@dataclass(frozen=True)
class Model:
    """A verified bundle, the engine that runs its generator, and its codebooks per modality, if it has any."""

    bundle: Bundle
    engine: Engine
    codebooks: Sequence[Floats] | None


class Loader:
    """Fills a :class:`Live` and keeps it current.

    Attributes:
        stale: whether the registry may have a newer release than the one that is served.
        waiting: why nothing is served yet.
    """

    def __init__(
        self,
        settings: Settings,
        live: Live,
        follower: LiveFollower,
        recommender: Recommender,
        registry: Registry | None,
        metrics: Metrics,
    ) -> None:
        """Loads by ``settings``, with no registry if there is none."""
        self.stale = False
        self.waiting = "model and catalog are being loaded"
        self._settings = settings
        self._live = live
        self._follower = follower
        self._recommender = recommender
        self._registry = registry
        self._metrics = metrics
        self._cache = VersionCache(settings.catalog_cache)
        self._fixed: Model | None = None
        self._closed = False
        self._served: Release | None = None
        self._refused: tuple[Release | None, float] = (None, -math.inf)

    async def start(self) -> None:
        """Serves what is there: of the registry, of the disk, or what was served last.

        Raises:
            MacrecError: if nothing can ever be served with these settings.
        """
        await asyncio.to_thread(self._start)

    async def keep_current(self) -> None:
        """Looks at the registry for as long as the service runs: at every poll, and when a release is announced."""
        while self._registry is not None:
            await asyncio.to_thread(self._registry.wait, self._settings.catalog_poll)
            await asyncio.to_thread(self._look, self._registry)

    def close(self) -> None:
        """Lets other processes remove what this one used; a look that goes on may fail unheard."""
        self._closed = True
        self._cache.close()

    def _start(self) -> None:
        """Serves the registry's release, else the bundle on the disk, else what the cache remembers."""
        path, registry = self._settings.bundle, self._registry
        if path is not None:
            self._fixed = self._model(path, with_catalog=True)
        if registry is not None:
            self._look(registry)
        elif self._fixed is None:
            raise ConfigError("there is nothing to serve: set MACREC_BUNDLE to a bundle's folder, or REDIS_URL")
        if self._live.snapshot is not None:
            return
        if self._fixed is not None:
            self._serve(self._fixed, self._fixed.bundle.catalog(), "bundle")
        elif registry is not None and self.stale:
            self._serve_remembered(registry)

    def _look(self, registry: Registry) -> None:
        """Serves the registry's current release if it is another one; what was served before outlives any failure."""
        release = None
        try:
            release = registry.current()
            if release is None:
                self._wait("nothing was published to the registry yet")
            elif not self._is_served(release):
                if self._is_refused(release):
                    return
                self._serve_release(registry, release)
                self._metrics.swaps.labels(result="swapped").inc()
            self._mark(stale=False)
        except RegistryError as error:
            self._mark(stale=True, reason=str(error))
        except Exception as error:
            if self._closed:
                return
            # Whatever went wrong, another release may be better; an ended task would freeze the catalog unseen.
            if isinstance(error, ConfigError) and self._live.snapshot is None:
                raise
            if not isinstance(error, MacrecError):
                log.exception("the look at the registry failed")
            self._refused = (release, time.monotonic())
            self._metrics.swaps.labels(result="failed").inc()
            self._mark(stale=True, reason=str(error) or repr(error))

    def _serve_release(self, registry: Registry, release: Release) -> None:
        """Fetches what is not there yet, loads it beside the live snapshot, and serves it."""
        model = self._fixed or self._released_model(registry, release)
        key = VersionKey.of("catalog", release.catalog)
        if not self._cache.has(key):
            check_space_hash(model.engine, release.catalog, registry.describe(key).space_hash)
        self._serve(model, Catalog.load(self._fetch(registry, key)), "registry")
        self._tidy(release)

    def _tidy(self, release: Release) -> None:
        """Lets go of what is no longer served; a cache that cannot be written is no reason to serve less."""
        try:
            self._cache.keep_only(release.keys)
            if self._fixed is None:
                self._cache.remember(release)
        except CacheError as error:
            log.warning("the cache cannot be tidied", extra={"reason": str(error)})

    def _serve_remembered(self, registry: Registry) -> None:
        """Serves what was served last, from the cache alone; says why if that is not possible."""
        try:
            release = self._cache.remembered()
            if release is not None:
                self._serve_release(registry, release)
        except MacrecError as error:
            log.warning("what was served last cannot be served again", extra={"reason": str(error)})

    def _released_model(self, registry: Registry, release: Release) -> Model:
        """The model of a release: the live one if it is the same."""
        live = self._live.snapshot
        if release.bundle is None:
            raise BundleError("the release has no bundle; publish one, or set MACREC_BUNDLE to a bundle's folder")
        if live is not None and live.bundle.version == release.bundle:
            return Model(live.bundle, live.engine, live.codewords.codebooks)
        return self._model(self._fetch(registry, VersionKey.of("bundle", release.bundle)), with_catalog=False)

    def _fetch(self, registry: Registry, key: VersionKey) -> Path:
        """The folder of a version; what is fetched beside requests is fetched slowly, so that they stay quick."""
        return self._cache.hold(registry, key, 1.0 if self._live.snapshot is None else FETCH_SHARE)

    def _model(self, folder: Path, *, with_catalog: bool) -> Model:
        """Loads a bundle's generator."""
        settings = self._settings
        bundle = Bundle.load(folder, with_catalog=with_catalog)
        graph = bundle.search_graph(settings.precision)
        provider, threads = settings.provider, settings.threads
        capture = settings.beam if settings.capture else 0
        engine = Engine(graph, provider, settings.allow_cpu, threads, settings.state_cache, settings.merging, capture)
        for name in settings.weights:
            if name != DENSE:
                engine.space.modality_index(name)
            elif not engine.dense:
                # Another release may have them, and one without must be served as well.
                log.warning("MACREC_WEIGHTS weighs dense scores, which this generator has not")
        fusion = effective_fusion(settings.fusion, bundled_fusion(bundle.manifest))
        weights = fusion.model_copy(update={"weights": fusion.weights | settings.weights})
        if not any(weights.list_weights(engine.space.modalities)):
            raise ConfigError(f"MACREC_WEIGHTS ({settings.weights}) leave no modality to search; give one more than 0")
        codebooks = None if bundle.quantizer is None else list(read_codebooks(folder, engine.space))
        return Model(bundle, engine, codebooks)

    def _serve(self, model: Model, catalog: Catalog, source: Source) -> None:
        """Proves beside the live snapshot that another one answers, and puts it in its place."""
        bundle, engine = model.bundle, model.engine
        check_space(engine, catalog)
        fusion = effective_fusion(self._settings.fusion, bundled_fusion(bundle.manifest))
        with self._follower.turn():
            live = self._follower.overlay(bundle, catalog)
            live.work_out()
            snapshot = Snapshot(
                bundle,
                engine,
                live,
                engine.prepare(live.trie, live.trained),
                Codewords.of(catalog, model.codebooks),
                fusion,
                source,
                datetime.now(UTC),
            )
            check_answer(self._recommender, snapshot, self._settings.beam)
            self._recommender.filters.prepare(snapshot)
            before = self._live.snapshot
            if before is None or before.engine is not engine:
                engine.warm(snapshot.trie)
                if self._settings.large_pages:
                    use_large_pages()
            self._live.replace(snapshot)
            self._served = Release(bundle=bundle.version, catalog=catalog.version)
        self._metrics.show_catalog(live.trie.items, catalog.version, snapshot.model_version, engine.provider)
        self._metrics.captured_graphs.set_function(lambda: engine.graphs)
        self._follower.show()
        details = {"catalog_version": catalog.version, "bundle_version": bundle.version}
        log.info("serving catalog", extra={**details, "items": live.trie.items, "source": source})

    def _is_served(self, release: Release) -> bool:
        """Whether requests get ``release`` already."""
        if self._served is None or self._served.catalog != release.catalog:
            return False
        return self._fixed is not None or self._served.bundle == release.bundle

    def _is_refused(self, release: Release) -> bool:
        """Whether ``release`` failed its checks a moment ago."""
        refused, at = self._refused
        return release == refused and time.monotonic() < at + REFUSED_FOR

    def _wait(self, reason: str) -> None:
        """Says why nothing is served yet, and logs it when that changes."""
        if self._live.snapshot is None and self.waiting != reason:
            log.warning("waiting for something to serve", extra={"reason": reason})
            self.waiting = reason

    def _mark(self, *, stale: bool, reason: str = "") -> None:
        """Notes whether the catalog may be older than the registry's, and logs when that changes."""
        if stale:
            self._wait(reason)
        if stale and not self.stale:
            log.warning("catalog may be stale", extra={"reason": reason})
        if self.stale and not stale:
            log.info("catalog is current again")
        self.stale = stale
        self._metrics.degraded.labels(reason="catalog").set(stale)


def effective_fusion(wanted: FusionConfig | None, bundled: FusionConfig) -> FusionConfig:
    """The server's way to join the lists, with the bundle's weights where the server sets none."""
    if wanted is None:
        return bundled
    return wanted if wanted.weights else wanted.model_copy(update={"weights": bundled.weights})


def bundled_fusion(manifest: Manifest) -> FusionConfig:
    """How the bundle's evaluation joined the lists.

    Raises:
        BundleError: if the manifest says it in a way that cannot be understood.
    """
    try:
        return FusionConfig.model_validate(manifest.config.get("fusion", {}))
    except ValidationError as error:
        raise BundleError(f"config.fusion in the manifest cannot be used: {error}; export the bundle again") from error


def check_answer(recommender: Recommender, snapshot: Snapshot, beam: int) -> None:
    """Asks for the most popular item, and for what follows it, which warms every path that a request takes.

    Raises:
        BundleError: if nothing comes back, or a score that is no number.
    """
    weights = dict.fromkeys(snapshot.catalog.space.modalities, 1.0)
    query = Query((), k=1, beam=beam, weights=weights, dense=float(snapshot.engine.dense), exclude_seen=False)
    popular = recommender.recommend(snapshot, query).items
    history = tuple(snapshot.catalog.item_id(each.item) for each in popular)
    answer = recommender.recommend(snapshot, replace(query, history=history))
    if not answer.items or not all(math.isfinite(item.score) for item in answer.items):
        raise BundleError(f"catalog {snapshot.version} gives no answer to history {list(history)}; export it again")
