"""Dense scores are what their formula says, item by item, and form one list more."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.continued_search import affinities_after
from model.dense import DenseList, dense_scores
from model.errors import ConfigError
from model.fusion import ScoredItems, fuse
from model.generator import Generator, GeneratorConfig
from model.generator_shape import GeneratorShape
from model.semantic_ids import PAD, IdSpace
from model.transformer_config import TransformerSizes

SPACE = IdSpace(("text", "image"), levels=3, codes=7)
SIZES = TransformerSizes(d_model=16, d_ff=24, heads=2, d_head=8, encoder_layers=2, decoder_layers=1)
DENSE_SHAPE = GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True)


def random_codes(items: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, SPACE.codes, (2, items, SPACE.levels)).astype(np.uint8)


@given(st.integers(0, 12), st.integers(0, 5))
def test_scores_are_log_probabilities_of_codes_that_are_drawn_one_by_one(items: int, seed: int) -> None:
    affinities = np.random.default_rng(seed).normal(size=(2, SPACE.levels, SPACE.codes)) * 30
    codes = random_codes(items, seed)
    logs = torch.from_numpy(affinities).log_softmax(dim=2).numpy()
    expected = [
        sum(logs[m, level, codes[m, item, level]] for m in range(2) for level in range(SPACE.levels)) / SPACE.levels
        for item in range(items)
    ]
    np.testing.assert_allclose(dense_scores(affinities, codes), expected, atol=1e-10)


def test_a_score_is_the_inner_product_of_the_last_state_and_the_sum_of_code_embeddings() -> None:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(space=SPACE, prompted_tasks=1, sizes=SIZES, shape=DENSE_SHAPE)).eval()
    codes = random_codes(9)
    tokens = np.concatenate([SPACE.tokens(modality, codes[modality]) for modality in range(2)], axis=1)
    histories = torch.from_numpy(np.stack([tokens[[1, 4, 2]], tokens[[3, 5, 0]]]).reshape(2, -1))
    histories[1, tokens.shape[1] :] = PAD
    affinities = affinities_after(generator.search(), histories).numpy()
    with torch.no_grad():
        present = generator.transformer.present(histories)
        states = generator.transformer.encode(histories, present)
        embedded = generator.transformer.embedding[torch.from_numpy(tokens)]
        vectors = embedded.sum(dim=1) / tokens.shape[1] ** 0.5
        # What scores an item is what it is read as in a history.
        read = generator.transformer._embed_positions(torch.from_numpy(tokens))[:, 0]
        torch.testing.assert_close(vectors, read)
    for row, last in ((0, 2), (1, 0)):
        expected = (vectors @ states[row, last] / SIZES.d_model**0.5 / SPACE.levels).numpy()
        found = dense_scores(affinities[row], codes)
        np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-5)


def test_an_items_score_does_not_depend_on_the_other_candidates() -> None:
    affinities, codes = np.random.default_rng(0).normal(size=(2, SPACE.levels, SPACE.codes)), random_codes(9)
    np.testing.assert_allclose(dense_scores(affinities, codes)[4:6], dense_scores(affinities, codes[:, 4:6]))


def test_in_the_fusion_they_are_one_list_of_all_candidates() -> None:
    text = ScoredItems(np.array([10, 20, 30]), np.array([-1.0, -2.0, -4.0]))
    image = ScoredItems(np.array([20, 40]), np.array([-1.0, -3.0]))
    scores = {10: -5.0, 20: -4.0, 30: -1.0, 40: -2.0}
    dense = DenseList(2.0, lambda items: np.array([scores[item] for item in items.tolist()]))
    fused = fuse([text, image], [1, 1], levels=4, dense=dense)
    # item:  text   image  dense   (text + image + 2 dense) / 4
    #   30   -4     (-3)   -1      -2.25
    #   40   (-4)   -3     -2      -2.75    ties with 20, which has the better best rank
    #   20   -2     -1     -4      -2.75
    #   10   -1     (-3)   -5      -3.5
    assert fused.items.tolist() == [30, 20, 40, 10]
    assert fused.scores.tolist() == [-2.25, -2.75, -2.75, -3.5]
    assert fused.list_ranks.tolist() == [[3, 0, 1], [2, 1, 3], [0, 2, 2], [1, 0, 4]]


def test_candidates_are_those_of_lists_that_weigh_something() -> None:
    text, image = ScoredItems(np.array([1]), np.array([-1.0])), ScoredItems(np.array([2]), np.array([-1.0]))
    dense = DenseList(1.0, lambda items: -items.astype(np.float64))
    assert fuse([text, image], [1, 0], levels=4, dense=dense).items.tolist() == [1]
    nothing = ScoredItems(np.zeros(0, dtype=np.int64), np.zeros(0))
    assert fuse([nothing], [1], levels=4, dense=dense).items.tolist() == []


def test_dense_scores_weigh_a_number_of_at_least_zero_and_never_everything() -> None:
    text = ScoredItems(np.array([1]), np.array([-1.0]))
    for weights, weight in (([1.0], -1.0), ([1.0], np.nan), ([0.0], 1.0)):
        with pytest.raises(ConfigError, match="dense scores, which find nothing by themselves"):
            fuse([text], weights, levels=4, dense=DenseList(weight, lambda items: -items.astype(np.float64)))


@pytest.mark.parametrize("name", ["dense", "fused"])
def test_no_modality_is_called_like_a_list_beside_the_modalities(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' names a list beside the modalities'"):
        IdSpace(("text", name), levels=3, codes=7)


def test_only_a_generator_with_a_state_at_every_item_can_be_dense() -> None:
    for wrong in ({"position": "code", "causal": True}, {"position": "item", "causal": False}):
        with pytest.raises(ValueError, match="dense scores need position = 'item' and causal = true"):
            GeneratorShape.model_validate({"dense": True, **wrong})
