"""The SASRec stage of the comparison: trains a small grid of sizes and keeps the model that is best on validation."""

import json
from pathlib import Path

import torch
from pydantic import Field

from model.durable_files import write_durably
from training.interactions import Interactions
from training.items import read_items
from training.sasrec import Sasrec, SasrecSizes
from training.sasrec_trainer import CHECKPOINT_FILE, Fitted, SasrecTrainer, SasrecTraining, load_sasrec
from training.split import Split, SplitConfig

REPORT_FILE = "report.json"
GRID = tuple(SasrecSizes(d_model=width, dropout=dropout) for width in (64, 128) for dropout in (0.2, 0.5))


class FitSasrecConfig(SasrecTraining):
    """How the grid is trained: each of its points by the same settings and an equal share of ``max_minutes``."""

    grid: tuple[SasrecSizes, ...] = Field(GRID, min_length=1)


def run(config: FitSasrecConfig, split: SplitConfig, prepare: Path, out: Path) -> None:
    """Trains on the prepare stage's folder; a finished point of the grid is not trained again.

    Writes ``<point>/`` with weights and curve for each point, and ``report.json``: the grid with what validation says
    of it, and which point was chosen.
    """
    items = len(read_items(prepare / "items.jsonl"))
    sequences = Split(Interactions.load(prepare / "interactions.npz"), split.test_events)
    settings = config.model_dump(exclude={"grid"}) | {"max_minutes": config.max_minutes / len(config.grid)}
    training = SasrecTraining.model_validate(settings)
    fitted = [_point(training, sizes, sequences, items, out / str(point)) for point, sizes in enumerate(config.grid)]
    best = max(range(len(fitted)), key=lambda point: fitted[point].ndcg)
    grid = [
        {**sizes.model_dump(), **one._asdict(), "parameters": _parameters(items, sizes)}
        for sizes, one in zip(config.grid, fitted, strict=True)
    ]
    report = {"chosen": best, "items": items, "seconds": round(sum(one.seconds for one in fitted), 1), "grid": grid}
    write_durably(out / REPORT_FILE, [json.dumps(report, indent=2).encode()])


def load_chosen(folder: Path, device: torch.device) -> Sasrec:
    """The model that the stage chose."""
    report = json.loads((folder / REPORT_FILE).read_text())
    chosen = report["grid"][report["chosen"]]
    sizes = SasrecSizes.model_validate({name: chosen[name] for name in SasrecSizes.model_fields})
    return load_sasrec(folder / str(report["chosen"]), report["items"], sizes, device)


def _point(training: SasrecTraining, sizes: SasrecSizes, split: Split, items: int, folder: Path) -> Fitted:
    done = folder / REPORT_FILE
    if done.exists():
        return Fitted(**json.loads(done.read_text()))
    fitted = SasrecTrainer(training, sizes, split, items, folder).run()
    write_durably(done, [json.dumps(fitted._asdict()).encode()])
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return fitted


def _parameters(items: int, sizes: SasrecSizes) -> int:
    with torch.device("meta"):
        return sum(weights.numel() for weights in Sasrec(items, sizes).parameters())
