"""Fusion follows its formulas: tables worked out by hand, and a reference that goes item by item."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import ConfigError
from model.fusion import FusionConfig, Rule, ScoredItems, fuse

TEXT = ScoredItems(np.array([10, 20, 30]), np.array([-1.0, -2.0, -4.0]))
IMAGE = ScoredItems(np.array([20, 40]), np.array([-1.0, -3.0]))


def scored(*pairs: tuple[int, float]) -> ScoredItems:
    return ScoredItems(np.array([item for item, _ in pairs]), np.array([score for _, score in pairs]))


def test_mean_gives_a_missing_item_the_lists_lowest_score() -> None:
    # item:  text   image  mean
    #   20   -2     -1     -1.5
    #   10   -1     (-3)   -2.0
    #   30   -4     (-3)   -3.5     ties with 40, which has the better best rank (2 against 3)
    #   40   (-4)   -3     -3.5
    fused = fuse([TEXT, IMAGE], [1, 1], levels=4)
    assert fused.items.tolist() == [20, 10, 40, 30]
    assert fused.scores.tolist() == [-1.5, -2.0, -3.5, -3.5]
    assert fused.list_ranks.tolist() == [[2, 1], [1, 0], [0, 2], [3, 0]]
    np.testing.assert_array_equal(fused.list_scores, [[-2, -1], [-1, np.nan], [np.nan, -3], [-4, np.nan]])


def test_mean_follows_the_weights() -> None:
    # weights 3 : 1      20: (-6 - 1) / 4   10: (-3 - 3) / 4   30: (-12 - 3) / 4   40: (-12 - 3) / 4
    fused = fuse([TEXT, IMAGE], [3, 1], levels=4)
    assert fused.items.tolist() == [10, 20, 40, 30]
    assert fused.scores.tolist() == [-1.5, -1.75, -3.75, -3.75]


def test_bonus_adds_five_nats_per_sequence_to_an_item_in_both_lists() -> None:
    # levels = 4, so the bonus is 5 / 4 per code      20: -1.5 + 1.25   10: -1   30: -4   40: -3
    fused = fuse([TEXT, IMAGE], [1, 1], levels=4, config=FusionConfig(rule=Rule.BONUS))
    assert fused.items.tolist() == [20, 10, 40, 30]
    assert fused.scores.tolist() == [-0.25, -1.0, -3.0, -4.0]


def test_bonus_follows_the_weights_only_where_lists_meet() -> None:
    # weights 3 : 1, bonus 2 / 4      20: (-6 - 1) / 4 + 0.5   10: -1   30: -4   40: -3
    fused = fuse([TEXT, IMAGE], [3, 1], levels=4, config=FusionConfig(rule=Rule.BONUS, bonus=2.0))
    assert fused.items.tolist() == [10, 20, 40, 30]
    assert fused.scores.tolist() == [-1.0, -1.25, -3.0, -4.0]


def test_bonus_counts_every_further_list() -> None:
    three = [scored((1, -1.0), (2, -1.0)), scored((1, -1.0), (2, -1.0)), scored((1, -1.0))]
    fused = fuse(three, [1, 1, 1], levels=5, config=FusionConfig(rule=Rule.BONUS))
    assert fused.items.tolist() == [1, 2]
    np.testing.assert_allclose(fused.scores, [1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("rule", list(Rule))
def test_one_list_stays_as_it_is(rule: Rule) -> None:
    fused = fuse([TEXT], [0.3], levels=4, config=FusionConfig(rule=rule))
    assert fused.items.tolist() == TEXT.items.tolist()
    np.testing.assert_allclose(fused.scores, TEXT.scores)


@pytest.mark.parametrize("rule", list(Rule))
def test_a_list_without_items_changes_nothing(rule: Rule) -> None:
    fused = fuse([TEXT, scored()], [1, 9], levels=4, config=FusionConfig(rule=rule))
    assert fused.items.tolist() == TEXT.items.tolist()
    np.testing.assert_allclose(fused.scores, TEXT.scores)


@pytest.mark.parametrize("lists", [[], [scored()], [scored(), scored()]])
@pytest.mark.parametrize("rule", list(Rule))
def test_nothing_joined_is_nothing(lists: list[ScoredItems], rule: Rule) -> None:
    assert fuse(lists, [1.0] * len(lists), levels=4, config=FusionConfig(rule=rule)).items.tolist() == []


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf]])
def test_weights_are_one_number_per_list_and_one_is_above_zero(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="2 lists"):
        fuse([TEXT, IMAGE], weights, levels=4)


def test_full_ties_go_to_the_lower_item_index() -> None:
    fused = fuse([scored((7, -1.0)), scored((3, -1.0))], [1, 1], levels=4)
    assert fused.items.tolist() == [3, 7]


def naive_score(item: int, lists: list[dict[int, float]], weights: list[float], rule: Rule, bonus: float) -> float:
    """The formulas of the docstrings, read aloud."""
    holders = [j for j, scores in enumerate(lists) if item in scores]
    if rule is Rule.BONUS:
        total = sum(weights[j] * lists[j][item] for j in holders) / sum(weights[j] for j in holders)
        return total + (len(holders) - 1) * bonus
    spoken = [j for j, scores in enumerate(lists) if scores]
    values = [lists[j].get(item, min(lists[j].values())) for j in spoken]
    return sum(weights[j] * value for j, value in zip(spoken, values, strict=True)) / sum(weights[j] for j in spoken)


one_list = st.dictionaries(st.integers(0, 15), st.floats(-9, 0), max_size=10)


@settings(max_examples=200, deadline=None)
@given(
    lists=st.lists(one_list, min_size=1, max_size=3),
    rule=st.sampled_from(list(Rule)),
    weights=st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
)
def test_scores_equal_the_formula_read_item_by_item(
    lists: list[dict[int, float]], rule: Rule, weights: list[float]
) -> None:
    weights = weights[: len(lists)]
    best_first = [sorted(scores.items(), key=lambda pair: -pair[1]) for scores in lists]
    fused = fuse([scored(*pairs) for pairs in best_first], weights, levels=4, config=FusionConfig(rule=rule))
    expected = {item: naive_score(item, lists, weights, rule, 5 / 4) for scores in lists for item in scores}
    assert set(fused.items.tolist()) == set(expected)
    assert len(fused.items) == len(expected)
    np.testing.assert_allclose(fused.scores, [expected[item] for item in fused.items.tolist()], rtol=1e-7, atol=1e-12)
    assert (np.diff(fused.scores) <= 0).all()


@pytest.mark.parametrize("rule", list(Rule))
def test_a_list_without_weight_is_as_if_it_had_not_been_searched(rule: Rule) -> None:
    config = FusionConfig(rule=rule)
    fused, alone = fuse([TEXT, IMAGE], [2.0, 0.0], 4, config), fuse([TEXT], [2.0], 4, config)
    assert fused.items.tolist() == alone.items.tolist()
    assert fused.scores.tolist() == alone.scores.tolist()
    assert not fused.list_ranks[:, 1].any()


def test_a_list_weighs_one_where_nothing_is_said() -> None:
    assert FusionConfig(weights={"text": 0.5, "sound": 3.0}).list_weights(("image", "text")) == [1.0, 0.5]
