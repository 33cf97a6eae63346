import math

import pytest
import torch
from torch.nn import functional as F

from model.generator import Generator, GeneratorConfig
from model.semantic_ids import IdSpace
from tests.toys import SIZES, SPACE, random_codes
from training.alignment import implicit_alignment, two_way_info_nce
from training.batches import BatchBuilder
from training.tasks import build_tasks

ITEMS = 8


def generator(space: IdSpace = SPACE) -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig(space=space, prompted_tasks=0, sizes=SIZES)).eval()


def builder(space: IdSpace = SPACE) -> BatchBuilder:
    codes = torch.from_numpy(random_codes(ITEMS, space))
    return BatchBuilder(space, build_tasks(space, explicit="none"), codes, torch.device("cpu"))


def share_embeddings(model: Generator, make: BatchBuilder, source: torch.Tensor) -> None:
    """Gives the image tokens of item i the embeddings of the text tokens of item ``source[i]``."""
    weight = model.transformer.embedding
    with torch.no_grad():
        weight[make.tokens(1, torch.arange(len(source)))] = weight[make.tokens(0, source)]


def naive(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for left, right in ((first, second), (second, first)):
        for row in range(len(left)):
            exps = [
                math.exp(F.cosine_similarity(left[row], right[other], dim=0).item() / temperature)
                for other in range(len(right))
            ]
            total -= math.log(exps[row] / sum(exps)) / len(left)
    return total


def test_two_way_info_nce_equals_its_formula() -> None:
    first, second = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).unbind()
    assert two_way_info_nce(first, second, 0.1).item() == pytest.approx(naive(first, second, 0.1), rel=1e-4)


def test_two_way_info_nce_does_not_see_lengths() -> None:
    first, second = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).unbind()
    scaled = two_way_info_nce(first * 3, second * 0.2, 0.1)
    assert scaled.item() == pytest.approx(two_way_info_nce(first, second, 0.1).item(), rel=1e-5)


def test_an_item_is_paired_with_itself() -> None:
    model = generator()
    # One code per item and level, so that tokens can be made equal item by item.
    codes = torch.arange(ITEMS, dtype=torch.uint8)[None, :, None].expand(2, ITEMS, SPACE.levels)
    make = BatchBuilder(SPACE, build_tasks(SPACE, explicit="none"), codes, torch.device("cpu"))
    items = torch.arange(ITEMS)
    random = implicit_alignment(model, make, items, 0.1).item()
    share_embeddings(model, make, items)
    agreeing = implicit_alignment(model, make, items, 0.1).item()
    share_embeddings(model, make, items.roll(1))
    permuted = implicit_alignment(model, make, items, 0.1).item()
    assert agreeing < random < permuted


def test_the_loss_is_info_nce_of_mean_encoder_states_summed_over_pairs() -> None:
    space = IdSpace(("text", "image", "audio"), levels=2, codes=8)
    model, make, items = generator(space), builder(space), torch.tensor([1, 4, 6])
    means = [
        torch.stack(
            [model.transformer.encode(row[None], torch.ones(1, 2, dtype=torch.bool))[0].mean(0) for row in rows]
        )
        for rows in (make.tokens(modality, items) for modality in range(3))
    ]
    expected = sum(naive(means[a].detach(), means[b].detach(), 0.1) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert implicit_alignment(model, make, items, 0.1).item() == pytest.approx(expected, rel=1e-4)


def test_gradient_reaches_the_encoder_and_not_the_decoder() -> None:
    model = generator()
    implicit_alignment(model, builder(), torch.arange(ITEMS), 0.1).backward()  # type: ignore[no-untyped-call]
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert any("encoder" in name for name in moved)
    assert not any("decoder" in name for name in moved)
