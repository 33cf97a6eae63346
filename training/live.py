"""Publishing that loses no live item: what the live log says goes into a catalog before it is released."""

import logging
import tempfile
from pathlib import Path

from model.bundle import CATALOG_FOLDER, Bundle
from model.catalog import Catalog
from model.compaction import fold
from model.errors import ConfigError
from model.live_log import LiveLog
from model.registry import Registry
from model.release import Release, VersionKey

log = logging.getLogger(__name__)


def publish(
    registry: Registry, bundle: Path | None, catalog: Path | None, live_log: LiveLog | None, live_seq: int | None = None
) -> Release:
    """Makes a bundle, a catalog or both the current release, with all changes of items that came after them.

    Items that have no codes in the bundle's ID space are quantized with its encoders first, so that servers that load
    the release serve every live item from the start; what comes meanwhile they add themselves.

    Args:
        registry: where to publish.
        bundle: folder of the bundle, or None.
        catalog: folder of a catalog instead of the bundle's; alone, it is released with the bundle of the release
            before.
        live_log: what came after; None if there is none.
        live_seq: up to which number the log is in the training data, if further than the catalog's header says.

    Raises:
        BundleError: if a part is damaged, or the parts are of two ID spaces.
        LiveLogError: if the log does not answer.
        RegistryError: if the registry does not answer; whatever was current stays so.
    """
    folder = catalog if catalog is not None else bundle / CATALOG_FOLDER if bundle is not None else None
    if folder is None:
        raise ConfigError("nothing to publish; give --bundle FOLDER, --catalog FOLDER or both")
    if live_log is None or (live_log.sequence() == 0 and live_seq is None):
        return registry.publish(bundle, catalog)
    with tempfile.TemporaryDirectory(prefix="macrec-") as name:
        model = Bundle.load(bundle) if bundle is not None else _released_bundle(registry, Path(name))
        folded = fold(Catalog.load(folder), model, live_log, live_seq)
        if folded.catalog.version == Catalog.load(folder).version:
            return registry.publish(bundle, catalog)
        return registry.publish(bundle, _save(folded.catalog, Path(name)))


def compact(registry: Registry, live_log: LiveLog) -> Release:
    """Folds the log into the current release's catalog and releases that, with the same bundle.

    The log is trimmed up to where the catalog before began, so that servers that still serve it follow on; a server
    that goes back further gets the latest states instead of single changes.

    Raises:
        ConfigError: if nothing was released yet.
        LiveLogError: if the log does not answer.
        RegistryError: if the registry does not answer.
    """
    current = registry.current()
    if current is None:
        raise ConfigError("nothing was published yet, so there is no catalog to fold the live log into; publish one")
    with tempfile.TemporaryDirectory(prefix="macrec-") as name:
        target = Path(name) / "before"
        registry.download(VersionKey.of("catalog", current.catalog), target)
        base = Catalog.load(target)
        folded = fold(base, _released_bundle(registry, Path(name)), live_log)
        if folded.changes == 0:
            return current
        release = registry.publish(None, _save(folded.catalog, Path(name)))
        live_log.trim(base.live_seq)
    return release


def _released_bundle(registry: Registry, folder: Path) -> Bundle | None:
    """The bundle of the current release, downloaded into ``folder``; None if there is none."""
    current = registry.current()
    if current is None or current.bundle is None:
        return None
    target = folder / "bundle"
    registry.download(VersionKey.of("bundle", current.bundle), target)
    return Bundle.load(target, with_catalog=False)


def _save(catalog: Catalog, folder: Path) -> Path:
    target = folder / "folded"
    target.mkdir()
    catalog.save(target)
    return target
