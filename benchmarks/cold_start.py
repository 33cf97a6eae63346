"""What becomes of items that arrive after training.

    python -m benchmarks.cold_start --data FOLDER --config FILE --work FOLDER

A tenth of the items and all their interactions are taken out of the data. What is left is trained on; the tenth is then
inserted into the running service through its API, and the service is asked for what came next in the histories: for
the latest meetings with an inserted item of every user, and for everybody's last item where that one was trained. Items
that the history holds may not come back.

Prints a JSON line for every way of giving new items places (``MACREC_NEW_AFTER``, ``MACREC_NEW_EVERY``): HR@50 of the
inserted items beside chance (50 drawn at random from the items that the history does not hold), and NDCG@10 of the
trained ones.
"""

import argparse
import base64
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from tests.servers import free_port, spawn
from training.config import RunConfig, read_config
from training.embeddings.precomputed import PrecomputedSource
from training.images import open_images
from training.interactions import Interactions
from training.items import Item, read_items

K = 50
LATEST = 5
"""A user's last events among which an inserted item counts as a target."""


class Targets(NamedTuple):
    """Histories, oldest item first, and what came next."""

    histories: list[list[str]]
    items: list[str]


def hold_out(data: Path, out: Path, config: RunConfig, share: float, seed: int) -> set[str]:
    """Writes the data without a share of its items to ``out`` and returns their ids."""
    lines = (data / "items.jsonl").read_text().splitlines()
    ids = [str(json.loads(line)["id"]) for line in lines]
    held = np.zeros(len(ids), dtype=np.bool_)
    held[np.random.default_rng(seed).choice(len(ids), round(len(ids) * share), replace=False)] = True
    out.mkdir(parents=True)
    (out / "items.jsonl").write_text("".join(f"{line}\n" for line, gone in zip(lines, held, strict=True) if not gone))
    gone = {item for item, is_held in zip(ids, held, strict=True) if is_held}
    parquet = data / "interactions.parquet"
    events = pq.read_table(parquet) if parquet.exists() else csv.read_csv(data / "interactions.csv")
    keep = [str(item) not in gone for item in events["item"].to_pylist()]
    pq.write_table(events.filter(pa.array(keep)), out / "interactions.parquet")
    for source in _precomputed(config).values():
        np.save(out / source.path, np.load(data / source.path, allow_pickle=False)[~held])
    for pictures in ("images", "images.zip"):
        if (data / pictures).exists():
            (out / pictures).symlink_to((data / pictures).resolve())
    return gone


def train(command: str, config: Path, data: Path, out: Path) -> None:
    """Runs ``python -m training`` with a command; raises CalledProcessError if it fails."""
    arguments = ["--config", str(config), "--data", str(data), "--out", str(out)]
    subprocess.run([sys.executable, "-m", "training", *command.split(), *arguments], check=True)  # noqa: S603


def find_targets(prepared: Path, gone: set[str]) -> tuple[Targets, Targets]:
    """Targets that were held out of training, and trained ones, from the whole data."""
    items = read_items(prepared / "items.jsonl")
    interactions = Interactions.load(prepared / "interactions.npz")
    cold, warm = Targets([], []), Targets([], [])
    for first, end in zip(interactions.offsets[:-1], interactions.offsets[1:], strict=True):
        events = [items[item].id for item in interactions.items[first:end]]
        for place in range(max(1, len(events) - LATEST), len(events)):
            found = cold if events[place] in gone else warm
            if found is cold or place == len(events) - 1:
                found.histories.append(events[:place])
                found.items.append(events[place])
    return cold, warm


def rows_of(data: Path, config: RunConfig, items: list[Item], gone: set[str]) -> list[dict[str, Any]]:
    """The held-out items as the API takes them: embeddings where training was given them, else text and picture."""
    given = {name: np.load(data / source.path) for name, source in _precomputed(config).items()}
    described = any(source.kind == "picture" for source in config.embed.modalities.values())
    pictures = open_images(data, None) if described else None
    rows = []
    for index, item in enumerate(items):
        if item.id not in gone:
            continue
        row = item.model_dump(mode="json", exclude={"image"}, exclude_defaults=True)
        row["embeddings"] = {name: vectors[index].tolist() for name, vectors in given.items() if vectors[index].any()}
        if pictures is not None and item.image is not None:
            row["image"] = base64.b64encode(pictures.read_bytes(item.image)).decode()
        rows.append(row)
    return rows


