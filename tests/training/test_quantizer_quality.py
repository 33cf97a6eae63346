"""Collision rate, codes used and perplexity of a quantizer whose codes are known."""

import math

import pytest
import torch

from model.quantizer import ModalityQuantizer, QuantizerConfig
from training.quantizer_quality import distinct_rows, measure_quality


def identity_quantizer() -> ModalityQuantizer:
    """One feature, passed through encoder and decoder unchanged; codes 0, 10 and then 0, 1."""
    config = QuantizerConfig(modalities=("x",), inputs=(1,), levels=2, codes=2, projection=1, widths=(), latent=1)
    part = ModalityQuantizer(1, config)
    with torch.no_grad():
        for name, weight in part.named_parameters():
            if name.endswith("weight"):
                weight.fill_(1)
        part.quantizer.codebooks.copy_(torch.tensor([[[0.0], [10.0]], [[0.0], [1.0]]]))
    return part


def test_a_worked_example() -> None:
    embeddings = torch.tensor([[0.0], [0.0], [1.0], [12.0]])  # IDs (0, 0), (0, 0), (0, 1), (1, 1)
    present = torch.tensor([True, True, True, True])
    quality = measure_quality(identity_quantizer(), embeddings, present)
    assert quality.collision_rate == 0.25
    assert quality.reconstruction_error == pytest.approx(0.25)  # 12 comes back as 11
    assert quality.codes_used == [2, 2]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert quality.perplexity == pytest.approx([math.exp(entropy), 2.0])
    assert quality.as_metrics("x")["codes_used/x/2"] == 2


def test_imputed_rows_count_for_collisions_but_not_for_the_error() -> None:
    embeddings = torch.tensor([[0.0], [0.0], [1.0], [12.0]])
    quality = measure_quality(identity_quantizer(), embeddings, torch.tensor([True, True, True, False]))
    assert quality.collision_rate == 0.25
    assert quality.reconstruction_error == 0


def test_distinct_rows_of_many_levels_do_not_overflow() -> None:
    codes = torch.full((3, 20), 255)
    codes[2, 19] = 254
    assert distinct_rows(codes) == 2
