"""SASRec: causal, its loss is the plain one, and what it scores is what it was trained on."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.sasrec import PAD, Sasrec, SasrecSizes

ITEMS = 7
SIZES = SasrecSizes(d_model=16, layers=2, heads=2, dropout=0.0, max_history=6)


@pytest.fixture
def model() -> Sasrec:
    torch.manual_seed(0)
    return Sasrec(ITEMS, SIZES)


def test_a_later_item_changes_no_earlier_state_and_every_later_one(model: Sasrec) -> None:
    first = torch.tensor([[1, 2, 3, 4, 5]])
    for place in range(5):
        changed = first.clone()
        changed[0, place] = 6
        moved = (model.states(first) - model.states(changed)).abs().amax(-1)[0]
        assert (moved[:place] == 0).all()
        assert (moved[place:] > 0).all()


def test_a_short_history_has_the_states_that_it_has_alone(model: Sasrec) -> None:
    together = model.states(torch.tensor([[1, 2, 3, 4], [5, 6, PAD, PAD]]))[1, :2]
    torch.testing.assert_close(together, model.states(torch.tensor([[5, 6]]))[0])


def test_the_loss_is_the_mean_cross_entropy_over_all_items(model: Sasrec) -> None:
    histories, targets = torch.tensor([[1, 2, 3], [4, PAD, PAD]]), torch.tensor([[2, 3, 0], [6, PAD, PAD]])
    expected = []
    for history, wanted in (([1], 2), ([1, 2], 3), ([1, 2, 3], 0), ([4], 6)):
        state = model.states(torch.tensor([history]))[0, -1]
        scores = torch.stack([state @ model.items[item] for item in range(ITEMS)])
        expected.append(scores.logsumexp(0) - scores[wanted])
    torch.testing.assert_close(model.loss(histories, targets), torch.stack(expected).mean())


def test_scores_are_those_after_the_last_item(model: Sasrec) -> None:
    found = model.scores(torch.tensor([[1, 2, 3], [4, PAD, PAD]]), torch.tensor([3, 1]))
    for row, history in enumerate(([1, 2, 3], [4])):
        expected = F.linear(model.states(torch.tensor([history]))[0, -1], model.items)
        torch.testing.assert_close(found[row], expected)
    assert np.isfinite(found.detach().numpy()).all()
