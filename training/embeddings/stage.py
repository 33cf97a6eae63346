"""The stage: items in, one float32 embedding per item and modality out."""

import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.encoders import save_encoder
from model.errors import DataError
from training.embeddings.chunks import claim
from training.embeddings.config import EmbeddingsConfig, Source
from training.embeddings.cooccurrence import embed_cooccurrence
from training.embeddings.fit_imputation import MapReport, fit_imputer
from training.embeddings.hub_image import embed_clip
from training.embeddings.hub_text import embed_sentences
from training.embeddings.offline_image import embed_pictures
from training.embeddings.offline_text import embed_tfidf
from training.embeddings.precomputed import embed_precomputed
from training.embeddings.rows import Embedded
from training.embeddings.sources import Inputs
from training.interactions import Interactions
from training.items import Item, read_items
from training.split import Split, SplitConfig

logger = logging.getLogger(__name__)

UNFINISHED = "unfinished"
SHOWN = 20  # ids of skipped items in the report

_EMBED: dict[str, Callable[[Any, Inputs], Embedded]] = {
    "precomputed": embed_precomputed,
    "tfidf": embed_tfidf,
    "picture": embed_pictures,
    "sentence-transformers": embed_sentences,
    "clip": embed_clip,
    "cooccurrence": embed_cooccurrence,
}


class _Modality(NamedTuple):
    embedded: Embedded
    seconds: float


def run(config: EmbeddingsConfig, split: SplitConfig, prepare: Path, data: Path, out: Path) -> None:
    """Writes the embeddings of the items in ``prepare`` to ``out``.

    For each modality <modality>.npy ``(N, d)`` float32 without gaps, <modality>.present.npy ``(N,)`` bool, which tells
    the rows that were not imputed, and encoders/<modality>/; then imputation.safetensors and report.json. ``data`` is
    the user's folder with images and precomputed embeddings; ``split`` says which events train. A run that was killed
    goes on where it was.

    Raises:
        ConfigError: for settings or models that cannot be used.
        DataError: for embeddings, texts or images that break the rules.
    """

    def read_split() -> Split:
        return Split(Interactions.load(prepare / "interactions.npz"), split.test_events)

    items_file = prepare / "items.jsonl"
    items, items_bytes = read_items(items_file), items_file.read_bytes()
    modalities: dict[str, _Modality] = {}
    for name, source in config.modalities.items():
        work = claim(out / UNFINISHED / name, source.model_dump_json().encode(), items_bytes)
        modalities[name] = _embed(name, source, Inputs(items, data, work, read_split))
    values = {name: modality.embedded.rows.values for name, modality in modalities.items()}
    present = {name: modality.embedded.present for name, modality in modalities.items()}
    imputer, maps = fit_imputer(config.imputation, values, present)
    for name, rows in imputer.fill(values, present).items():
        np.save(out / f"{name}.npy", rows)
        np.save(out / f"{name}.present.npy", present[name])
        save_encoder(modalities[name].embedded.encoder, out / "encoders" / name)
    imputer.save(out / "imputation.safetensors")
    report = {
        "items": len(items),
        "without_any_modality": int((~np.any(list(present.values()), axis=0)).sum()),
        "modalities": {name: _report(config.modalities[name], made, items) for name, made in modalities.items()},
        "imputation": {f"{source} to {target}": _rounded(made) for (source, target), made in maps.items()},
    }
    (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.rmtree(out / UNFINISHED)


def _embed(name: str, source: Source, inputs: Inputs) -> _Modality:
    start = time.perf_counter()
    embedded = _EMBED[source.kind](source, inputs)
    if not embedded.present.any():
        raise DataError(f"no item has an embedding of the modality {name!r}; mend its source or leave the modality out")
    seconds = time.perf_counter() - start
    present = int(embedded.present.sum())
    logger.info("%s: %d of %d items embedded in %.1f s", name, present, len(inputs.items), seconds)
    return _Modality(embedded, seconds)


def _report(source: Source, made: _Modality, items: list[Item]) -> dict[str, object]:
    present, skipped = made.embedded.present, made.embedded.rows.skipped
    return {
        "kind": source.kind,
        "dim": made.embedded.encoder.dim,
        "present": int(present.sum()),
        "share_present": round(float(present.mean()), 4),
        "mean_length": round(float(np.linalg.norm(made.embedded.rows.values[present], axis=1).mean()), 4),
        "absent": int((~present).sum()) - len(skipped),
        "skipped": len(skipped),
        "first_skipped": {items[row].id: skipped[row] for row in sorted(skipped)[:SHOWN]},
        "seconds": round(made.seconds, 2),
    }


def _rounded(made: MapReport) -> dict[str, float]:
    return {key: round(value, 4) for key, value in made._asdict().items()}
