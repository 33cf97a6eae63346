"""The true model: it equals its formula, item by item, and its probabilities are probabilities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.sample.factors import CATEGORIES, CATEGORY_KEYS, FACTORS, draw_factors
from training.sample.tastes import TasteConfig, TasteModel, draw_taste_model, value_offsets

ITEMS, USERS = 72, 9
CONFIG = TasteConfig()
MODEL = draw_taste_model(CONFIG, draw_factors(ITEMS, seed=2), USERS, seed=2)


def _by_the_formula(model: TasteModel, user: int, history: list[int]) -> list[float]:
    """The module's formula, in plain Python."""
    category, values = model.factors
    weights = []
    for item in range(model.items):
        score = float(model.log_popularity[item])
        score += float(model.log_step[category[history[-1]] if history else len(CATEGORIES), category[item]])
        for column, offset in enumerate(value_offsets()):
            score += float(model.tastes[user, offset + values[item, column]])
            if history and values[item, column] == values[history[-1], column]:
                score += float(model.stay[column])
        weights.append(0.0 if item in history else math.exp(score))
    return [weight / sum(weights) for weight in weights]


@given(
    user=st.integers(0, USERS - 1),
    history=st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=12),
)
def test_probabilities_equal_the_formula_sum_to_one_and_leave_out_the_history(user: int, history: list[int]) -> None:
    seen = np.zeros((1, ITEMS), dtype=np.bool_)
    seen[0, history] = True
    last = np.array([history[-1] if history else -1])
    probabilities = np.exp(MODEL.log_probabilities(np.array([user]), last, seen)[0])
    np.testing.assert_allclose(probabilities.sum(), 1.0)
    assert not probabilities[history].any()
    np.testing.assert_allclose(probabilities, _by_the_formula(MODEL, user, history), atol=1e-12)


def test_every_user_has_a_favourite_and_a_second_choice_of_every_factor() -> None:
    for column, (factor, offset) in enumerate(zip(FACTORS, value_offsets(), strict=True)):
        tastes = np.sort(MODEL.tastes[:, offset : offset + len(factor.values)], axis=1)
        strength = CONFIG.favourite[column]
        np.testing.assert_allclose(tastes[:, -1], strength)
        np.testing.assert_allclose(tastes[:, -2], strength * CONFIG.second_choice)
        assert not tastes[:, :-2].any()


def test_steps_between_categories_are_shares() -> None:
    step = np.exp(MODEL.log_step)
    np.testing.assert_allclose(step.sum(axis=1), 1.0)
    mug = step[CATEGORY_KEYS.index("mug")]
    np.testing.assert_allclose([mug[CATEGORY_KEYS.index(key)] for key in CATEGORIES[0].next], CONFIG.step)


@pytest.mark.parametrize("settings", [{"step": (0.6, 0.3, 0.2)}, {"stay": (1.0, 1.0)}, {"favourite": (1.0,) * 6}])
def test_settings_that_fit_no_model_are_refused(settings: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValidationError):
        TasteConfig.model_validate(settings)
