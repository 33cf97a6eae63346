import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import ABSENT, estimate, gains, hits, paired_bootstrap, summarise

RANKS = np.array([0, 1, 9, 10, ABSENT])


def test_known_ranks_give_known_metrics() -> None:
    metrics = summarise(RANKS)
    assert metrics["hr@1"].value == pytest.approx(1 / 5)
    assert metrics["hr@5"].value == pytest.approx(2 / 5)
    assert metrics["hr@10"].value == pytest.approx(3 / 5)
    assert metrics["hr@20"].value == pytest.approx(4 / 5)
    assert metrics["ndcg@1"].value == pytest.approx(1 / 5)
    assert metrics["ndcg@10"].value == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11)) / 5)


def test_an_absent_target_scores_nothing_at_any_cutoff() -> None:
    assert hits(np.array([ABSENT]), 10**6).tolist() == [0.0]
    assert gains(np.array([ABSENT]), 10**6).tolist() == [0.0]


def test_the_standard_error_is_that_of_a_proportion() -> None:
    values = np.repeat([1.0, 0.0], [30, 70])
    assert estimate(values).error == pytest.approx((0.3 * 0.7 / 99) ** 0.5)


def test_estimates_of_none_and_of_one_user_are_defined() -> None:
    assert estimate(np.array([])) == (0.0, 0.0)
    assert estimate(np.array([0.5])) == (0.5, 0.0)


@given(st.lists(st.integers(-1, 30), min_size=1))
def test_ndcg_never_exceeds_the_hit_rate_and_both_grow_with_k(ranks: list[int]) -> None:
    metrics = summarise(np.array(ranks))
    for small, large in ((1, 5), (5, 10), (10, 20)):
        assert metrics[f"ndcg@{large}"].value <= metrics[f"hr@{large}"].value
        assert metrics[f"hr@{small}"].value <= metrics[f"hr@{large}"].value
        assert metrics[f"ndcg@{small}"].value <= metrics[f"ndcg@{large}"].value


def test_the_bootstrap_interval_matches_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=2000)
    first, second = shared + 0.1 + rng.normal(0, 0.5, 2000), shared
    difference = paired_bootstrap(first, second, samples=4000)
    error = (first - second).std(ddof=1) / 2000**0.5
    assert difference.value == pytest.approx((first - second).mean())
    assert difference.low == pytest.approx(difference.value - 1.96 * error, abs=0.1 * error)
    assert difference.high == pytest.approx(difference.value + 1.96 * error, abs=0.1 * error)


def test_pairing_removes_what_users_have_in_common() -> None:
    shared = np.random.default_rng(0).normal(size=500)
    difference = paired_bootstrap(shared + 0.01, shared)
    assert (difference.low, difference.high) == pytest.approx((0.01, 0.01))


def test_the_bootstrap_repeats_by_seed_and_takes_no_users() -> None:
    first, second = np.random.default_rng(0).random((2, 50))
    assert paired_bootstrap(first, second, seed=1) == paired_bootstrap(first, second, seed=1)
    assert paired_bootstrap(first[:0], second[:0]) == (0.0, 0.0, 0.0)
