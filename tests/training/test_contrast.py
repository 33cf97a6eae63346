"""InfoNCE against its formula, and who may be whose positive."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.contrast import NO_LABEL, draw_positives, info_nce, two_way_info_nce


def cosine(left: list[float], right: list[float]) -> float:
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))


def naive_info_nce(vectors: Tensor, positives: list[int], temperature: float) -> float:
    rows = vectors.tolist()
    terms = []
    for anchor, positive in enumerate(positives):
        candidates = [j for j in range(len(rows)) if j != anchor or positive == anchor]
        scores = {j: math.exp(cosine(rows[anchor], rows[j]) / temperature) for j in candidates}
        terms.append(-math.log(scores[positive] / sum(scores.values())))
    return sum(terms) / len(terms)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(NO_LABEL, 3), min_size=1, max_size=20), st.integers(0, 1000))
def test_a_positive_is_another_item_with_the_same_label_wherever_there_is_one(labels: list[int], seed: int) -> None:
    drawn = draw_positives(torch.tensor(labels), torch.Generator().manual_seed(seed)).tolist()
    for item, positive in enumerate(drawn):
        alone = labels[item] == NO_LABEL or labels.count(labels[item]) == 1
        assert (positive == item) == alone
        assert labels[positive] == labels[item]


def test_every_candidate_is_drawn_equally_often() -> None:
    labels = torch.tensor([7, 1, 7, 7, 7, 1])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw_positives(labels, generator) for _ in range(6000)])
    assert drawn[:, 2].bincount(minlength=6).tolist() == pytest.approx([2000, 0, 0, 2000, 2000, 0], rel=0.1)
    assert (drawn[:, 1] == 5).all()


def test_info_nce_is_its_formula_with_the_anchor_left_out_unless_it_is_its_own_positive() -> None:
    vectors = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positives = [3, 1, 0, 0, 2]
    value = info_nce(vectors, torch.tensor(positives), 0.1)
    assert float(value) == pytest.approx(naive_info_nce(vectors, positives, 0.1))


def test_info_nce_of_a_hand_computed_case() -> None:
    vectors = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    value = info_nce(vectors, torch.tensor([1, 0, 2]), 1.0)
    e = math.e
    first, second, third = 1 / (1 + 1 / e), 1 / 2, e / (1 / e + 1 + e)
    assert float(value) == pytest.approx(-(math.log(first) + math.log(second) + math.log(third)) / 3)


def test_two_way_info_nce_adds_both_directions() -> None:
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = 0.0
    for one, other in ((left.tolist(), right.tolist()), (right.tolist(), left.tolist())):
        for row in range(4):
            scores = [math.exp(cosine(one[row], candidate) / 0.1) for candidate in other]
            expected -= math.log(scores[row] / sum(scores)) / 4
    assert float(two_way_info_nce(left, right, 0.1)) == pytest.approx(expected)


def test_a_residual_of_zero_does_not_swamp_the_gradient() -> None:
    vectors = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
    vectors[0] = 0
    vectors.requires_grad_()
    info_nce(vectors, torch.tensor([1, 0, 3, 2, 5, 4, 7, 6]), 0.1).backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
    lengths = sorted(vectors.grad.norm(dim=1).tolist())
    assert all(longer / shorter < 1e5 for shorter, longer in pairwise(lengths))
