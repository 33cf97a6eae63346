"""The export stage: everything that serving needs, checked against the trained models, in one bundle."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor

from model.beam_search import ConstrainedBeamSearch
from model.bundle import (
    CODEBOOKS_FILE,
    ENCODERS_FOLDER,
    GENERATOR_FILE,
    GENERATOR_INT8_FILE,
    QUANTIZER_FILE,
    space_hash,
    write_bundle,
)
from model.catalog import Catalog
from model.catalog_header import SpaceSizes
from model.cold_start import cold_edges
from model.config import Config
from model.errors import ConfigError
from model.exclusions import dead_edges, pack_dead_edges
from model.fusion import FusionConfig
from model.generator import Generator
from model.history_tokens import Position, history_tokens
from model.quantizer import CrossModalQuantizer, load_quantizer
from model.semantic_ids import PAD
from training.generator_data import GeneratorData
from training.items import Item, read_items
from training.onnx_int8 import quantize_search
from training.onnx_quantizer import export_quantizer
from training.onnx_search import check_search, export_search
from training.split import Histories, SplitConfig

log = logging.getLogger(__name__)

CREATED_BY = "macrec 0.1.0"
POPULAR = 1000


class ExportConfig(Config):
    """How the export is checked.

    Attributes:
        checked_histories: real histories on which ONNX must equal torch, per modality.
        beams: beam widths that are checked.
        int8: whether the bundle also gets a graph with products in eight bits, which is faster on a CPU and not exact;
            a service takes it if it is told to.
    """

    checked_histories: int = 32
    beams: tuple[int, ...] = (20, 50)
    int8: bool = False


def run(
    config: ExportConfig,
    fusion: FusionConfig,
    split: SplitConfig,
    *,
    prepare: Path,
    assign: Path,
    generate: Path,
    evaluate: Path,
    embed: Path | None,
    quantize: Path | None,
    out: Path,
) -> None:
    """Writes the bundle ``out``; ``embed`` and ``quantize`` are None where semantic IDs were imported.

    Raises:
        ConfigError: if the generator knows other modalities than the quantizer, so that new items could not join.
        BundleError: if an exported graph and the model that it was made from disagree.
    """
    data = GeneratorData.load(prepare, assign, split)
    items = read_items(prepare / "items.jsonl")
    generator = Generator.load(generate)
    quantizer = load_quantizer(quantize) if quantize else None
    if quantizer is not None and quantizer.config.modalities != data.space.modalities:
        raise ConfigError(
            f"a bundle needs the IDs of all quantized modalities {list(quantizer.config.modalities)}; this generator "
            f"knows {list(data.space.modalities)}: leave assign.modalities out"
        )
    name = space_hash(data.space, data.codes if quantizer is None else _codebooks(quantizer))
    properties = {
        "space_hash": name,
        "id_space": SpaceSizes.of(data.space).model_dump_json(),
        "max_history": str(generator.config.max_history),
        "history_position": generator.config.shape.position,
        "dense": json.dumps(generator.config.shape.dense),
    }

    def fill(folder: Path) -> None:
        _write_catalog(folder, data, items, name)
        search, path = generator.search().eval(), folder / GENERATOR_FILE
        _write_generator(config, search, generator.config.max_history, data, path, properties)
        if config.int8:
            quantize_search(path, folder / GENERATOR_INT8_FILE)
        if quantizer is not None and embed is not None:
            _write_quantizer(quantizer, embed, folder, properties)

    manifest = write_bundle(
        out,
        fill,
        space=data.space,
        space_hash=name,
        config={"max_history": generator.config.max_history, "fusion": fusion.model_dump(mode="json")},
        metrics=json.loads((evaluate / "metrics.json").read_text()),
        data_fingerprint=json.loads((prepare / "report.json").read_text())["fingerprint"],
        created_by=CREATED_BY,
    )
    log.info("bundle %s: model %s, ID space %s", out, manifest.model_hash, manifest.space_hash)


class Rules(NamedTuple):
    """What a checked search obeys: each history's excluded items, and which items ``(N,)`` were trained."""

    excluded: list[NDArray[np.int32]]
    trained: NDArray[np.bool_]


