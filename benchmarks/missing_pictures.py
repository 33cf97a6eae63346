"""What becomes of items without a picture: ``python -m benchmarks.missing_pictures --work FOLDER``.

The sample shop (or the data folder that is given) is trained twice with the same configuration: as it is, and without
the pictures of a share of its items, drawn by a seed. Those items get an image ID from a predicted embedding. Prints
a JSON line for all users, for those whose test target lost its picture, and for the others: HR@10 and NDCG@10 of the
fused list with and without the pictures and their standard errors, seen items removed, and the paired difference of the
two with its interval of 95 %.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.generator import Generator
from training.config import RunConfig, read_config
from training.devices import pick_device
from training.fit_fusion import read_fusion
from training.generator_data import GeneratorData
from training.items import read_items
from training.metrics import gains, hits, paired_bootstrap, summarise
from training.retrieval import Retriever
from training.validation import HeldOut, draw_users, main_list, rank_targets

SAMPLE_CONFIG = Path("training/configs/sample.toml")
K = 10


def without_pictures(data: Path, out: Path, share: float, seed: int) -> set[str]:
    """Writes the data to ``out`` with no picture for a share of the items that have one; returns their ids."""
    rows = [json.loads(line) for line in (data / "items.jsonl").read_text().splitlines()]
    pictured = [place for place, row in enumerate(rows) if row.get("image") or row.get("has_image")]
    lost = np.random.default_rng(seed).choice(pictured, round(len(pictured) * share), replace=False).tolist()
    for place in lost:
        rows[place] |= {"image": None, "has_image": False}
    out.mkdir(parents=True, exist_ok=True)
    (out / "items.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for path in data.iterdir():
        if path.name != "items.jsonl" and not (out / path.name).exists():
            (out / path.name).symlink_to(path.resolve())
    return {str(rows[place]["id"]) for place in lost}


def train(*arguments: str) -> None:
    """Runs ``python -m training``; raises CalledProcessError if it fails."""
    subprocess.run([sys.executable, "-m", "training", *arguments], check=True)  # noqa: S603


def ranks_of(run: Path, config: RunConfig) -> tuple[NDArray[np.int64], list[str]]:
    """For each evaluation user the rank ``(V,)`` of the test target in the list that a user is shown, and its id."""
    data = GeneratorData.load(run / "prepare", run / "assign", config.split)
    generator = Generator.load(run / "generate")
    device = pick_device(config.evaluate.device)
    retriever = Retriever(generator.to(device).search(), data.space, data.codes, data.trie, device)
    users = draw_users(data.split, config.evaluate.users, config.evaluate.seed)
    held_out = HeldOut(data.split, users, "test", generator.config.max_history, remove_seen=True)
    ranks = main_list(rank_targets(retriever, held_out, config.evaluate.beam, read_fusion(run / "fuse"))).item
    ids = [item.id for item in read_items(run / "prepare" / "items.jsonl")]
    return ranks, [ids[target] for target in held_out.targets]


def compare(with_all: NDArray[np.int64], with_fewer: NDArray[np.int64]) -> dict[str, Any]:
    """The metrics of two rankings ``(V,)`` of the same users, and their differences."""
    told: dict[str, Any] = {"users": len(with_all)}
    for name, measure in ((f"hr@{K}", hits), (f"ndcg@{K}", gains)):
        before, after = (summarise(ranks, (K,))[name] for ranks in (with_all, with_fewer))
        told[name] = {
            "with_pictures": _rounded(*before),
            "without": _rounded(*after),
            "difference": _rounded(*paired_bootstrap(measure(with_fewer, K), measure(with_all, K))),
        }
    return told


def _rounded(*values: float) -> list[float]:
    return [round(value, 4) for value in values]


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where the data and both runs go; reused if there")
    parser.add_argument("--data", type=Path, help="a data folder with pictures; the sample shop if not given")
    parser.add_argument("--run", type=Path, help="a finished run on that data, which is then not trained again")
    parser.add_argument("--config", type=Path, default=SAMPLE_CONFIG)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data, run = arguments.data or arguments.work / "shop", arguments.run or arguments.work / "with-pictures"
    if arguments.data is None and not (data / "interactions.csv").exists():
        train("sample", "--out", str(data))
    fewer, fewer_run = arguments.work / "shop-without", arguments.work / "without"
    lost = without_pictures(data, fewer, arguments.share, arguments.seed)
    for folder, out in ((data, run), (fewer, fewer_run)):
        train("run", "--config", str(arguments.config), "--data", str(folder), "--out", str(out))
    config = read_config(arguments.config)
    before, targets = ranks_of(run, config)
    after, same = ranks_of(fewer_run, config)
    assert targets == same, "both runs have the same users and targets"
    affected = np.array([target in lost for target in targets])
    about = {"benchmark": "missing_pictures", "items": len(lost), "share": arguments.share, "seed": arguments.seed}
    for name, which in (("all", affected | True), ("target lost its picture", affected), ("others", ~affected)):
        sys.stdout.write(json.dumps({**about, "of": name, **compare(before[which], after[which])}) + "\n")


if __name__ == "__main__":
    main()
