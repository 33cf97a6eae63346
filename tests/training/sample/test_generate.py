"""The generated shop: the same seed gives the same bytes, and the files keep the canonical form's rules."""

import csv
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from training.items import Item, read_items
from training.sample import Oracle, SampleConfig, generate

SMALL = SampleConfig(items=120, users=80, seed=3, image_size=48, missing_images=0.05)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    generate(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def items(shop: Path) -> list[Item]:
    return read_items(shop / "items.jsonl")


@pytest.fixture(scope="module")
def purchases(shop: Path) -> dict[str, list[dict[str, str]]]:
    by_user = defaultdict(list)
    with (shop / "interactions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_user[row["user"]].append(row)
    return by_user


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(shop: Path, tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "again")
    assert _contents(tmp_path / "again") == _contents(shop)


def test_another_seed_gives_another_shop(shop: Path, tmp_path: Path) -> None:
    generate(SMALL.model_copy(update={"seed": 4}), tmp_path / "other")
    other, first = _contents(tmp_path / "other"), _contents(shop)
    assert all(other[name] != first[name] for name in ("items.jsonl", "interactions.csv", "oracle.npz"))


def test_every_user_buys_known_items_once_and_in_order_of_time(
    items: list[Item], purchases: dict[str, list[dict[str, str]]]
) -> None:
    known = {item.id for item in items}
    assert len(purchases) == SMALL.users
    for rows in purchases.values():
        bought = [row["item"] for row in rows]
        times = [int(row["timestamp"]) for row in rows]
        assert 5 <= len(bought) <= 40
        assert set(bought) <= known
        assert len(set(bought)) == len(bought)
        assert all(earlier < later for earlier, later in pairwise(times))
        assert all(1 <= int(row["rating"]) <= 5 for row in rows)


def test_items_have_distinct_ids_and_titles_and_twelve_categories(items: list[Item]) -> None:
    assert len({item.id for item in items}) == len({item.title for item in items}) == SMALL.items
    assert len({item.category for item in items}) == 12
    assert all(
        item.text and item.price and set(item.attributes) == {"brand", "collection", "material"} for item in items
    )


def test_the_asked_share_of_items_has_no_image_and_all_others_decode(shop: Path, items: list[Item]) -> None:
    named = [item.image for item in items if item.image is not None]
    assert len(named) == SMALL.items - 6
    assert {path.name for path in (shop / "images").iterdir()} == set(named)
    for name in named:
        with Image.open(shop / "images" / name) as picture:
            picture.load()
            assert (picture.size, picture.mode) == ((48, 48), "RGB")


def test_the_oracle_speaks_of_the_shops_own_ids(
    shop: Path, items: list[Item], purchases: dict[str, list[dict[str, str]]]
) -> None:
    oracle = Oracle.load(shop / "oracle.npz")
    assert list(oracle.item_ids) == [item.id for item in items]
    assert set(oracle.user_ids) == set(purchases)


def test_a_shop_too_small_for_the_longest_history_is_refused() -> None:
    with pytest.raises(ValidationError):
        SampleConfig(items=39)