class Service(NamedTuple):
    """A running service."""

    client: httpx.Client

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a POST."""
        answer: dict[str, Any] = self.client.post(path, json=body).raise_for_status().json()
        return answer

    def insert(self, rows: list[dict[str, Any]]) -> None:
        """Inserts items, a few at a time."""
        for start in range(0, len(rows), 50):
            answer = self.ask("/items/batch", {"items": rows[start : start + 50]})
            if refused := [row for row in answer["items"] if row["status"] != 200]:
                raise RuntimeError(f"items were refused: {refused[:3]}")

    def ranks(self, targets: Targets, beam: int) -> NDArray[np.int64]:
        """The place of each target among the first K, from 0; K where it is not among them."""
        ranks = []
        for history, target in zip(targets.histories, targets.items, strict=True):
            body = {"history": history[-1000:], "k": K, "beam": beam, "timeout": 60}
            found = [item["id"] for item in self.ask("/recommend", body)["items"]]
            ranks.append(found.index(target) if target in found else K)
        return np.array(ranks, dtype=np.int64)


@contextmanager
def serving(bundle: Path, work: Path, settings: dict[str, str]) -> Iterator[Service]:
    """A service of its own state on a free port."""
    port = free_port()
    fixed = {
        "MACREC_BUNDLE": str(bundle),
        "MACREC_PORT": str(port),
        "MACREC_STATE": str(work),
        "MACREC_DEADLINE": "60",
        "MACREC_MAX_BODY": str(64 << 20),
    }
    process = spawn([sys.executable, "-m", "service"], work / "service.log", env={**os.environ, **fixed, **settings})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait_until_ready(client)
            yield Service(client)
    finally:
        process.terminate()
        process.wait(timeout=30)


def summarise(cold: NDArray[np.int64], warm: NDArray[np.int64], targets: Targets, items: int) -> dict[str, float]:
    """The figures of one way."""
    chance = np.mean([K / (items - len(set(history))) for history in targets.histories])
    hit_rate = float((cold < K).mean())
    gains = np.where(warm < 10, 1 / np.log2(warm + 2.0), 0.0)
    return {
        "cold_targets": len(cold),
        "cold_hr@50": round(hit_rate, 4),
        "cold_hr@50_error": round(float(np.sqrt(hit_rate * (1 - hit_rate) / len(cold))), 4),
        "chance": round(float(chance), 4),
        "times_chance": round(float(hit_rate / chance), 2),
        "cold_hr@10": round(float((cold < 10).mean()), 4),
        "warm_targets": len(warm),
        "warm_ndcg@10": round(float(gains.mean()), 5),
        "warm_hr@10": round(float((warm < 10).mean()), 4),
    }


def main() -> None:
    """Trains once, then serves in each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--config", type=Path, required=True, help="how to train")
    parser.add_argument("--work", type=Path, required=True, help="a folder for everything that is made")
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the items")
    parser.add_argument("--ways", default="10:0,10:3,10:2,5:3", help="after:every, with commas between")
    parser.add_argument("--beam", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    config, work = read_config(arguments.config), arguments.work
    gone_file = work / "held_out.json"
    if not gone_file.exists():
        gone = hold_out(arguments.data, work / "data", config, arguments.held_out, arguments.seed)
        gone_file.write_text(json.dumps(sorted(gone)))
    gone = set(json.loads(gone_file.read_text()))
    train("stage prepare", arguments.config, arguments.data, work / "whole")
    train("run", arguments.config, work / "data", work / "run")
    items = read_items(work / "whole" / "prepare" / "items.jsonl")
    cold, warm = find_targets(work / "whole" / "prepare", gone)
    rows = rows_of(arguments.data, config, items, gone)
    for after, every in (way.split(":") for way in arguments.ways.split(",")):
        state = work / f"state-{after}-{every}"
        state.mkdir(exist_ok=True)
        ways = {"MACREC_NEW_AFTER": after, "MACREC_NEW_EVERY": every, "MACREC_BLEND_BELOW": "0"}
        with serving(work / "run" / "bundle", state, ways) as service:
            service.insert(rows)
            ranks = service.ranks(cold, arguments.beam), service.ranks(warm, arguments.beam)
        result = {"new_after": int(after), "new_every": int(every), **summarise(*ranks, cold, len(items))}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


def _wait_until_ready(client: httpx.Client, seconds: float = 120.0) -> None:
    """Returns when the service answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if client.get("/readyz").is_success:
                return
        time.sleep(0.1)
    raise TimeoutError(f"the service was not ready within {seconds:g} s; its log tells why")


def _precomputed(config: RunConfig) -> dict[str, PrecomputedSource]:
    """The modalities whose embeddings are given as arrays beside the data."""
    sources = config.embed.modalities.items()
    return {name: source for name, source in sources if isinstance(source, PrecomputedSource)}


if __name__ == "__main__":
    main()
