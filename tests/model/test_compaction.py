"""Folding the log into a catalog changes where items stand and nothing else; no live item is lost by a retrain."""

from pathlib import Path

import numpy as np
import pytest

from model.bundle import Bundle
from model.catalog import Catalog
from model.compaction import build, fold
from model.errors import BundleError, DataError
from model.item_encoder import ItemEncoder
from model.item_inputs import ItemInputs
from model.live_catalog import LiveCatalog
from model.live_log import LiveLog, Upsert, read_all
from model.live_memory import MemoryLog
from tests.live_bundles import inputs_of


@pytest.fixture(scope="module")
def bundle(live_bundle: Path) -> Bundle:
    return Bundle.load(live_bundle)


@pytest.fixture(scope="module")
def retrained(retrained_bundle: Path) -> Bundle:
    return Bundle.load(retrained_bundle)


def put(log: LiveLog, bundle: Bundle, item_id: str, inputs: ItemInputs) -> None:
    encoder, catalog = ItemEncoder.load(bundle), LiveCatalog.of(bundle.catalog())
    assert encoder is not None
    claim = encoder.claim(item_id, encoder.encode([inputs]).latents[:, 0], catalog)
    log.upsert([Upsert(claim, inputs, catalog.standing(item_id))], 0)


@pytest.fixture
def log(bundle: Bundle) -> LiveLog:
    """New items 0 to 7, of which one is deleted and one hidden; one of the base renamed, one deleted, one hidden."""
    made = MemoryLog()
    for number in range(8):
        put(made, bundle, f"new-{number}", inputs_of(number))
    put(made, bundle, "base-1", ItemInputs(title="renamed", text="word1"))
    base = LiveCatalog.of(bundle.catalog())
    for item, mark in (("new-2", "delete"), ("new-3", "hide"), ("base-2", "delete"), ("base-3", "hide")):
        made.mark(item, mark, base.standing(item), 0)  # type: ignore[arg-type]
    return made


def overlay(base: Catalog, log: LiveLog) -> LiveCatalog:
    live = LiveCatalog.of(base)
    return live.apply(*read_all(log, live.sequence, live.space_hash))


def assert_same(ours: LiveCatalog, theirs: LiveCatalog) -> None:
    assert len(ours) == len(theirs)
    for item in range(len(ours)):
        assert ours.item_id(item) == theirs.item_id(item)
        assert ours.metadata(item) == theirs.metadata(item)
    for name in ("deleted", "available", "popularity"):
        assert getattr(ours, name).tolist() == getattr(theirs, name).tolist()
    for name in ("child_start", "child_code", "leaf_start", "leaf_item"):
        assert getattr(ours.trie, name).tolist() == getattr(theirs.trie, name).tolist()
    assert (ours.trie.item_leaf == theirs.trie.item_leaf).all()


def test_a_folded_catalog_is_the_live_one_and_reads_on_behind_it(bundle: Bundle, log: LiveLog, tmp_path: Path) -> None:
    folded, changes, left_out = fold(bundle.catalog(), bundle, log)
    assert (folded.live_seq, changes, left_out) == (13, 11, [])
    folded.save(tmp_path)
    loaded = Catalog.load(tmp_path)
    assert_same(LiveCatalog.of(loaded), overlay(bundle.catalog(), log))
    log.trim(13)
    put(log, bundle, "late", inputs_of(9))
    log.mark("base-3", "show", None, 0)
    assert_same(overlay(loaded, log), overlay(bundle.catalog(), log))
    again = fold(loaded, bundle, log)
    assert (again.changes, again.catalog.live_seq) == (2, 15)
    assert fold(again.catalog, bundle, log).catalog is again.catalog


def test_a_deleted_items_leaf_is_free_to_nobody_after_folding(bundle: Bundle, log: LiveLog) -> None:
    live = LiveCatalog.of(fold(bundle.catalog(), bundle, log).catalog)
    for item in ("new-2", "base-2"):
        number = live.find(item)
        assert number is not None
        for modality in range(2):
            *prefix, last = live.codes(modality, np.array([number]))[0].tolist()
            assert live.taken_under(modality, tuple(prefix))[last]


