"""Publishing and compacting lose no live item, whatever the ID space of the new release."""

from pathlib import Path

import numpy as np
import pytest

from model.bundle import Bundle
from model.catalog import Catalog
from model.compaction import Folded, build, fold
from model.item_encoder import ItemEncoder
from model.live_catalog import LiveCatalog
from model.live_file import FileLog
from model.live_log import LiveItem, Upsert
from model.registry import open_registry
from model.release import Release, VersionKey
from tests.live_bundles import inputs_of
from training.__main__ import main


def put(log: FileLog, bundle: Bundle, item_id: str, number: int) -> None:
    encoder, catalog = ItemEncoder.load(bundle), LiveCatalog.of(bundle.catalog())
    assert encoder is not None
    inputs = inputs_of(number)
    claim = encoder.claim(item_id, encoder.encode([inputs]).latents[:, 0], catalog)
    log.upsert([Upsert(claim, inputs, None)], 0)


class Shop:
    """A registry in a folder, a live log in another, and the commands on both."""

    def __init__(self, folder: Path) -> None:
        self.registry, self.state, self.fetched = folder / "registry", folder / "state", folder / "fetched"
        self.log = FileLog(self.state)

    def run(self, *words: str) -> None:
        assert main([*words, "--registry", str(self.registry), "--state", str(self.state)]) == 0

    def release(self) -> Release:
        current = open_registry(self.registry).current()
        assert current is not None
        return current

    def catalog(self) -> Catalog:
        release = self.release()
        target = self.fetched / release.catalog
        if not target.exists():
            self.fetched.mkdir(exist_ok=True)
            open_registry(self.registry).download(VersionKey.of("catalog", release.catalog), target)
        return Catalog.load(target)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.delenv("REDIS_URL", raising=False)
    return Shop(tmp_path)


def ids(catalog: Catalog) -> set[str]:
    there = np.setdiff1d(np.arange(len(catalog)), catalog.deleted)
    return {catalog.item_ids[item] for item in there.tolist()}


def test_without_changes_the_bundles_own_catalog_is_published(shop: Shop, live_bundle: Path) -> None:
    shop.run("publish", "--bundle", str(live_bundle))
    assert shop.catalog().version == Bundle.load(live_bundle).catalog().version
    shop.run("compact")
    assert shop.catalog().live_seq == 0


def test_a_compaction_releases_a_catalog_with_the_changes_and_the_same_bundle(shop: Shop, live_bundle: Path) -> None:
    bundle = Bundle.load(live_bundle)
    shop.run("publish", "--bundle", str(live_bundle))
    before = shop.release()
    for number in range(3):
        put(shop.log, bundle, f"new-{number}", number)
    shop.log.mark("new-1", "delete", None, 0)
    shop.run("compact")
    after = shop.release()
    assert after.bundle == before.bundle
    assert (shop.catalog().live_seq, len(shop.catalog())) == (4, 23)
    assert ids(shop.catalog()) == ids(bundle.catalog()) | {"new-0", "new-2"}
    shop.run("compact")
    assert shop.release() == after, "nothing came in between"
    put(shop.log, bundle, "new-3", 3)
    shop.run("publish", "--bundle", str(live_bundle))
    assert ids(shop.catalog()) == ids(bundle.catalog()) | {"new-0", "new-2", "new-3"}


def test_a_bundle_of_another_id_space_takes_every_live_item_over(
    shop: Shop, live_bundle: Path, retrained_bundle: Path
) -> None:
    shop.run("publish", "--bundle", str(live_bundle))
    for number in range(5):
        put(shop.log, Bundle.load(live_bundle), f"new-{number}", number)
    shop.log.mark("new-1", "delete", None, 0)
    shop.log.mark("new-2", "hide", None, 0)
    shop.run("publish", "--bundle", str(retrained_bundle))
    retrained, catalog = Bundle.load(retrained_bundle), shop.catalog()
    assert catalog.space_hash == retrained.manifest.space_hash
    assert ids(catalog) == ids(retrained.catalog()) | {"new-0", "new-2", "new-3", "new-4"}
    assert [catalog.item_ids[item] for item in catalog.unavailable.tolist()] == ["new-2"]
    shop.run("publish", "--bundle", str(retrained_bundle), "--live-seq", "5")
    assert ids(shop.catalog()) == ids(retrained.catalog()) | {"new-2"}, "the rest the training data knew already"
    assert shop.catalog().live_seq == 7


def test_a_catalog_that_is_released_during_a_compaction_is_not_undone(
    shop: Shop, live_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has one item less: the compaction begins again with it."""
    bundle = Bundle.load(live_bundle)
    shop.run("publish", "--bundle", str(live_bundle))
    put(shop.log, bundle, "new-0", 0)
    base = bundle.catalog()
    other = LiveCatalog.of(base).apply(0, [LiveItem("base-5", 0, True, True, None, None)])
    (tmp_path / "other").mkdir()
    build(other).save(tmp_path / "other")
    released: list[Release] = []

    def fold_and_be_overtaken(base: Catalog, bundle: Bundle | None, log: FileLog, seq: int | None) -> Folded:
        folded = fold(base, bundle, log, seq)
        if not released:
            released.append(open_registry(shop.registry).publish(None, tmp_path / "other"))
        return folded

    monkeypatch.setattr("training.live.fold", fold_and_be_overtaken)
    shop.run("compact")
    assert ids(shop.catalog()) == ids(base) - {"base-5"} | {"new-0"}


def test_a_number_that_the_log_never_reached_loses_nothing(
    shop: Shop, live_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(shop.log, Bundle.load(live_bundle), "new-0", 0)
    command = ["publish", "--bundle", str(live_bundle), "--registry", str(shop.registry), "--state", str(shop.state)]
    assert main([*command, "--live-seq", "50"]) == 2
    assert "it ends at 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--live-seq", "-1"])
    assert open_registry(shop.registry).current() is None


def test_no_room_for_temporary_files_is_named(
    shop: Shop, live_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(shop.log, Bundle.load(live_bundle), "new-0", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    command = ["publish", "--bundle", str(live_bundle), "--registry", str(shop.registry), "--state", str(shop.state)]
    assert main(command) == 2
    assert "TMPDIR" in capsys.readouterr().err


def test_a_log_and_a_release_must_be_there_to_compact(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compact", "--registry", str(tmp_path / "registry")]) == 2
    assert "no live log named" in capsys.readouterr().err
    assert main(["compact", "--registry", str(tmp_path / "registry"), "--state", str(tmp_path / "state")]) == 2
    assert "nothing was published yet" in capsys.readouterr().err
