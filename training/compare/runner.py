"""Runs the rows: each row and seed into a folder of its own, what is finished never again."""

import hashlib
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.durable_files import write_durably
from model.errors import MacrecError
from training import fit_sasrec
from training.compare.beams import beam_losses
from training.compare.quality import id_quality, measure
from training.compare.rows import Row, merged
from training.compare.store import StageStore, Stored, is_finished, run_missing
from training.compare.systems import Generating, load_system
from training.compare.trainings import training_of
from training.config import RunConfig
from training.interactions import Interactions
from training.pipeline import Stage
from training.split import Split

log = logging.getLogger(__name__)

RESULT_FILE, RANKS_FILE = "result.json", "ranks.npz"
SMALL_SET, LAST = 2000, 10
RESULTS_VERSION = 1


class Budget(NamedTuple):
    """What each row may use: minutes of training of its generator or SASRec, or epochs of its generator."""

    minutes: float | None = None
    epochs: int | None = None

    def overrides(self) -> dict[str, Any]:
        """The budget as overrides over a configuration."""
        generate: dict[str, Any] = {} if self.minutes is None else {"max_minutes": self.minutes}
        sasrec = dict(generate)
        if self.epochs is not None:
            generate["epochs"] = self.epochs
        return {"generate": generate, "sasrec": sasrec}


NO_BUDGET = Budget()


class Job(NamedTuple):
    """One training and its evaluation: a row, a seed, and how many last events of a user are test targets."""

    row: Row
    seed: int
    test_events: int

    @property
    def name(self) -> str:
        """The job's folder below ``rows``."""
        return f"{self.row.name}/last-{self.test_events}-seed-{self.seed}"


