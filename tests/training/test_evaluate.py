import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.fusion import FusionConfig
from model.generator import Generator, GeneratorConfig
from tests.toys import SIZES, SPACE, cycles, data_of, interactions_of, random_codes
from training.evaluate import PROTOCOLS, EvaluateConfig, run
from training.id_space_file import write_id_space
from training.items import Item, write_items
from training.metrics import summarise
from training.retrieval import Retriever
from training.split import Split, SplitConfig
from training.validation import HeldOut, draw_users, rank_targets

ITEMS, BEAM = 12, 6
SEQUENCES = cycles(users=30, items=ITEMS)
CONFIG = EvaluateConfig(beam=BEAM, device="cpu", baselines=("popularity", "item_knn", "markov_window"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages before leave."""
    root = tmp_path_factory.mktemp("run")
    for name in ("data", "prepare", "assign"):
        (root / name).mkdir()
    write_items(root / "prepare" / "items.jsonl", [Item(id=f"item-{row:03d}") for row in range(ITEMS)])
    interactions_of(SEQUENCES).save(root / "prepare" / "interactions.npz")
    np.save(root / "assign" / "codes.npy", random_codes(ITEMS))
    write_id_space(root / "assign" / "id_space.json", SPACE)
    torch.manual_seed(0)
    Generator(GeneratorConfig(space=SPACE, prompted_tasks=4, max_history=5, sizes=SIZES)).save(root / "generate")
    return root


def evaluate(folders: Path, config: EvaluateConfig, out: str = "evaluate") -> dict[str, Any]:
    names = ("data", "prepare", "assign", "generate", out)
    run(config, FusionConfig(), SplitConfig(), *(folders / name for name in names))
    metrics: dict[str, Any] = json.loads((folders / out / "metrics.json").read_text())
    return metrics


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metrics_are_those_of_the_ranks(folders: Path, protocol: str) -> None:
    metrics = evaluate(folders, CONFIG)[protocol]
    data = data_of(SEQUENCES, random_codes(ITEMS))
    search = Generator.load(folders / "generate").search()
    retriever = Retriever(search, SPACE, data.codes, data.trie, torch.device("cpu"))
    held_out = HeldOut(data.split, data.split.users, "test", 5, PROTOCOLS[protocol])
    for name, ranks in rank_targets(retriever, held_out, BEAM, FusionConfig()).items():
        expected = {key: round(one.value, 5) for key, one in summarise(ranks.item).items()}
        assert metrics[name].items() >= expected.items()
    assert set(metrics) == {"text", "text/semantic_id", "image", "image/semantic_id", "fused", *CONFIG.baselines}


def test_baselines_stand_beside_the_lists_in_both_protocols(folders: Path) -> None:
    metrics = evaluate(folders, CONFIG)
    counts = np.zeros(ITEMS)
    for sequence in SEQUENCES:
        np.add.at(counts, sequence[:-2], 1)
    for protocol, remove_seen in PROTOCOLS.items():
        hits = []
        for sequence in SEQUENCES:
            gone = set(sequence[:-1]) if remove_seen else set()
            order = sorted(set(range(ITEMS)) - gone, key=lambda item: (-counts[item], item))
            hits.append(sequence[-1] in order[:5])
        assert metrics[protocol]["popularity"]["hr@5"] == round(float(np.mean(hits)), 5)
    assert "oracle" not in metrics["seen_removed"]  # only the sample shop has one


def test_a_draw_of_users_is_repeated_by_its_seed(folders: Path) -> None:
    split = Split(interactions_of(SEQUENCES))
    assert draw_users(split, 0, 0).tolist() == split.users.tolist()
    assert draw_users(split, 1000, 0).tolist() == split.users.tolist()
    drawn = draw_users(split, 7, 0)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == 7
    assert drawn.tolist() == draw_users(split, 7, 0).tolist() != draw_users(split, 7, 1).tolist()
    metrics = evaluate(folders, CONFIG.model_copy(update={"users": 7, "part": "validation"}), "drawn")
    assert (metrics["users"], metrics["part"]) == (7, "validation")
    again = evaluate(folders, CONFIG.model_copy(update={"users": 7, "part": "validation"}), "again")
    assert {**again, "seconds": 0} == {**metrics, "seconds": 0}
