"""The exact list is that of every item's own log-probability, worked out one by one."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.semantic_ids import PAD
from tests.training.compare.conftest import trained
from tests.training.compare.test_runner import job
from training.compare.beams import _found, beam_losses
from training.compare.runner import Comparison
from training.compare.systems import Generating, load_system

USERS = np.array([0, 7, 31])


@pytest.fixture(scope="module")
def tiger(compared: Comparison) -> Generating:
    one = job(compared, "tiger")
    system = load_system(one.row, one.row.evaluated(compared.config(one)), trained(compared, one))
    assert isinstance(system, Generating)
    return system


@torch.no_grad()
def naive_scores(system: Generating, user: int) -> list[float]:
    """Each item's log-probability after the user's history, an item at a time."""
    histories = system.split.histories(np.array([user]), "test", system.generator.config.max_history)
    history = histories.items[0, : histories.lengths[0]]
    tokens = system.data.space.tokens(0, system.data.codes[0])
    given = torch.from_numpy(tokens[history].reshape(1, -1))
    transformer, scores = system.generator.eval().transformer, []
    present = torch.ones_like(given, dtype=torch.bool)
    memory = transformer.memory(transformer.encode(given, present), present)
    for item in range(system.items):
        wanted = torch.from_numpy(tokens[item])[None]
        logits = transformer.decode(F.pad(wanted[:, :-1], (1, 0), value=PAD), memory)
        scores.append(float(logits.log_softmax(-1).gather(2, wanted[:, :, None]).sum()))
    return scores


def test_exact_lists_rank_every_item_by_its_own_probability(tiger: Generating) -> None:
    found = _found(tiger, USERS, tiger.items)
    for user, items in zip(USERS.tolist(), found.items, strict=True):
        scores = np.array(naive_scores(tiger, user))
        assert sorted(items.tolist()) == list(range(tiger.items))
        listed = scores[np.asarray(items)]
        assert (np.diff(listed) < 1e-4).all()


def test_wide_beams_lose_nothing_and_narrow_ones_are_measured_against_them(tiger: Generating) -> None:
    losses = beam_losses(tiger, seed=0)
    assert losses["users"] == 60
    assert losses["exact"]["overlap@10"] == 1
    assert losses["widths"]["50"] == losses["widths"]["100"] == losses["exact"]
    overlaps = [losses["widths"][width]["overlap@10"] for width in ("10", "20", "50")]
    assert overlaps == sorted(overlaps)


def test_the_sample_of_users_shrinks_with_the_catalog(tiger: Generating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.compare.beams.USERS_TIMES_ITEMS", 48 * 20)
    assert beam_losses(tiger, seed=0)["users"] == 20
