"""The quantize stage: trains the cross-modal quantizer on the catalog's embeddings.

Reads ``<modality>.npy`` and ``<modality>.present.npy``; writes ``quantizer.safetensors`` and ``config.json`` (see
:func:`model.quantizer.load_quantizer`), ``metrics.jsonl`` and ``report.json``. A killed run goes on from its last
checkpoint with the same loss curve. Imputed rows are measured, but nothing is learned from them.
"""

import json
import logging
from pathlib import Path

import torch
from safetensors.torch import save

from model.durable_files import write_durably
from model.quantizer import CONFIG_FILE, WEIGHTS_FILE, CrossModalQuantizer
from training.devices import pick_device, training_clock
from training.embedded_items import EmbeddedItems, read_embedded_items
from training.progress import progress
from training.quantizer_checkpoint import CHECKPOINT_FILE, restore_checkpoint, write_checkpoint
from training.quantizer_config import FitQuantizerConfig
from training.quantizer_quality import measure_quality
from training.quantizer_trainer import QuantizerTrainer
from training.residual_kmeans import residual_kmeans
from training.run_log import RunLog

__all__ = ["REPORT_FILE", "FitQuantizerConfig", "run"]

REPORT_FILE = "report.json"
_FREE_TO_CHANGE = {"epochs", "max_minutes", "checkpoint_seconds", "device"}  # settings that a resumed run may change

logger = logging.getLogger(__name__)


class Clock:
    """Seconds of training, over all runs that a checkpoint joins."""

    def __init__(self, device: torch.device, before: float = 0.0) -> None:
        """``before``: the seconds of earlier runs."""
        self._now = training_clock(device)
        self._started = self._now() - before

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._now() - self._started


def run(config: FitQuantizerConfig, modalities: tuple[str, ...], embeddings: Path, out: Path) -> None:
    """Trains on the embed stage's folder ``embeddings`` and writes the stage's files to ``out``.

    Raises:
        DataError: if the embeddings are missing, disagree, are not finite, or no item has one of the modalities.
    """
    items = read_embedded_items(embeddings, modalities)
    out.mkdir(parents=True, exist_ok=True)
    if config.method == "kmeans":
        _without_training(config, items, out)
        return
    trainer = QuantizerTrainer(config, items, pick_device(config.device))
    settings = json.dumps([config.model_dump(mode="json", exclude=_FREE_TO_CHANGE), modalities, items.fingerprint()])
    seconds = restore_checkpoint(out, trainer, settings)
    if seconds is None:
        trainer.start()
    clock = Clock(pick_device(config.device), seconds or 0.0)
    metrics = _train(trainer, clock, settings, out)
    write_quantizer(trainer.best_model(), out)
    summaries = {name: _summary(trainer, name, metrics) for name in items.modalities}
    _write_report(config, trainer.model, clock.seconds, summaries, {"items": len(items), "epochs": trainer.epoch}, out)
    (out / CHECKPOINT_FILE).unlink(missing_ok=True)


def _without_training(config: FitQuantizerConfig, items: EmbeddedItems, out: Path) -> None:
    """The stage's files, but no metrics over epochs: there are none."""
    clock = Clock(torch.device("cpu"))
    model = residual_kmeans(config, items)
    write_quantizer(model, out)
    summaries: dict[str, dict[str, object]] = {}
    for modality, name in enumerate(items.modalities):
        rows, present = torch.from_numpy(items.embeddings[modality]), torch.from_numpy(items.present[modality])
        quality = measure_quality(model.part(modality), rows, present)
        summaries[name] = {"present": int(present.sum()), **quality._asdict()}
    _write_report(config, model, clock.seconds, summaries, {"items": len(items), "epochs": 0}, out)


def _train(trainer: QuantizerTrainer, clock: Clock, settings: str, out: Path) -> dict[str, float]:
    """Epochs, checks and checkpoints until the epochs or the minutes are used up; returns the last check's metrics."""
    config = trainer.config
    metrics: dict[str, float] = {}
    saved = clock.seconds
    with RunLog(out, resume_after=trainer.epoch) as log:
        for epoch in progress(range(trainer.epoch + 1, config.epochs + 1), "quantizer", config.epochs, trainer.epoch):
            trainer.train_epoch()
            out_of_time = config.max_minutes is not None and clock.seconds >= 60 * config.max_minutes
            last = out_of_time or epoch == config.epochs
            if epoch % config.check_every and not last:
                continue
            metrics = {**trainer.check(), "seconds": clock.seconds}
            log.write(epoch, metrics)
            if last:
                break
            if clock.seconds - saved >= config.checkpoint_seconds:
                write_checkpoint(out, trainer, settings, clock.seconds)
                saved = clock.seconds
    return metrics


def write_quantizer(quantizer: CrossModalQuantizer, folder: Path) -> None:
    """Writes what :func:`model.quantizer.load_quantizer` reads."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in quantizer.state_dict().items()}
    write_durably(folder / CONFIG_FILE, [quantizer.config.model_dump_json(indent=2).encode()])
    write_durably(folder / WEIGHTS_FILE, [save(weights)])


def _write_report(
    config: FitQuantizerConfig,
    model: CrossModalQuantizer,
    seconds: float,
    modalities: dict[str, dict[str, object]],
    counts: dict[str, int],
    out: Path,
) -> None:
    report = {
        "method": config.method,
        **counts,
        "levels": config.levels,
        **config.sizes(counts["items"])._asdict(),
        "seconds": round(seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "modalities": modalities,
    }
    write_durably(out / REPORT_FILE, [json.dumps(report, indent=2).encode()])
    for name, summary in modalities.items():
        logger.info("quantizer of %s: %s", name, summary)


def _summary(trainer: QuantizerTrainer, name: str, metrics: dict[str, float]) -> dict[str, object]:
    """What the kept checkpoint of a modality is like, and what it learned from."""
    modality = trainer.items.modalities.index(name)
    kept = trainer.kept[modality]
    return {
        "present": int(trainer.items.present[modality].sum()),
        "pseudo_labels": int(trainer.labels[modality].max()) + 1,
        "with_positive": metrics.get(f"with_positive/{name}"),
        "kept_epoch": kept.epoch,
        **kept.quality._asdict(),
    }
