"""The fuse stage: how the lists are joined, their weights chosen on the validation part if the settings ask for it."""

import json
import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from model.errors import DataError
from model.fusion import FusionConfig
from model.generator import Generator
from model.list_names import DENSE
from training.devices import Device, pick_device
from training.generator_data import GeneratorData
from training.metrics import gains
from training.retrieval import Retriever
from training.split import SplitConfig
from training.validation import HeldOut, draw_users, fuse_all, positions, search_all

log = logging.getLogger(__name__)

FUSION_FILE, REPORT_FILE = "fusion.json", "report.json"
FINE = 3
"""Lists up to which weights are tried in as many steps as the settings say; of more, in half as many."""


class FitFusionConfig(FusionConfig):
    """How lists are joined, and how their weights are found.

    Attributes:
        choose_weights: whether the weights that give the best NDCG@10 on the validation part take the place of
            ``weights``. They are 1 on average; a list that gets 0 is not searched.
        parts: weights are tried in steps of 1 / ``parts``, those of all lists adding up to 1; of more than three lists
            in half as many steps.
        users: how many users choose, drawn once by ``seed``; 0 takes all.
        beam: beams per list.
        remove_seen: whether items that a user has seen are removed.
        seed: of the draw.
        device: where the search runs.
    """

    choose_weights: bool = False
    parts: int = Field(10, ge=1)
    users: int = Field(2000, ge=0)
    beam: int = Field(50, ge=1)
    remove_seen: bool = True
    seed: int = 0
    device: Device = "auto"

    def plain(self) -> FusionConfig:
        """How lists are joined before any weights were chosen."""
        return FusionConfig.model_validate({name: getattr(self, name) for name in FusionConfig.model_fields})


class Tried(NamedTuple):
    """Weights of all lists, adding up to 1, and what they are worth on the validation part."""

    weights: tuple[float, ...]
    ndcg: float


def run(config: FitFusionConfig, split: SplitConfig, prepare: Path, assign: Path, generate: Path, out: Path) -> None:
    """Writes ``fusion.json`` and, if weights were chosen, ``report.json`` with all that were tried."""
    out.mkdir(parents=True, exist_ok=True)
    fusion = config.plain()
    data = GeneratorData.load(prepare, assign, split)
    generator = Generator.load(generate)
    names = list_names(generator)
    if config.choose_weights and len(names) > 1:
        tried = _try_weights(config, data, generator)
        best = max(tried, key=lambda each: each.ndcg)
        average_one = [round(len(names) * weight, 6) for weight in best.weights]
        fusion = fusion.model_copy(update={"weights": dict(zip(names, average_one, strict=True))})
        log.info("%s: NDCG@10 %.4f on validation, equal weights %.4f", fusion.weights, best.ndcg, tried[0].ndcg)
        report = {"lists": names, "tried": [{"weights": each.weights, "ndcg@10": each.ndcg} for each in tried]}
        (out / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n")
    (out / FUSION_FILE).write_text(fusion.model_dump_json(indent=2) + "\n")


def read_fusion(folder: Path) -> FusionConfig:
    """What :func:`run` left in ``folder``.

    Raises:
        DataError: if it is missing or damaged.
    """
    path = folder / FUSION_FILE
    try:
        return FusionConfig.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} does not say how lists are joined ({error}); run the fuse stage again") from error


def weightings(lists: int, parts: int, dense: bool = False) -> Iterator[tuple[float, ...]]:
    """All weights of some lists in steps of 1 / ``parts`` that add up to 1; equal ones first, so that they win ties.

    The last list may be a dense one, which needs another that weighs something.
    """
    yield (1 / lists,) * lists
    for steps in product(range(parts + 1), repeat=lists - 1):
        rest = parts - sum(steps)
        if rest >= 0 and not (dense and rest == parts):
            yield tuple(step / parts for step in (*steps, rest))


def _try_weights(config: FitFusionConfig, data: GeneratorData, generator: Generator) -> list[Tried]:
    """NDCG@10 of all weightings; the searches run once."""
    device = pick_device(config.device)
    retriever = Retriever(generator.to(device).search(), data.space, data.codes, data.trie, device)
    users = draw_users(data.split, config.users, config.seed)
    held_out = HeldOut(data.split, users, "validation", generator.config.max_history, config.remove_seen)
    searched = search_all(retriever, held_out, config.beam)
    names = list_names(generator)

    def worth(weights: tuple[float, ...]) -> float:
        weighted = config.model_copy(update={"weights": dict(zip(names, weights, strict=True))})
        fused = fuse_all(retriever, searched, weighted)
        return round(float(gains(positions(fused, held_out.targets), 10).mean()), 6)

    parts = config.parts if len(names) <= FINE else max(1, config.parts // 2)
    every = weightings(len(names), parts, generator.config.shape.dense)
    return [Tried(weights, worth(weights)) for weights in every]


def list_names(generator: Generator) -> tuple[str, ...]:
    """The lists that a generator gives: its modalities', and the dense one."""
    return (*generator.config.space.modalities, *((DENSE,) if generator.config.shape.dense else ()))