def metadata(item: Item) -> dict[str, Any]:
    """What the catalog keeps of an item beside its id."""
    return item.model_dump(mode="json", exclude={"id"}, exclude_defaults=True)


def search_inputs(
    data: GeneratorData, position: Position, histories: Histories, modality: int, beam: int, rules: Rules
) -> tuple[Tensor, ...]:
    """The graph's inputs for B histories under some rules."""
    tokens = history_tokens(data.space, position, modality, dict(enumerate(data.codes)))[histories.items]
    tokens = np.where(histories.items[:, :, None] >= 0, tokens, PAD).reshape(len(histories.items), -1)
    dead = pack_dead_edges([dead_edges(data.trie, modality, items) for items in rules.excluded])
    return (
        torch.from_numpy(tokens),
        torch.full((len(tokens),), modality),
        torch.from_numpy(data.trie.child_start),
        torch.from_numpy(data.trie.child_code),
        torch.ones(len(data.trie.child_code), dtype=torch.bool),
        torch.from_numpy(dead),
        torch.zeros(beam, dtype=torch.int64),
        torch.from_numpy(cold_edges(data.trie, rules.trained)),
        torch.arange(len(tokens)),
    )


def _write_generator(
    config: ExportConfig,
    search: ConstrainedBeamSearch,
    max_history: int,
    data: GeneratorData,
    path: Path,
    properties: dict[str, str],
) -> None:
    """Exports the search and checks it at every beam width, without rules, and with exclusions and cold items."""
    users = data.split.users[: max(2, config.checked_histories)]
    histories = data.split.histories(users, "test", max_history)
    seen = data.split.seen(users, "test")
    excluded = [seen.items[start:end] for start, end in zip(seen.offsets[:-1], seen.offsets[1:], strict=True)]
    items = data.codes.shape[1]
    free = Rules([np.zeros(0, dtype=np.int32)] * len(users), np.ones(items, dtype=np.bool_))
    bound = Rules(excluded, np.arange(items) % 2 == 0)
    cases = [
        search_inputs(data, search.shape.position, histories, modality, beam, rules)
        for modality in range(len(data.space.modalities))
        for beam in config.beams
        for rules in (free, bound)
    ]
    export_search(search, cases[-1], path, properties)
    difference = check_search(search, path, cases)
    log.info("generator.onnx equals the trained model: scores within %.1g on %d searches", difference.score, len(cases))


def _write_quantizer(quantizer: CrossModalQuantizer, embed: Path, folder: Path, properties: dict[str, str]) -> None:
    embeddings = tuple(
        torch.from_numpy(np.load(embed / f"{name}.npy", allow_pickle=False)[:256])
        for name in quantizer.config.modalities
    )
    export_quantizer(quantizer, embeddings, folder / QUANTIZER_FILE, properties)
    parts = enumerate(quantizer.config.modalities)
    save_file({name: _codebooks(quantizer)[index] for index, name in parts}, folder / CODEBOOKS_FILE)
    shutil.copytree(embed / "encoders", folder / ENCODERS_FOLDER)
    shutil.copy(embed / "imputation.safetensors", folder / ENCODERS_FOLDER / "imputation.safetensors")


def _write_catalog(folder: Path, data: GeneratorData, items: list[Item], name: str) -> None:
    counts = data.split.training_counts(len(items))
    catalog = Catalog.build(data.space, data.codes, ((item.id, metadata(item)) for item in items), counts, name)
    (folder / "catalog").mkdir()
    catalog.save(folder / "catalog")
    popular = [catalog.item_ids[item] for item in catalog.popular[:POPULAR]]
    (folder / "popular.json").write_text(json.dumps(popular) + "\n")


def _codebooks(quantizer: CrossModalQuantizer) -> NDArray[np.float32]:
    """``(m, L, M, d)`` float32."""
    parts = range(len(quantizer.config.modalities))
    return np.stack([quantizer.part(index).quantizer.codebooks.detach().numpy() for index in parts])
