"""The candidates of dense scores: all items, or some that stand for all."""

import math

import pytest
import torch

from model.generator import Encoded, Generator, GeneratorConfig
from model.generator_shape import GeneratorShape
from model.semantic_ids import IdSpace
from tests.toys import SIZES, SPACE, random_codes
from training.dense_candidates import DenseCandidates
from training.split import NO_ITEM

ITEMS = 40
WIDE = IdSpace(("text",), levels=10, codes=200)
DENSE_SHAPE = GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True)


def item_tokens() -> torch.Tensor:
    codes = random_codes(ITEMS)
    return torch.stack([torch.from_numpy(SPACE.tokens(modality, codes[modality])) for modality in range(2)])


def test_in_a_small_catalog_all_items_are_candidates() -> None:
    tokens, items = item_tokens(), torch.tensor([[3, NO_ITEM], [39, 0]])
    found = DenseCandidates(tokens, ITEMS).of(items)
    assert torch.equal(found.items, items)
    assert found.correction is None
    assert torch.equal(found.tokens[7], torch.cat([tokens[0, 7], tokens[1, 7]]))
    assert len(found.tokens) == ITEMS


def test_in_a_large_catalog_the_targets_are_among_those_that_are_drawn() -> None:
    torch.manual_seed(0)
    tokens, items = item_tokens(), torch.tensor([[3, NO_ITEM], [39, 0]])
    found = DenseCandidates(tokens, 10).of(items)
    everything = DenseCandidates(tokens, ITEMS).tokens
    wanted = items >= 0
    assert torch.equal(found.items == NO_ITEM, ~wanted)
    assert torch.equal(found.tokens[found.items[wanted]], everything[items[wanted]])
    assert len(torch.unique(found.tokens, dim=0)) == len(found.tokens) <= 13
    assert found.correction is not None
    expected = torch.full((len(found.tokens),), math.log((ITEMS - 3) / (len(found.tokens) - 3)))
    expected[found.items[wanted]] = 0.0
    torch.testing.assert_close(found.correction, expected)


def test_the_loss_is_the_cross_entropy_of_what_follows_each_item() -> None:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(space=SPACE, prompted_tasks=1, sizes=SIZES, shape=DENSE_SHAPE)).eval()
    everything = DenseCandidates(item_tokens(), ITEMS).tokens
    histories = everything[torch.tensor([[5, 8, 2], [7, 1, 1]])].flatten(1)
    histories[0, everything.shape[1] : 2 * everything.shape[1]] = 0  # item 8 is left out, what follows it is not
    items = torch.tensor([[8, 2, 30], [1, 4, NO_ITEM]])
    with torch.no_grad():
        encoded = generator.encode(histories)
        loss = generator.dense_loss(encoded, items, everything).item()
        vectors = generator.transformer.embedding[everything].sum(dim=1) / everything.shape[1] ** 0.5
        after = [(0, 0, 8), (0, 0, 2), (0, 2, 30), (1, 0, 1), (1, 1, 4)]
        costs = [
            -(vectors @ encoded.states[row, place] / SIZES.d_model**0.5).log_softmax(0)[item].item()
            for row, place, item in after
        ]
    assert loss == pytest.approx(sum(costs) / len(costs), abs=1e-5)


def test_a_draw_estimates_the_loss_over_all_though_popular_items_are_targets() -> None:
    """Targets are candidates with certainty: weighed like those that were drawn, they would count twenty times."""
    torch.manual_seed(0)
    number, popular, width = 2000, 40, 400
    tokens = torch.arange(1, number + 1)[None, :, None]
    generator = Generator(GeneratorConfig(space=WIDE, prompted_tasks=1, sizes=SIZES, shape=DENSE_SHAPE)).eval()
    items = torch.randint(popular, (1, width))
    with torch.no_grad():
        # Popular items' vectors point where all states do, so that they score high.
        direction = torch.randn(SIZES.d_model)
        generator.transformer.embedding[1 : popular + 1] += direction
        encoded = Encoded(direction.expand(1, width, -1) * 0.5, torch.ones(1, width, dtype=torch.bool))
        every, some = DenseCandidates(tokens, number), [DenseCandidates(tokens, 100).of(items) for _ in range(50)]
        exact = generator.dense_loss(encoded, *every.of(items))
        drawn = [generator.dense_loss(encoded, *each) for each in some]
        alike = [generator.dense_loss(encoded, each.items, each.tokens, torch.zeros(len(each.tokens))) for each in some]
    assert abs(torch.stack(drawn).mean() - exact) < 0.1
    assert abs(torch.stack(alike).mean() - exact) > 0.3


def test_where_nothing_follows_the_loss_is_nothing() -> None:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(space=SPACE, prompted_tasks=1, sizes=SIZES, shape=DENSE_SHAPE))
    candidates = DenseCandidates(item_tokens(), ITEMS)
    encoded = generator.encode(candidates.tokens[torch.tensor([[5, 8]])].flatten(1))
    loss = generator.dense_loss(encoded, *candidates.of(torch.full((1, 2), NO_ITEM)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert all(weights.grad is None or not weights.grad.any() for weights in generator.parameters())
