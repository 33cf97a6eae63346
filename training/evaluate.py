"""The evaluate stage: full-ranking metrics on the test part, of every list and of the baselines, in both protocols.

Seen items left in is the paper's protocol; seen items removed is how a shop would be served.
"""

import json
import logging
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.config import Config
from model.fusion import FusionConfig
from model.generator import Generator
from training.baselines import BASELINES, target_ranks
from training.devices import Device, pick_device
from training.generator_data import GeneratorData
from training.items import read_items
from training.metrics import summarise
from training.retrieval import Retriever
from training.sample.oracle import Oracle
from training.split import Part, Split, SplitConfig
from training.validation import HeldOut, draw_users, rank_targets

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
ORACLE_FILE = "oracle.npz"
PROTOCOLS: dict[str, bool] = {"seen_left_in": False, "seen_removed": True}


class EvaluateConfig(Config):
    """What is measured.

    Attributes:
        part: the held-out part; choices are made on ``validation``, ``test`` is what is reported.
        users: how many users, drawn once by the seed; 0 takes all.
        beam: beams per list.
        baselines: which simple recommenders stand beside the lists.
        seed: of the draw.
        device: where the search runs.
    """

    part: Part = "test"
    users: int = 0
    beam: int = 20
    baselines: tuple[Literal["popularity", "item_knn", "markov_window"], ...] = ("popularity", "item_knn")
    seed: int = 0
    device: Device = "auto"


def run(
    config: EvaluateConfig,
    fusion: FusionConfig,
    split: SplitConfig,
    data: Path,
    prepare: Path,
    assign: Path,
    generate: Path,
    out: Path,
) -> None:
    """Evaluates the generator in the folder ``generate`` and writes ``metrics.json``.

    Where the data folder holds the sample shop's oracle, its ranking is measured too: the best that anyone could do.
    """
    out.mkdir(parents=True, exist_ok=True)
    split_data = GeneratorData.load(prepare, assign, split)
    generator = Generator.load(generate)
    device = pick_device(config.device)
    retriever = Retriever(generator.to(device).search(), split_data.space, split_data.codes, split_data.trie, device)
    users = draw_users(split_data.split, config.users, config.seed)
    started = time.monotonic()
    metrics: dict[str, Any] = {"part": config.part, "users": len(users), "beam": config.beam}
    for protocol, remove_seen in PROTOCOLS.items():
        held_out = HeldOut(split_data.split, users, config.part, generator.config.max_history, remove_seen)
        metrics[protocol] = {
            **_list_metrics(retriever, held_out, config.beam, fusion),
            **_baseline_metrics(config, split_data, users, remove_seen=remove_seen),
        }
    if (data / ORACLE_FILE).exists():
        metrics["seen_removed"]["oracle"] = _oracle_metrics(
            data / ORACLE_FILE, prepare, split_data.split, users, config
        )
    metrics["seconds"] = round(time.monotonic() - started, 1)
    (out / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
    for protocol in PROTOCOLS:
        for name, values in metrics[protocol].items():
            log.info("%s, %s: HR@10 %.4f, NDCG@10 %.4f", protocol, name, values["hr@10"], values["ndcg@10"])


def _list_metrics(
    retriever: Retriever, held_out: HeldOut, beam: int, fusion: FusionConfig
) -> dict[str, dict[str, float]]:
    """Item-level metrics of each list, and the semantic-ID level of each modality's under ``<name>/semantic_id``."""
    metrics: dict[str, dict[str, float]] = {}
    for name, ranks in rank_targets(retriever, held_out, beam, fusion).items():
        metrics[name] = _flat(ranks.item)
        if ranks.semantic_id is not None:
            metrics[f"{name}/semantic_id"] = _flat(ranks.semantic_id)
    return metrics


def _baseline_metrics(
    config: EvaluateConfig, data: GeneratorData, users: NDArray[np.int64], *, remove_seen: bool
) -> dict[str, dict[str, float]]:
    """The baselines on the same users: their ranks come in the order of all evaluation users."""
    items = data.codes.shape[1]
    rows = np.searchsorted(data.split.users, users)
    ranks = {
        name: target_ranks(BASELINES[name](data.split, items), data.split, items, config.part, remove_seen=remove_seen)
        for name in config.baselines
    }
    return {name: _flat(found[rows]) for name, found in ranks.items()}


def _oracle_metrics(
    path: Path, prepare: Path, split: Split, users: NDArray[np.int64], config: EvaluateConfig
) -> dict[str, float]:
    """The ranking of the sample shop's own probabilities."""
    ids = [item.id for item in read_items(prepare / "items.jsonl")]
    seen = split.seen(users, config.part)
    spans = zip(seen.offsets[:-1], seen.offsets[1:], strict=True)
    histories = [[ids[item] for item in seen.items[start:end]] for start, end in spans]
    targets = [ids[item] for item in split.targets(users, config.part)]
    names = [split.interactions.user_ids[user] for user in users]
    return _flat(Oracle.load(path).ranks(names, histories, targets))


def _flat(ranks: NDArray[np.integer]) -> dict[str, float]:
    """HR and NDCG at all cut-offs, and the standard error of the two at 10."""
    summary = summarise(ranks)
    values = {name: round(one.value, 5) for name, one in summary.items()}
    return values | {f"{name}_error": round(summary[name].error, 5) for name in ("hr@10", "ndcg@10")}