@dataclass(frozen=True)
class Comparison:
    """What is compared: rows on a data folder, into the folder ``out``.

    Attributes:
        data: the data folder.
        out: where stages, rows and report go.
        base: the data set's configuration.
        rows: in the order of the table.
        seeds: how many; a baseline is the same for all.
        budget: of each row.
        last: how many last events of each user are targets of the second pass; 0 is no second pass, None makes one of
            :data:`LAST` events for small sets (:func:`_useful_last`).
    """

    data: Path
    out: Path
    base: RunConfig
    rows: tuple[Row, ...]
    seeds: int = 1
    budget: Budget = NO_BUDGET
    last: int | None = None

    @cached_property
    def store(self) -> StageStore:
        """The shared stages."""
        return StageStore(self.out / "stages", self.data)

    def jobs(self) -> list[Job]:
        """All trainings, those of the first seed and of the usual split first."""
        jobs = []
        for test_events in self.passes:
            for seed in range(self.seeds):
                jobs += [
                    Job(row, seed, test_events)
                    for row in self.rows
                    if row.missing(self.base) is None and (seed == 0 or row.kind != "baseline")
                ]
        return jobs

    @cached_property
    def passes(self) -> tuple[int, ...]:
        """The numbers of test events: leave-one-out, and for small sets several of each user."""
        folder = self.store.run(self.base, "prepare").folders["prepare"]
        last = _useful_last(Interactions.load(folder / "interactions.npz")) if self.last is None else self.last
        return (1, last) if last > 1 else (1,)

    def config(self, job: Job) -> RunConfig:
        """What a job trains with; the budget has the last word, so that it is the same for all rows."""
        seeds = {name: {"seed": job.seed} for name in ("quantize", "generate", "sasrec")}
        overrides = merged(self.budget.overrides(), {**seeds, "split": {"test_events": job.test_events}})
        return RunConfig.model_validate(merged(job.row.config(self.base).model_dump(mode="json"), overrides))

    def folder(self, job: Job) -> Path:
        """Where a job's result stands."""
        return self.out / "rows" / job.name

    def result(self, job: Job) -> dict[str, Any] | None:
        """A finished job's result; None where it is not finished, or was finished with other settings or data."""
        path = self.folder(job) / RESULT_FILE
        if not path.exists():
            return None
        result: dict[str, Any] = json.loads(path.read_text())
        return result if result["fingerprint"] == self._fingerprint(job) else None

    def run(self, wanted: Collection[str]) -> dict[str, str]:
        """Runs what is not finished of the ``wanted`` rows.

        Returns:
            The rows that failed with their errors, after all others were run.
        """
        failed: dict[str, str] = {}
        jobs = [job for job in self.jobs() if job.row.name in wanted]
        for number, job in enumerate(jobs, start=1):
            if self.result(job) is not None:
                log.info("row %d of %d, %s: finished before", number, len(jobs), job.name)
                continue
            log.info("row %d of %d, %s ...", number, len(jobs), job.name)
            try:
                self._run(job)
            except MacrecError as error:
                log.error("row %s failed: %s", job.name, error)  # noqa: TRY400 (a user's error, told at the end)
                failed[job.row.name] = str(error)
        return failed

    def folders(self, job: Job) -> dict[str, Path] | None:
        """The stages of a job; None if one that its system is loaded from is not there, or no longer."""
        stored, kind = self._planned(job), job.row.kind
        names = {"baseline": ("prepare",), "sasrec": ("prepare", "sasrec"), "generator": tuple(stored.folders)}[kind]
        return stored.folders if all(is_finished(name, stored) for name in names) else None

    def _train(self, job: Job) -> dict[str, Path]:
        """The stages of a job, trained where they are not yet."""
        config, kind = self.config(job), job.row.kind
        stored = self.store.run(config, "fuse" if kind == "generator" else "prepare")
        if kind == "sasrec":
            stage = _sasrec_stage(config, stored.folders["prepare"])
            stored = self.store.planned_with(stored, stage)
            run_missing(stage, stored)
        return stored.folders

    def _planned(self, job: Job) -> Stored:
        config = self.config(job)
        stored = self.store.planned(config)
        if job.row.kind != "sasrec":
            return stored
        return self.store.planned_with(stored, _sasrec_stage(config, stored.folders["prepare"]))

    def _run(self, job: Job) -> None:
        config, folders = self.config(job), self._train(job)
        evaluated = job.row.evaluated(config)
        system = load_system(job.row, evaluated, folders)
        figures, arrays = measure(system)
        result = {
            "fingerprint": self._fingerprint(job),
            "row": job.row.name,
            "title": job.row.title,
            "what": job.row.what,
            "kind": job.row.kind,
            "seed": job.seed,
            "test_events": job.test_events,
            "budget": {"minutes": self.budget.minutes, "epochs": self.budget.epochs},
            "main": system.main,
            "items": system.items,
            "parameters": system.parameters,
            "training": training_of(job.row, config, folders),
            **figures,
        }
        if isinstance(system, Generating):
            result |= {"beam": evaluated.evaluate.beam, "ids": id_quality(folders["assign"])}
            if job.test_events == 1 and job.seed == 0:
                result["beams"] = beam_losses(system, evaluated.evaluate.seed)
        self.folder(job).mkdir(parents=True, exist_ok=True)
        np.savez_compressed(self.folder(job) / RANKS_FILE, **arrays)  # type: ignore[arg-type]
        write_durably(self.folder(job) / RESULT_FILE, [json.dumps(result, indent=1).encode()])
        found = result["seen_removed"]
        log.info("%s: HR@10 %.4f, NDCG@10 %.4f, seen items removed", job.name, found["hr@10"], found["ndcg@10"])

    def _fingerprint(self, job: Job) -> str:
        """Names the result: what it is trained from, and how it is evaluated."""
        config = self.config(job)
        prints = self.store.planned(config).fingerprints
        evaluated = job.row.evaluated(config)
        trained = {
            "generator": prints.get("fuse", ""),
            "sasrec": prints["prepare"] + config.sasrec.model_dump_json(),
            "baseline": prints["prepare"],
        }[job.row.kind]
        parts = [RESULTS_VERSION, job.name, trained, evaluated.evaluate, evaluated.fusion, config.split]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _sasrec_stage(config: RunConfig, prepare: Path) -> Stage:
    return Stage(
        "sasrec",
        config.sasrec.model_dump_json() + config.split.model_dump_json(),
        ("prepare",),
        lambda to: fit_sasrec.run(config.sasrec, config.split, prepare, to),
    )


def _useful_last(interactions: Interactions) -> int:
    """LAST for fewer than SMALL_SET users of whom most have two events left to learn from; else 0."""
    left = Split(interactions, LAST).train_ends - interactions.offsets[:-1]
    return LAST if interactions.users < SMALL_SET and np.median(left) >= 2 else 0
