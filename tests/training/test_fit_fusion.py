"""The fuse stage: weights that validation asks for, equal ones where it asks for none, and what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import DataError
from model.fusion import FusionConfig
from tests.toys import SPACE, cycles, data_of, fit_config, interactions_of, random_codes
from training.fit_fusion import FitFusionConfig, read_fusion, run, weightings
from training.generator_config import FitGeneratorConfig
from training.id_space_file import write_id_space
from training.items import Item, write_items
from training.split import SplitConfig
from training.trainer import Trainer

ITEMS = 12
SEQUENCES = cycles(users=40, items=ITEMS)
CHOOSE = FitFusionConfig(choose_weights=True, parts=4, beam=6, remove_seen=False, device="cpu")


@given(st.integers(1, 4), st.integers(1, 6))
def test_weightings_are_all_ways_to_share_one_and_equal_ones_come_first(lists: int, parts: int) -> None:
    first, *others = weightings(lists, parts)
    assert first == (1 / lists,) * lists
    assert len(set(others)) == len(others)
    shares = {tuple(round(weight * parts) for weight in each) for each in others}
    assert all(sum(each) == parts and min(each) >= 0 for each in shares)
    naive = {each for each in np.ndindex(*(parts + 1,) * lists) if sum(each) == parts}
    assert shares == naive


def test_a_dense_list_never_weighs_everything() -> None:
    tried = list(weightings(3, 4, dense=True))
    assert (0.0, 0.0, 1.0) not in tried
    assert set(tried) == set(weightings(3, 4)) - {(0.0, 0.0, 1.0)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator whose image IDs went to other items after training, so that its image list is chance."""
    root = tmp_path_factory.mktemp("run")
    codes = random_codes(ITEMS)
    for name in ("prepare", "assign", "generate"):
        (root / name).mkdir()
    write_items(root / "prepare" / "items.jsonl", [Item(id=f"item-{row:03d}") for row in range(ITEMS)])
    interactions_of(SEQUENCES).save(root / "prepare" / "interactions.npz")
    moved = np.stack([codes[0], np.random.default_rng(1).permutation(codes[1])])
    np.save(root / "assign" / "codes.npy", moved)
    write_id_space(root / "assign" / "id_space.json", SPACE)
    config: FitGeneratorConfig = fit_config(epochs=60, learning_rate=2e-2, explicit="none", implicit_weight=0.0)
    Trainer(config, data_of(SEQUENCES, codes), FusionConfig(), root / "generate").run()
    return root


def fuse(trained: Path, config: FitFusionConfig, out: Path) -> FusionConfig:
    run(config, SplitConfig(), trained / "prepare", trained / "assign", trained / "generate", out)
    return read_fusion(out)


def test_the_weights_that_are_best_on_validation_are_chosen(trained: Path, tmp_path: Path) -> None:
    chosen = fuse(trained, CHOOSE, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["lists"] == ["text", "image"]
    worth = {tuple(each["weights"]): each["ndcg@10"] for each in report["tried"]}
    assert len(worth) == 5  # the equal ones are among the five ways to share four quarters
    best = max(worth, key=lambda weights: worth[weights])
    assert [chosen.weights["text"], chosen.weights["image"]] == [2 * weight for weight in best]
    assert chosen.weights["text"] > chosen.weights["image"]
    assert worth[best] > worth[0.0, 1.0]


def test_nothing_is_chosen_unless_the_settings_ask_for_it(trained: Path, tmp_path: Path) -> None:
    given_weights = {"text": 0.25}
    config = CHOOSE.model_copy(update={"choose_weights": False, "weights": given_weights, "bonus": 2.0})
    assert fuse(trained, config, tmp_path) == FusionConfig(weights=given_weights, bonus=2.0)
    assert not (tmp_path / "report.json").exists()


def test_a_missing_or_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run the fuse stage again"):
        read_fusion(tmp_path)
    (tmp_path / "fusion.json").write_text("{")
    with pytest.raises(DataError, match="run the fuse stage again"):
        read_fusion(tmp_path)
