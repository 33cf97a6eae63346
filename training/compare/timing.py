"""Milliseconds a request of all finished rows, in turn in one process: a busy machine then slows all of them alike."""

import json
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from model.durable_files import write_durably
from training.compare.runner import Comparison, Job
from training.compare.systems import System, load_system

TIMING_FILE = "timing.json"
ROUNDS = 30
WARM_UP = 3


class Timed(NamedTuple):
    """A row's requests: median and 90th percentile, in milliseconds."""

    median: float
    p90: float


def time_requests(comparison: Comparison, jobs: list[Job], rounds: int = ROUNDS) -> dict[str, Any]:
    """The timing of finished jobs, by row; taken over from an earlier call where the same jobs stand there.

    A request is one history of a random user, searched by itself in torch (the service runs the exported graph), seen
    items removed. A job whose stages are no longer there is left out.
    """
    path = comparison.out / TIMING_FILE
    timed = {job.row.name: comparison.result(job) for job in jobs}
    prints = {name: result["fingerprint"] for name, result in timed.items() if result is not None}
    if path.exists():
        before: dict[str, Any] = json.loads(path.read_text())
        if before["fingerprints"] == prints:
            return before
    loaded = {job.row.name: _system(comparison, job) for job in jobs if job.row.name in prints}
    systems = {name: system for name, system in loaded.items() if system is not None}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    rng = np.random.default_rng(0)
    for turn in range(WARM_UP + rounds):
        for name, system in systems.items():
            user = int(rng.choice(system.split.users))
            started = time.perf_counter()
            system.request(user)
            if turn >= WARM_UP:
                seconds[name].append(time.perf_counter() - started)
    rows = {name: _timed(values)._asdict() for name, values in seconds.items()}
    timing = {"requests": rounds, "threads": torch.get_num_threads(), "rows": rows, "fingerprints": prints}
    write_durably(path, [json.dumps(timing, indent=1).encode()])
    return timing


def _timed(values: list[float]) -> Timed:
    median, p90 = np.quantile(np.array(values) * 1000, (0.5, 0.9))
    return Timed(round(float(median), 3), round(float(p90), 3))


def _system(comparison: Comparison, job: Job) -> System | None:
    folders = comparison.folders(job)
    return None if folders is None else load_system(job.row, job.row.evaluated(comparison.config(job)), folders)
