"""Small histories and semantic IDs for the generator's tests."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.semantic_ids import IdSpace
from model.transformer_config import TransformerSizes
from training.generator_config import FitGeneratorConfig
from training.generator_data import GeneratorData
from training.interactions import Interactions

SIZES = TransformerSizes(d_model=16, d_ff=32, heads=2, d_head=8, encoder_layers=1, decoder_layers=1)
SPACE = IdSpace(("text", "image"), levels=2, codes=8)


def interactions_of(sequences: Sequence[Sequence[int]]) -> Interactions:
    """One user per sequence of item indices."""
    lengths = [len(sequence) for sequence in sequences]
    items = np.array([item for sequence in sequences for item in sequence], dtype=np.int32)
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    return Interactions([f"user-{user}" for user in range(len(sequences))], offsets, items, np.arange(len(items)))


def random_codes(items: int, space: IdSpace = SPACE, seed: int = 0) -> NDArray[np.uint8]:
    """Distinct random IDs ``(m, items, L)``."""
    rng = np.random.default_rng(seed)
    numbers = [rng.permutation(space.codes**space.levels)[:items] for _ in space.modalities]
    digits = [np.array(number)[:, None] // space.codes ** np.arange(space.levels) % space.codes for number in numbers]
    return np.stack(digits).astype(np.uint8)


def data_of(sequences: Sequence[Sequence[int]], codes: NDArray[np.uint8], space: IdSpace = SPACE) -> GeneratorData:
    """Histories and IDs as the generator learns from them."""
    ids = [f"item-{item:03d}" for item in range(codes.shape[1])]
    return GeneratorData.build(interactions_of(sequences), space, codes, ids)


def cycles(users: int = 24, items: int = 12, seed: int = 0) -> list[list[int]]:
    """Users who walk along 0, 1, 2, ... in a circle from random places: the next item follows from the last."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, items, users), rng.integers(5, 9, users)
    return [
        [int((start + step) % items) for step in range(length)] for start, length in zip(starts, lengths, strict=True)
    ]


def fit_config(**changes: object) -> FitGeneratorConfig:
    """Settings under which a toy trains in a second, always with the same numbers."""
    settings = {
        "sizes": SIZES,
        "max_history": 5,
        "batch_size": 32,
        "pool": 4,
        "epochs": 3,
        "beam": 5,
        "patience": 0,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
    }
    return FitGeneratorConfig.model_validate(settings | changes)
