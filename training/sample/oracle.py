"""The oracle: the generator's own knowledge of every next purchase, and so the best that any recommender can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from training.sample.factors import Factors
from training.sample.tastes import TasteModel

BATCH = 1024


class OracleScores(NamedTuple):
    """Leave-one-out scores over all users, the last purchase being the target: HR@k and NDCG@k."""

    hit_rate: float
    ndcg: float


@dataclass(frozen=True)
class Oracle:
    """The true model together with the ids that items and users have in the shop's files."""

    model: TasteModel
    item_ids: tuple[str, ...]
    user_ids: tuple[str, ...]

    def log_probabilities(self, users: Sequence[str], histories: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """(B, N) float64: true log-probabilities of each user's next item, in the order of ``item_ids``.

        Items of the history, oldest first, have minus infinity.

        Raises:
            DataError: if the shop has no such user or item.
        """
        rows = np.array([_row(self._user_rows, user, "user") for user in users], dtype=np.int64)
        seen = np.zeros((len(rows), self.model.items), dtype=np.bool_)
        last = np.full(len(rows), -1, dtype=np.int64)
        for index, history in enumerate(histories):
            items = [_row(self._item_rows, item, "item") for item in history]
            seen[index, items] = True
            last[index] = items[-1] if items else -1
        return self.model.log_probabilities(rows, last, seen)

    def ranks(
        self, users: Sequence[str], histories: Sequence[Sequence[str]], targets: Sequence[str]
    ) -> NDArray[np.int64]:
        """(B,) int64: how many items the oracle ranks above each user's target; 0 is the first place.

        Raises:
            DataError: if the shop has no such user or item.
        """
        ranks = []
        for begin in range(0, len(users), BATCH):
            batch = slice(begin, begin + BATCH)
            scores = self.log_probabilities(users[batch], histories[batch])
            rows = [_row(self._item_rows, target, "item") for target in targets[batch]]
            ranks.append((scores > scores[np.arange(len(rows)), rows][:, None]).sum(axis=1))
        return np.concatenate(ranks).astype(np.int64) if ranks else np.zeros(0, dtype=np.int64)

    def scores(
        self, users: Sequence[str], histories: Sequence[Sequence[str]], targets: Sequence[str], k: int = 10
    ) -> OracleScores:
        """HR@k and NDCG@k of the oracle's ranking, averaged over the given users."""
        return scores_of_ranks(self.ranks(users, histories, targets), k)

    @cached_property
    def _user_rows(self) -> dict[str, int]:
        return {user: row for row, user in enumerate(self.user_ids)}

    @cached_property
    def _item_rows(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.item_ids)}

    def save(self, path: Path) -> None:
        """Writes the oracle as npz; equal oracles give equal bytes."""
        model = self.model
        np.savez(
            path,
            item_ids=np.array(self.item_ids),
            user_ids=np.array(self.user_ids),
            category=model.factors.category,
            factors=model.factors.values,
            log_popularity=model.log_popularity,
            log_step=model.log_step,
            tastes=model.tastes,
            stay=model.stay,
        )

    @classmethod
    def load(cls, path: Path) -> "Oracle":
        """Reads what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            model = TasteModel(
                factors=Factors(stored["category"], stored["factors"]),
                log_popularity=stored["log_popularity"],
                log_step=stored["log_step"],
                tastes=stored["tastes"],
                stay=stored["stay"],
            )
            return cls(model, tuple(map(str, stored["item_ids"])), tuple(map(str, stored["user_ids"])))


def scores_of_ranks(ranks: NDArray[np.integer], k: int) -> OracleScores:
    """HR@k and NDCG@k of one target per user at the given ranks (0 is the first place)."""
    hits = ranks < k
    gains = np.where(hits, 1.0 / np.log2(ranks + 2.0), 0.0)
    return OracleScores(float(hits.mean()), float(gains.mean()))


def _row(rows: dict[str, int], key: str, kind: str) -> int:
    if key not in rows:
        raise DataError(
            f"the oracle knows no {kind} {key!r}; it belongs to another sample shop, so generate both again"
        )
    return rows[key]
