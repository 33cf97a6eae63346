"""The candidates of dense scores: all items, or some that stand for all."""

import math

import pytest
import torch

from model.generator import Generator, GeneratorConfig
from model.generator_shape import GeneratorShape
from tests.toys import SIZES, SPACE, random_codes
from training.dense_candidates import NO_ITEM, DenseCandidates

ITEMS = 40
DENSE_SHAPE = GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True)


def item_tokens() -> torch.Tensor:
    codes = random_codes(ITEMS)
    return torch.stack([torch.from_numpy(SPACE.tokens(modality, codes[modality])) for modality in range(2)])


def test_in_a_small_catalog_all_items_are_candidates() -> None:
    tokens, items = item_tokens(), torch.tensor([[3, NO_ITEM], [39, 0]])
    found = DenseCandidates(tokens, ITEMS).of(items)
    assert torch.equal(found.items, items)
    assert found.correction == 0.0
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
    assert found.correction == pytest.approx(math.log(ITEMS / len(found.tokens)))


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


def test_a_draw_estimates_the_loss_over_all() -> None:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(space=SPACE, prompted_tasks=1, sizes=SIZES, shape=DENSE_SHAPE)).eval()
    every = DenseCandidates(item_tokens(), ITEMS)
    some = DenseCandidates(item_tokens(), 20)
    histories, items = every.tokens[torch.tensor([[5, 8]])].flatten(1), torch.tensor([[8, 30]])
    with torch.no_grad():
        encoded = generator.encode(histories)
        exact = generator.dense_loss(encoded, *every.of(items)).item()
        drawn = [generator.dense_loss(encoded, *some.of(items)).item() for _ in range(300)]
        without = [generator.dense_loss(encoded, *some.of(items)._replace(correction=0.0)).item() for _ in range(300)]
    error = abs(sum(drawn) / len(drawn) - exact)
    assert error < 0.25 * abs(sum(without) / len(without) - exact)