def test_a_retrained_model_takes_over_every_live_item(bundle: Bundle, retrained: Bundle, log: LiveLog) -> None:
    old, base = bundle.catalog(), retrained.catalog()
    assert old.space_hash != base.space_hash
    folded, _, left_out = fold(base, retrained, log)
    assert left_out == []
    live = LiveCatalog.of(folded)
    there = {live.item_id(item) for item in np.flatnonzero(~live.deleted).tolist()}
    expected = {f"base-{number}" for number in range(15)} | {f"new-{number}" for number in range(8)}
    assert there == expected - {"new-2", "base-2"}
    for item in ("new-3", "base-3"):
        number = live.find(item)
        assert number is not None
        assert not live.available[number]
    renamed = live.find("base-1")
    assert renamed is not None
    assert live.metadata(renamed)["title"] == "renamed"
    assert live.codes(0, np.array([renamed])).tolist() == base.codes[0, [1]].tolist()
    encoder = ItemEncoder.load(retrained)
    assert encoder is not None
    number = live.find("new-0")
    assert number is not None
    claim = encoder.claim("new-0", encoder.encode([inputs_of(0)]).latents[:, 0], LiveCatalog.of(base))
    assert live.codes(0, np.array([number]))[0].tobytes() == claim.first(0, 1)[0]
    assert_same(overlay(base, log), live)
    put(log, bundle, "late", inputs_of(9))
    assert [each.codes for each in log.changes(13, base.space_hash).items] == [None]


def test_what_the_training_data_held_already_is_not_applied_again(
    bundle: Bundle, retrained: Bundle, log: LiveLog
) -> None:
    put(log, bundle, "late", inputs_of(9))
    folded, changes, _ = fold(retrained.catalog(), retrained, log, after=13)
    assert (changes, folded.live_seq, len(folded)) == (1, 14, 16)


def test_availability_is_no_part_of_training_data_and_is_taken_from_the_log(
    bundle: Bundle, retrained: Bundle, log: LiveLog
) -> None:
    folded, changes, _ = fold(retrained.catalog(), retrained, log, after=13)
    assert (changes, len(folded), folded.live_seq) == (0, 15, 13)
    assert [folded.item_ids[item] for item in folded.unavailable.tolist()] == ["base-3"]
    live = LiveCatalog.of(folded)
    [renamed, deleted] = [live.find(item) for item in ("base-1", "base-2")]
    assert renamed is not None
    assert deleted is not None
    assert live.metadata(renamed)["title"] != "renamed", "the training data has the last word on texts"
    assert not live.deleted[deleted], "and on what there is"


def test_no_training_data_holds_more_than_there_is(bundle: Bundle, log: LiveLog) -> None:
    with pytest.raises(DataError, match="it ends at 13"):
        fold(bundle.catalog(), bundle, log, after=14)


def test_items_that_only_encoders_can_place_are_not_lost_behind_a_catalog_without_a_bundle(
    retrained: Bundle, log: LiveLog
) -> None:
    with pytest.raises(BundleError, match=r"7 live items .*'new-0'.* publish the bundle"):
        fold(retrained.catalog(), None, log)
    assert fold(retrained.catalog(), retrained, log).left_out == []
    assert fold(retrained.catalog(), None, log).changes == 11, "they have their codes now"


def test_a_bundle_of_another_id_space_gives_no_codes(bundle: Bundle, retrained: Bundle, log: LiveLog) -> None:
    with pytest.raises(BundleError, match="its own bundle"):
        fold(retrained.catalog(), bundle, log)
    assert all(item.codes is None for item in read_all(log, 0, retrained.manifest.space_hash)[1])


def test_a_catalog_without_items_cannot_be_folded(bundle: Bundle) -> None:
    live = LiveCatalog.of(bundle.catalog())
    log = MemoryLog()
    for item in range(len(live)):
        log.mark(live.item_id(item), "delete", live.standing(live.item_id(item)), 0)
    with pytest.raises(DataError, match="all 20 items"):
        build(overlay(bundle.catalog(), log))
