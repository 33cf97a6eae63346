"""Publishing that loses no live item: what the live log says goes into a catalog before it is released."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.bundle import CATALOG_FOLDER, Bundle
from model.catalog import Catalog
from model.compaction import fold
from model.durable_files import named_errors
from model.errors import ConfigError, OvertakenError
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
        BundleError: if a part is damaged, or the parts are of two ID spaces; or if a catalog comes without a bundle
            where a live item has no codes in its ID space.
        DataError: if the log ends before ``live_seq``.
        LiveLogError: if the log does not answer.
        RegistryError: if the registry does not answer; whatever was current stays so.
    """
    folder = catalog if catalog is not None else bundle / CATALOG_FOLDER if bundle is not None else None
    if folder is None:
        raise ConfigError("nothing to publish; give --bundle FOLDER, --catalog FOLDER or both")
    if live_log is None or (live_log.sequence() == 0 and live_seq is None):
        return registry.publish(bundle, catalog)
    with _scratch() as scratch:
        model = Bundle.load(bundle) if bundle is not None else _bundle_of(registry, registry.current(), scratch)
        base = Catalog.load(folder)
        folded = _fold(base, model, live_log, live_seq)
        return registry.publish(bundle, catalog if folded is base else _save(folded, scratch))


def compact(registry: Registry, live_log: LiveLog) -> Release:
    """Folds the log into the current release's catalog and releases that, with the same bundle.

    If somebody else releases meanwhile, it begins again with that release, so that neither undoes the other. The log is
    trimmed up to where the catalog before began, so that servers that still serve it follow on; a server that goes back
    further gets the latest states instead of single changes.

    Raises:
        ConfigError: if nothing was released yet.
        LiveLogError: if the log does not answer.
        RegistryError: if the registry does not answer.
    """
    while True:
        current = registry.current()
        if current is None:
            raise ConfigError(
                "nothing was published yet, so there is no catalog to fold the live log into; publish one"
            )
        try:
            return _compact(registry, current, live_log)
        except OvertakenError as error:
            log.warning("%s", error)


def _compact(registry: Registry, current: Release, live_log: LiveLog) -> Release:
    """Folds the log into the catalog of ``current``, unless that is not current any more."""
    with _scratch() as scratch:
        target = scratch / "before"
        registry.download(VersionKey.of("catalog", current.catalog), target)
        base = Catalog.load(target)
        folded = _fold(base, _bundle_of(registry, current, scratch), live_log)
        if folded is base:
            return current
        release = registry.publish(None, _save(folded, scratch), replaces=current)
        live_log.trim(base.live_seq)
    return release


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone in the end; it takes a bundle and two catalogs."""
    where = f"the folder of temporary files {tempfile.gettempdir()} (TMPDIR names another)"
    with named_errors(ConfigError, where), tempfile.TemporaryDirectory(prefix="macrec-") as name:
        yield Path(name)


def _fold(base: Catalog, bundle: Bundle | None, live_log: LiveLog, live_seq: int | None = None) -> Catalog:
    """The catalog with the log in it, ``base`` itself if the log says nothing more; says who had to stay out."""
    folded = fold(base, bundle, live_log, live_seq)
    if folded.left_out:
        some = ", ".join(folded.left_out[:5])
        log.warning(
            "%d live items stay out, as this model has no encoders or they were just deleted: %s",
            len(folded.left_out),
            some,
        )
    return folded.catalog


def _bundle_of(registry: Registry, release: Release | None, folder: Path) -> Bundle | None:
    """The bundle of a release, downloaded into ``folder``; None if it has none."""
    if release is None or release.bundle is None:
        return None
    target = folder / "bundle"
    registry.download(VersionKey.of("bundle", release.bundle), target)
    return Bundle.load(target, with_catalog=False)


def _save(catalog: Catalog, folder: Path) -> Path:
    target = folder / "folded"
    target.mkdir()
    catalog.save(target)
    return target
