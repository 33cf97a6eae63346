"""The figures of a row: known answers for IDs, coverage and cold targets, and ranks of several targets a user."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.semantic_ids import IdSpace
from tests.toys import interactions_of
from training.compare.quality import id_quality, measure
from training.compare.systems import Answers
from training.id_space_file import write_id_space
from training.metrics import ABSENT
from training.split import NO_ITEM, Split

SEQUENCES = [[0, 1, 2, 3], [0, 1, 4, 2], [1, 0, 3, 5]]


class LastSeen:
    """Recommends the items just before the target, newest first, and nothing else."""

    main = "items"
    parameters = 0
    items = 6

    def __init__(self, test_events: int) -> None:
        self.split = Split(interactions_of(SEQUENCES), test_events)

    def users(self, split: Split) -> NDArray[np.int64]:
        return split.users

    def answers(self, split: Split, *, remove_seen: bool) -> Answers:
        users = split.users
        histories = split.histories(users, "test", 3)
        top = np.full((len(users), 20), NO_ITEM, dtype=np.int32)
        for row, length in enumerate(histories.lengths):
            top[row, :length] = histories.items[row, :length][::-1]
        matches = top == split.targets(users, "test")[:, None]
        ranks = np.where(matches.any(1), matches.argmax(1), ABSENT)
        return Answers({self.main: np.full_like(ranks, ABSENT) if remove_seen else ranks}, {}, top)

    def request(self, user: int) -> None:
        self.split.histories(np.array([user]), "test", 3)


def test_several_last_events_are_all_targets_with_their_own_histories() -> None:
    figures, arrays = measure(LastSeen(2))
    assert arrays["users"].tolist() == [0, 1, 2] * 2
    assert arrays["back"].tolist() == [0] * 3 + [1] * 3
    assert arrays["targets"].tolist() == [3, 2, 5, 2, 4, 3]
    assert arrays["seen_left_in/top"][:, :3].tolist() == [
        [2, 1, 0], [4, 1, 0], [3, 0, 1], [1, 0, -1], [1, 0, -1], [0, 1, -1]
    ]  # fmt: skip
    assert (figures["users"], figures["targets"]) == (3, 6)


def test_coverage_counts_items_in_anybodys_list_and_cold_those_nobody_trained_on() -> None:
    figures, _ = measure(LastSeen(1))
    # Training is [0, 1], [0, 1], [1, 0]: all targets (3, 2, 5) are cold, and no list holds the last one.
    assert figures["seen_left_in"]["coverage@10"] == pytest.approx(5 / 6, abs=1e-5)
    assert figures["cold"] == {"targets": 3, "share": 1.0, "hits@10 seen_removed": 0, "hits@10 seen_left_in": 0}


def test_the_use_of_codes_and_collisions_by_level(tmp_path: Path) -> None:
    greedy = np.array([[[0, 0], [0, 0], [0, 1], [2, 1]]], dtype=np.uint8)
    moved = np.array([[[0, 0], [0, 2], [0, 1], [2, 1]]], dtype=np.uint8)
    np.save(tmp_path / "greedy_codes.npy", greedy)
    np.save(tmp_path / "codes.npy", moved)
    write_id_space(tmp_path / "id_space.json", IdSpace(("text",), 2, 3))
    (quality,) = id_quality(tmp_path).values()
    assert quality["collision_rate_before"] == 0.25
    assert quality["collisions_before"] == [0.5, 0.25]
    assert quality["collisions_after"] == [0.5, 0.0]
    assert quality["codes_used"] == [2, 2]
    assert quality["counts"] == [[3, 0, 1], [2, 2, 0]]
    assert quality["perplexity"] == [pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)), abs=0.01), 2.0]


def test_imported_ids_are_measured_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", np.array([[[0, 0], [0, 0]]], dtype=np.uint8))
    write_id_space(tmp_path / "id_space.json", IdSpace(("text",), 2, 3))
    assert id_quality(tmp_path)["text"]["collision_rate_before"] == 0.5
