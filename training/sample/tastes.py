"""What users like and what they buy next: the true model behind every history of the sample shop.

The model is log-linear, so the probability of every next item is known exactly:

    log P(i | user u, last item j, seen items) = popularity(i) + step(category(j), category(i))
        + sum over factors f of  taste(u, f, f(i)) + stay(f) * [f(i) = f(j)]    + const,    i not seen

``taste`` is what the user likes for good (a favourite and a second choice of every factor), ``step`` sends a buyer to
complementary categories, and ``stay`` keeps the style of the last purchase.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, field_validator

from model.config import Config
from training.sample.factors import CATEGORIES, CATEGORY_KEYS, FACTORS, Factors
from training.sample.streams import Stream, generator

PerFactor = Annotated[tuple[NonNegativeFloat, ...], Field(min_length=len(FACTORS), max_length=len(FACTORS))]


class TasteConfig(Config):
    """How firmly tastes and the last item's style hold, in nats, one strength per factor in the order of FACTORS."""

    favourite: PerFactor = (1.2, 0.6, 1.2, 0.6, 0.3)
    stay: PerFactor = (2.6, 0.6, 2.6, 0.6, 0.0)
    second_choice: NonNegativeFloat = 0.5
    """The second choice's strength as a share of the favourite's."""
    step: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.6, 0.2, 0.1)
    """Shares of the three complementary categories; the other categories split the rest evenly."""
    popularity_spread: NonNegativeFloat = 0.4
    """Standard deviation of an item's log popularity."""

    @field_validator("step")
    @classmethod
    def _leaves_a_rest(cls, step: tuple[float, float, float]) -> tuple[float, float, float]:
        if sum(step) >= 1:
            raise ValueError(f"the shares {step} sum to {sum(step):g}; they must leave some for the other categories")
        return step


@dataclass(frozen=True)
class TasteModel:
    """The true conditional model of N items and U users; V is the number of values of all factors together.

    Args:
        factors: categories and factor values of the items.
        log_popularity: (N,) float64, nats.
        log_step: (C + 1, C) float64, nats, from the last item's category; row C is for an empty history.
        tastes: (U, V) float64, nats, the values of FACTORS one after another.
        stay: (F,) float64, nats.
    """

    factors: Factors
    log_popularity: NDArray[np.float64]
    log_step: NDArray[np.float64]
    tastes: NDArray[np.float64]
    stay: NDArray[np.float64]

    @property
    def items(self) -> int:
        """The number of items N."""
        return len(self.log_popularity)

    @property
    def users(self) -> int:
        """The number of users U."""
        return len(self.tastes)

    def log_probabilities(
        self, users: NDArray[np.integer], last: NDArray[np.integer], seen: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """The true log-probabilities of the next item.

        Args:
            users: (B,) user indices.
            last: (B,) index of the last item of each history, -1 for an empty history.
            seen: (B, N) the items of each history; their log-probability is minus infinity.

        Returns:
            (B, N) float64; each row's probabilities sum to one.
        """
        logits = self.appeal(users) + self.log_popularity + self._step(last)
        logits = np.where(seen, -np.inf, logits)
        logits -= logits.max(axis=1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))

    def appeal(self, users: NDArray[np.integer]) -> NDArray[np.float64]:
        """(B, N) float64, nats: how much each user likes each item for good, whatever came before."""
        appeal = np.zeros((len(users), self.items))
        for column, offset in enumerate(value_offsets()):
            appeal += self.tastes[users][:, offset + self.factors.values[:, column]]
        return appeal

    def _step(self, last: NDArray[np.integer]) -> NDArray[np.float64]:
        """(B, N) float64, nats: the pull of the last item's category and style."""
        started = last >= 0
        category, values = self.factors
        step = self.log_step[np.where(started, category[last], len(CATEGORIES))][:, category]
        for column, strength in enumerate(self.stay):
            same = values[last, column][:, None] == values[None, :, column]
            step = step + strength * (same & started[:, None])
        return step


def value_offsets() -> list[int]:
    """Where each factor's values start among the V columns of a taste."""
    sizes = [len(factor.values) for factor in FACTORS]
    return [sum(sizes[:column]) for column in range(len(sizes))]


def draw_taste_model(config: TasteConfig, factors: Factors, users: int, seed: int) -> TasteModel:
    """Draws popularity and tastes for a catalog with the given factors."""
    spread = generator(seed, Stream.POPULARITY).normal(0.0, config.popularity_spread, len(factors.category))
    return TasteModel(
        factors=factors,
        log_popularity=spread,
        log_step=_log_step(config.step),
        tastes=_draw_tastes(config, users, generator(seed, Stream.TASTE)),
        stay=np.array(config.stay, dtype=np.float64),
    )


def _log_step(shares: tuple[float, float, float]) -> NDArray[np.float64]:
    """(C + 1, C) log shares of the next category; staying within the category counts among the rest."""
    count = len(CATEGORIES)
    step = np.full((count + 1, count), (1.0 - sum(shares)) / (count - len(shares)))
    for row, category in enumerate(CATEGORIES):
        step[row, [CATEGORY_KEYS.index(key) for key in category.next]] = shares
    step[count] = 1.0 / count
    return np.asarray(np.log(step))


def _draw_tastes(config: TasteConfig, users: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(U, V): for every factor a favourite value and a second choice, different from each other."""
    columns = []
    for factor, strength in zip(FACTORS, config.favourite, strict=True):
        order = np.argsort(rng.random((users, len(factor.values))), axis=1)
        taste = np.zeros(order.shape)
        taste[np.arange(users), order[:, 0]] = strength
        taste[np.arange(users), order[:, 1]] = strength * config.second_choice
        columns.append(taste)
    return np.concatenate(columns, axis=1)
