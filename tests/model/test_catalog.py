"""A catalog comes back from disk as it was built, and refuses parts that do not belong together."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.catalog import Catalog
from model.errors import BundleError, DataError
from model.filters import Filter
from model.semantic_ids import IdSpace

SPACE = IdSpace(("text", "image"), levels=2, codes=4)
CODES = np.array([[[0, 1], [0, 1], [3, 2]], [[1, 1], [2, 0], [1, 1]]], dtype=np.uint8)
ITEMS: list[tuple[str, dict[str, object]]] = [
    ("b", {"title": "Bass"}),
    ("a", {"title": "Ämp", "price": 9.5, "tags": ["new"]}),
    ("c", {}),
]


def build(codes: NDArray[np.uint8] = CODES, popularity: tuple[int, ...] = (5, 5, 7), space_hash: str = "s") -> Catalog:
    return Catalog.build(SPACE, codes, iter(ITEMS), np.array(popularity), space_hash)


def test_items_on_one_leaf_stand_by_training_count_then_id() -> None:
    catalog = build()
    assert catalog.popular.tolist() == [2, 1, 0]
    assert catalog.trie.leaf_items(catalog.trie.item_leaf[0, 0]).tolist() == [1, 0]
    assert catalog.trie.leaf_items(catalog.trie.item_leaf[1, 0]).tolist() == [2, 0]


def test_a_saved_catalog_is_the_same_after_loading(tmp_path: Path) -> None:
    built = build()
    built.save(tmp_path)
    loaded = Catalog.load(tmp_path)
    assert (loaded.space, loaded.space_hash, loaded.version) == (SPACE, "s", built.version)
    assert [loaded.item_ids[item] for item in range(len(loaded))] == ["b", "a", "c"]
    assert [loaded.metadata(item) for item in range(3)] == [metadata for _, metadata in ITEMS]
    for name in ("codes", "popularity", "rank", "popular"):
        assert getattr(loaded, name).tolist() == getattr(built, name).tolist()
    for name in ("child_start", "child_code", "depth_start", "leaf_start", "leaf_item"):
        array = getattr(loaded.trie, name)
        assert array.tolist() == getattr(built.trie, name).tolist()
        assert array.dtype == getattr(built.trie, name).dtype


def test_columns_are_there_after_loading_and_for_a_catalog_saved_without_them(tmp_path: Path) -> None:
    rule = Filter.model_validate({"any": [{"attribute": "price", "min": 9}, {"attribute": "tags", "equals": "old"}]})
    build().save(tmp_path)
    for _ in range(2):
        assert rule.mask(Catalog.load(tmp_path).columns).tolist() == [False, True, False]
        (tmp_path / "attributes.json").unlink(missing_ok=True)


def test_ranks_follow_popularity_then_id_deleted_items_included_and_with_or_without_their_file(tmp_path: Path) -> None:
    Catalog.build(SPACE, CODES, ITEMS, np.array([5, 5, 7]), "s", deleted=np.array([2])).save(tmp_path)
    for _ in range(2):
        assert Catalog.load(tmp_path).rank.tolist() == [2, 1, 0]
        (tmp_path / "rank.npy").unlink(missing_ok=True)


def test_damaged_columns_are_named(tmp_path: Path) -> None:
    build().save(tmp_path)
    (tmp_path / "attributes.json").write_text("{}")
    with pytest.raises(BundleError, match=r"attributes\.json cannot be read"):
        Catalog.load(tmp_path)
    build().save(tmp_path)
    (tmp_path / "attribute_number_rows.npy").unlink()
    with pytest.raises(BundleError, match=r"attribute_number_rows\.npy"):
        Catalog.load(tmp_path)


def test_the_version_follows_the_content() -> None:
    versions = {
        build().version,
        build(codes=CODES[:, ::-1]).version,
        build(popularity=(5, 6, 7)).version,
        build(space_hash="t").version,
    }
    assert len(versions) == 4
    assert build().version == build().version


def test_codes_of_another_space_are_refused() -> None:
    with pytest.raises(BundleError, match=r"\(2, 3, 1\).*\(2, 3, 2\)"):
        build(codes=CODES[..., :1])


def test_a_code_beyond_the_codebook_is_refused() -> None:
    with pytest.raises(BundleError, match="code 9 occurs"):
        build(codes=np.where(CODES == 3, np.uint8(9), CODES))


def test_counts_of_another_length_are_refused() -> None:
    with pytest.raises(BundleError, match="counts 2 items"):
        build(popularity=(1, 2))


def test_ids_must_be_distinct() -> None:
    with pytest.raises(DataError, match="'a' occurs twice"):
        Catalog.build(SPACE, CODES, [("a", {})] * 3, np.zeros(3, dtype=np.int32), "s")


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_metadata_that_json_cannot_hold_names_the_item(value: object) -> None:
    with pytest.raises(DataError, match="item 'b'"):
        Catalog.build(SPACE, CODES, [("a", {}), ("b", {"price": value}), ("c", {})], np.zeros(3, dtype=np.int32), "s")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    build().save(tmp_path)
    (tmp_path / "leaf_item.npy").unlink()
    with pytest.raises(BundleError, match=r"leaf_item\.npy"):
        Catalog.load(tmp_path)


def test_a_catalog_of_a_later_format_is_refused(tmp_path: Path) -> None:
    build().save(tmp_path)
    header = json.loads((tmp_path / "catalog.json").read_text())
    (tmp_path / "catalog.json").write_text(json.dumps(header | {"format_version": 2}))
    with pytest.raises(BundleError, match="format_version"):
        Catalog.load(tmp_path)


def test_an_array_of_another_catalog_is_refused(tmp_path: Path) -> None:
    build().save(tmp_path)
    np.save(tmp_path / "codes.npy", CODES[:, :2])
    with pytest.raises(BundleError, match="needs uint8"):
        Catalog.load(tmp_path)


def test_deleted_and_unavailable_items_come_back_from_disk(tmp_path: Path) -> None:
    counts = np.array([5, 5, 7])
    built = Catalog.build(SPACE, CODES, ITEMS, counts, "s", np.array([2]), np.array([0]), live_seq=12)
    built.save(tmp_path)
    for catalog in (built, Catalog.load(tmp_path)):
        assert (catalog.deleted.tolist(), catalog.unavailable.tolist(), catalog.live_seq) == ([2], [0], 12)
        assert (len(catalog), catalog.trie.items, catalog.popular.tolist()) == (3, 2, [1, 0])
        assert catalog.trie.item_leaf.tolist() == [[0, 0, -1], [1, 2, -1]]
    assert built.version != build().version


def test_a_catalog_saved_before_items_could_be_deleted_has_none(tmp_path: Path) -> None:
    build().save(tmp_path)
    for name in ("deleted.npy", "unavailable.npy"):
        (tmp_path / name).unlink()
    header = json.loads((tmp_path / "catalog.json").read_text())
    del header["live_seq"]
    (tmp_path / "catalog.json").write_text(json.dumps(header))
    loaded = Catalog.load(tmp_path)
    assert (loaded.deleted.tolist(), loaded.unavailable.tolist(), loaded.live_seq) == ([], [], 0)
