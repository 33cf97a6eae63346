"""The assign stage: every item's semantic ID in every modality, unique as far as there is room.

Reads the quantize and embed stages' folders; writes ``codes.npy`` ``(m, N, L)`` uint8, ``greedy_codes.npy`` with the
codes before any item moved, ``id_space.json`` and ``report.json``. The rule is :mod:`model.assignment`'s.
"""

import json
import logging
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from model.assignment import MOVED_BEFORE, MOVED_LAST, SHARED, Assignment, assign, collision_rate
from model.config import Config
from model.durable_files import write_durably
from model.errors import ConfigError, DataError
from model.quantizer import CrossModalQuantizer, load_quantizer
from model.semantic_ids import IdSpace
from training.devices import Device, pick_device
from training.embedded_items import EmbeddedItems, read_embedded_items
from training.id_space_file import read_id_space, write_id_space

CODES_FILE = "codes.npy"
GREEDY_FILE = "greedy_codes.npy"
ID_SPACE_FILE = "id_space.json"
REPORT_FILE = "report.json"

logger = logging.getLogger(__name__)


class AssignIdsConfig(Config):
    """How IDs are assigned.

    Attributes:
        modalities: whose IDs go on to the generator; None takes all that were quantized.
        batch: items in one pass through the encoder.
        device: where the encoder runs; the rule itself runs in numpy.
    """

    modalities: tuple[str, ...] | None = Field(None, min_length=1)
    batch: int = Field(8192, ge=1)
    device: Device = "auto"


def run(
    config: AssignIdsConfig,
    modalities: tuple[str, ...],
    quantizer: Path,
    embeddings: Path,
    out: Path,
    imported: Path | None = None,
) -> None:
    """Assigns IDs to all embedded items, imputed ones included.

    ``imported`` is the prepare stage's folder where the data brings IDs of other modalities: they come first.

    Raises:
        ConfigError: if a modality is chosen that is not quantized, or the imported IDs are of another length.
        BundleError: if the folder ``quantizer`` holds no usable quantizer.
        DataError: if the embeddings are unusable or not the ones that the quantizer was made for.
    """
    items = read_embedded_items(embeddings, modalities)
    device = pick_device(config.device)
    model = load_quantizer(quantizer, device)
    _check_same_inputs(model, items)
    chosen = _chosen(config, modalities)
    results = [_assign(model, index, items.embeddings[index], config.batch) for index in map(modalities.index, chosen)]
    report = {name: _summary(result) for name, result in zip(chosen, results, strict=True)}
    for name, summary in report.items():
        logger.info("semantic IDs of %s: %s", name, summary)
    space, before = _joined(IdSpace(chosen, model.config.levels, model.config.codes), imported)
    out.mkdir(parents=True, exist_ok=True)
    _write_codes(out / CODES_FILE, [*before, *(result.codes for result in results)])
    _write_codes(out / GREEDY_FILE, [*before, *(result.greedy for result in results)])
    write_id_space(out / ID_SPACE_FILE, space)
    write_durably(out / REPORT_FILE, [json.dumps({"items": len(items), "modalities": report}, indent=2).encode()])


def _joined(space: IdSpace, imported: Path | None) -> tuple[IdSpace, Sequence[NDArray[np.uint8]]]:
    """The ID space with the imported modalities before its own, and their codes ``(N, L)``."""
    if imported is None:
        return space, []
    first = read_id_space(imported / ID_SPACE_FILE)
    if first.levels != space.levels:
        raise ConfigError(
            f"the imported semantic IDs have {first.levels} levels, the quantizer {space.levels}: set quantize.levels "
            f"to {first.levels}"
        )
    names = (*first.modalities, *space.modalities)
    return IdSpace(names, space.levels, max(first.codes, space.codes)), np.load(
        imported / CODES_FILE, allow_pickle=False
    )


def _chosen(config: AssignIdsConfig, modalities: tuple[str, ...]) -> tuple[str, ...]:
    """The modalities to assign, in the order of the quantizer."""
    wanted = modalities if config.modalities is None else config.modalities
    unknown = sorted(set(wanted) - set(modalities))
    if unknown:
        raise ConfigError(f"assign.modalities names {unknown}, which are not quantized: {list(modalities)} are")
    return tuple(name for name in modalities if name in wanted)


def _write_codes(path: Path, codes: list[NDArray[np.uint8]]) -> None:
    buffer = BytesIO()
    np.save(buffer, np.stack(codes), allow_pickle=False)
    write_durably(path, [buffer.getvalue()])


def _assign(model: CrossModalQuantizer, modality: int, embeddings: NDArray[np.float32], batch: int) -> Assignment:
    codebooks = model.part(modality).quantizer.codebooks
    return assign(encode_all(model, modality, embeddings, batch), codebooks.detach().cpu().numpy())


@torch.no_grad()
def encode_all(
    model: CrossModalQuantizer, modality: int, embeddings: NDArray[np.float32], batch: int
) -> NDArray[np.float32]:
    """Latents ``(N, d)`` float32 of raw embeddings ``(N, width)``, ``batch`` rows at a time on the model's device."""
    device = model.part(modality).quantizer.codebooks.device
    latents = np.empty((len(embeddings), model.config.latent), dtype=np.float32)
    for start in range(0, len(embeddings), batch):
        rows = torch.from_numpy(embeddings[start : start + batch]).to(device)
        latents[start : start + batch] = model.encode(modality, rows).cpu().numpy()
    return latents


def _summary(result: Assignment) -> dict[str, float]:
    """Collisions before and after, and how many items moved where."""
    return {
        "collision_rate_before": collision_rate(result.greedy),
        "collision_rate_after": collision_rate(result.codes),
        "moved_at_last_level": int((result.outcome == MOVED_LAST).sum()),
        "moved_at_level_before": int((result.outcome == MOVED_BEFORE).sum()),
        "left_sharing": int((result.outcome == SHARED).sum()),
    }


def _check_same_inputs(model: CrossModalQuantizer, items: EmbeddedItems) -> None:
    made_for = dict(zip(model.config.modalities, model.config.inputs, strict=True))
    given = dict(zip(items.modalities, items.widths, strict=True))
    if list(made_for.items()) != list(given.items()):
        raise DataError(
            f"the quantizer was made for the modalities and widths {made_for}, the embeddings have {given}: "
            "run the quantize stage again"
        )
