"""How a row's training went: time, epochs, curves, and whether it was over when it ended."""

import json
from pathlib import Path
from typing import Any

from training.compare.rows import Row
from training.config import RunConfig
from training.run_log import read_metrics

CURVE_POINTS = 100

Curve = list[dict[str, float]]


def training_of(row: Row, config: RunConfig, folders: dict[str, Path]) -> dict[str, Any]:
    """Seconds, epochs, best epoch, why it ended, ``under_trained``, and the curves, of what stands in ``folders``.

    A training is under-trained if its last validation was its best and it was not its patience that ended it: more
    time might have made it better.
    """
    if row.kind == "baseline":
        return {"seconds": 0.0, "under_trained": False, "curves": {}}
    if row.kind == "sasrec":
        return _sasrec(folders["sasrec"])
    quantizer = {} if config.embedded is None else _quantizer(folders["quantize"])
    return _generator(config, folders["generate"]) | quantizer


def _sasrec(folder: Path) -> dict[str, Any]:
    """The chosen point's training; the seconds are those of the whole grid, which was needed to choose it."""
    report = json.loads((folder / "report.json").read_text())
    chosen = report["grid"][report["chosen"]]
    return {
        "seconds": report["seconds"],
        "epochs": chosen["epochs"],
        "best_epoch": chosen["best_epoch"],
        "ended": chosen["ended"],
        "under_trained": chosen["ended"] != "patience" and chosen["best_epoch"] == chosen["epochs"],
        "validation_ndcg@10": round(chosen["ndcg"], 5),
        "grid": report["grid"],
        "curves": {"generator": _curve(folder / str(report["chosen"]))},
    }


def _generator(config: RunConfig, folder: Path) -> dict[str, Any]:
    records = read_metrics(folder)
    validations = [record for record in records if "validation/ndcg@10" in record]
    best = max(validations, key=lambda record: record["validation/ndcg@10"])
    epochs = int(records[-1]["epoch"])
    seconds = max(record["train/seconds"] for record in records if "train/seconds" in record)
    limit = config.generate.max_minutes
    ended = (
        "epochs" if epochs >= config.generate.epochs else "minutes" if limit and seconds >= 60 * limit else "patience"
    )
    return {
        "seconds": round(seconds, 1),
        "epochs": epochs,
        "best_epoch": int(best["epoch"]),
        "ended": ended,
        "under_trained": ended != "patience" and best is validations[-1],
        "validation_ndcg@10": round(best["validation/ndcg@10"], 5),
        "curves": {"generator": _curve(folder)},
    }


def _quantizer(folder: Path) -> dict[str, Any]:
    """The quantizer's own time and its curve of reconstruction errors."""
    report = json.loads((folder / "report.json").read_text())
    names = [f"reconstruction_error/{name}" for name in report["modalities"]]
    curve = [{"epoch": record["step"], **{name: record[name] for name in names}} for record in read_metrics(folder)]
    return {"quantizer_seconds": report["seconds"], "quantizer_curve": _thinned(curve)}


def _curve(folder: Path) -> Curve:
    """Loss and validation by epoch."""
    by_epoch: dict[int, dict[str, float]] = {}
    for record in read_metrics(folder):
        values = by_epoch.setdefault(int(record["epoch"]), {"epoch": int(record["epoch"])})
        for name in ("train/loss", "train/seconds", "validation/ndcg@10", "validation/hr@10"):
            if name in record:
                values[name] = round(record[name], 5)
    return _thinned(list(by_epoch.values()))


def _thinned(curve: Curve) -> Curve:
    """Every so many records and the last, so that a result stays small."""
    step = max(1, len(curve) // CURVE_POINTS)
    return curve[:-1][::step] + curve[-1:]
