"""Histories: their lengths, and what steers them from one purchase to the next."""

import numpy as np
import pytest

from training.sample.factors import CATEGORIES, CATEGORY_KEYS, FACTORS, draw_factors
from training.sample.histories import YEAR_SECONDS, YEAR_START, Histories, draw_histories
from training.sample.tastes import TasteConfig, TasteModel, draw_taste_model


@pytest.fixture(scope="module")
def model() -> TasteModel:
    return draw_taste_model(TasteConfig(), draw_factors(720, seed=1), users=1000, seed=1)


@pytest.fixture(scope="module")
def histories(model: TasteModel) -> Histories:
    return draw_histories(model, seed=1)


def test_lengths_are_five_to_forty_and_thirteen_on_average(histories: Histories) -> None:
    lengths = np.diff(histories.offsets)
    assert (lengths.min(), lengths.max() <= 40) == (5, True)
    assert 12 < lengths.mean() < 15


def test_purchases_fall_into_the_year(histories: Histories) -> None:
    assert histories.timestamps.min() >= YEAR_START
    assert histories.timestamps.max() < YEAR_START + YEAR_SECONDS


def test_buyers_go_on_to_complementary_categories_and_keep_their_style(model: TasteModel, histories: Histories) -> None:
    same_user = histories.owners[:-1] == histories.owners[1:]
    before, after = histories.items[:-1][same_user], histories.items[1:][same_user]
    category, values = model.factors
    nexts = [{CATEGORY_KEYS.index(key) for key in entry.next} for entry in CATEGORIES]
    complementary = np.mean([category[j] in nexts[category[i]] for i, j in zip(before, after, strict=True)])
    assert complementary > 0.75
    for column in (column for column, factor in enumerate(FACTORS) if factor.name in ("collection", "palette")):
        assert (values[before, column] == values[after, column]).mean() > 0.4


def test_ratings_rise_with_the_taste(model: TasteModel, histories: Histories) -> None:
    liking = model.appeal(np.arange(model.users))[histories.owners, histories.items]
    assert np.corrcoef(liking, histories.ratings)[0, 1] > 0.4
    assert set(np.unique(histories.ratings)) <= {1, 2, 3, 4, 5}
