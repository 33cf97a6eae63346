"""Stages in folders that are named by what their results depend on, so that rows with equal inputs share them."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from training.config import RunConfig
from training.data_fingerprint import data_fingerprint
from training.pipeline import (
    DATA_FILE,
    TRAINING_STAGES,
    Stage,
    run_stage,
    stage_fingerprint,
    stage_state,
    training_stages,
)

PRINT_LENGTH = 16


class Stored(NamedTuple):
    """The stages' folders by name, and the fingerprints of what they hold."""

    folders: dict[str, Path]
    fingerprints: dict[str, str]


class StageStore:
    """A folder of stages: ``<name>/<fingerprint>``."""

    def __init__(self, folder: Path, data: Path) -> None:
        """``folder`` holds the stages, ``data`` is the data folder that they start from."""
        self.folder, self.data = folder, data
        self._planned: dict[str, Stored] = {}

    def planned(self, config: RunConfig) -> Stored:
        """Where the stages of a configuration stand, whether or not they have been run."""
        settings = config.model_dump_json()
        if settings not in self._planned:
            self._planned[settings] = self._plan(config)
        return self._planned[settings]

    @cached_property
    def _of_data(self) -> str:
        """The data folder is looked at once, for it may hold a million pictures."""
        return data_fingerprint(self.data, self.folder / DATA_FILE)

    def _plan(self, config: RunConfig) -> Stored:
        prints: dict[str, str] = {}
        for stage in training_stages(config, self.data, {name: self.folder / name for name in TRAINING_STAGES}):
            prints[stage.name] = stage_fingerprint(stage, prints, self._of_data)
        return Stored({name: self.folder / name / value[:PRINT_LENGTH] for name, value in prints.items()}, prints)

    def run(self, config: RunConfig, last: str) -> Stored:
        """Runs what is not done up to the stage ``last``; a stage that was broken off goes on where it was."""
        stored = self.planned(config)
        for stage in training_stages(config, self.data, stored.folders):
            run_missing(stage, stored)
            if stage.name == last:
                break
        return stored

    def planned_with(self, stored: Stored, stage: Stage) -> Stored:
        """The stages of a configuration and behind them one that is none of the pipeline's."""
        fingerprint = stage_fingerprint(stage, stored.fingerprints, self._of_data)
        folder = self.folder / stage.name / fingerprint[:PRINT_LENGTH]
        return Stored(
            stored.folders | {stage.name: folder},
            stored.fingerprints | {stage.name: fingerprint},
        )


def run_missing(stage: Stage, stored: Stored) -> None:
    """Runs one stage if it is not finished; most of a row's are, as another row's, and that goes without saying."""
    if not is_finished(stage.name, stored):
        run_stage(stage, stored.folders[stage.name], stored.fingerprints[stage.name])


def is_finished(name: str, stored: Stored) -> bool:
    """Whether a stage's result stands in its folder."""
    state = stage_state(stored.folders[name])
    return bool(state.get("finished")) and state["fingerprint"] == stored.fingerprints[name]
