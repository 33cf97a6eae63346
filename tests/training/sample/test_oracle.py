"""The oracle: the best answer, far above popularity, and much of it to be read from the history and both modalities."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import DataError
from training.sample.factors import CATEGORIES, FACTORS, draw_factors
from training.sample.histories import Histories, draw_histories
from training.sample.oracle import Oracle, scores_of_ranks
from training.sample.tastes import TasteConfig, draw_taste_model

USERS, ITEMS = 1200, 720


class Shop(NamedTuple):
    """An oracle, everybody's purchases, and, per user, the history before the last purchase and that purchase."""

    oracle: Oracle
    histories: Histories
    known: list[NDArray[np.int64]]
    targets: NDArray[np.int64]


@pytest.fixture(scope="module")
def shop() -> Shop:
    model = draw_taste_model(TasteConfig(), draw_factors(ITEMS, seed=7), USERS, seed=7)
    histories = draw_histories(model, seed=7)
    ids = tuple(f"item-{row}" for row in range(ITEMS)), tuple(f"user-{row}" for row in range(USERS))
    bought = np.split(histories.items, histories.offsets[1:-1])
    return Shop(
        Oracle(model, *ids), histories, [items[:-1] for items in bought], np.array([items[-1] for items in bought])
    )


def _ranks(
    scores: NDArray[np.float64], known: list[NDArray[np.int64]], targets: NDArray[np.int64]
) -> NDArray[np.int64]:
    for row, items in enumerate(known):
        scores[row, items] = -np.inf
    return np.asarray((scores > scores[np.arange(len(targets)), targets][:, None]).sum(axis=1))


def _oracle_ranks(shop: Shop) -> NDArray[np.int64]:
    ids = shop.oracle.item_ids
    known = [[ids[item] for item in items] for items in shop.known]
    return shop.oracle.ranks(shop.oracle.user_ids, known, [ids[item] for item in shop.targets])


def _observer_hit_rate(shop: Shop, modalities: set[str]) -> float:
    """HR@10 of counting alone: category steps, and how often the history shows each value of the visible factors."""
    category, values = shop.oracle.model.factors
    steps = np.ones((len(CATEGORIES), len(CATEGORIES)))
    for items in shop.known:
        np.add.at(steps, (category[items[:-1]], category[items[1:]]), 1)
    last = np.array([items[-1] for items in shop.known])
    scores = np.log(steps / steps.sum(axis=1, keepdims=True))[category[last]][:, category]
    for column, factor in enumerate(FACTORS):
        if factor.modality not in modalities:
            continue
        counts = np.stack([np.bincount(values[items, column], minlength=len(factor.values)) for items in shop.known])
        shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
        scores += np.log(shares)[:, values[:, column]] + 1.0 * (
            values[last, column][:, None] == values[None, :, column]
        )
    return scores_of_ranks(_ranks(scores, shop.known, shop.targets), 10).hit_rate


def test_the_oracle_is_high_and_popularity_low(shop: Shop) -> None:
    hit_rate = scores_of_ranks(_oracle_ranks(shop), 10).hit_rate
    counts = np.bincount(np.concatenate(shop.known), minlength=ITEMS).astype(np.float64)
    popularity = _ranks(np.tile(counts, (USERS, 1)), shop.known, shop.targets)
    assert 0.5 < hit_rate < 0.7
    assert scores_of_ranks(popularity, 10).hit_rate < 0.06


def test_the_history_tells_most_of_what_the_oracle_knows_and_both_modalities_are_needed(shop: Shop) -> None:
    oracle = scores_of_ranks(_oracle_ranks(shop), 10).hit_rate
    both, text, image = (_observer_hit_rate(shop, seen) for seen in ({"text", "image"}, {"text"}, {"image"}))
    assert both > 0.65 * oracle
    assert both > 1.25 * max(text, image)
    assert min(text, image) > 0.3 * oracle


def test_what_the_oracle_expects_is_what_happens(shop: Shop) -> None:
    """Calibration: over all users, the target falls into the oracle's top ten as often as its probabilities say."""
    ids = shop.oracle.item_ids
    known = [[ids[item] for item in items] for items in shop.known]
    top = np.sort(np.exp(shop.oracle.log_probabilities(shop.oracle.user_ids, known)), axis=1)[:, -10:].sum(axis=1)
    deviation = np.sqrt((top * (1 - top)).sum()) / USERS
    assert abs(scores_of_ranks(_oracle_ranks(shop), 10).hit_rate - top.mean()) < 4 * deviation


def test_every_item_is_bought_by_somebody(shop: Shop) -> None:
    assert np.bincount(shop.histories.items, minlength=ITEMS).min() >= 1


def test_a_saved_oracle_answers_alike(shop: Shop, tmp_path: Path) -> None:
    shop.oracle.save(tmp_path / "oracle.npz")
    loaded = Oracle.load(tmp_path / "oracle.npz")
    asked = ["user-3", "user-5"], [["item-1", "item-700"], []]
    assert np.array_equal(shop.oracle.log_probabilities(*asked), loaded.log_probabilities(*asked))
    assert (loaded.item_ids, loaded.user_ids) == (shop.oracle.item_ids, shop.oracle.user_ids)


def test_an_unknown_id_is_named(shop: Shop) -> None:
    with pytest.raises(DataError, match="no user 'nobody'"):
        shop.oracle.log_probabilities(["nobody"], [[]])
    with pytest.raises(DataError, match="no item 'nothing'"):
        shop.oracle.ranks(["user-1"], [["item-1"]], ["nothing"])


def test_scores_by_hand() -> None:
    scores = scores_of_ranks(np.array([0, 2, 10, 400]), 10)
    assert scores.hit_rate == 0.5
    assert scores.ndcg == pytest.approx((1 + 0.5) / 4)
