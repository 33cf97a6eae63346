"""A small comparison that was run once: baselines, SASRec, the published method, two of its parts, our recipe."""

import tomllib
from pathlib import Path

import pytest

from tests.runs import TINY, write_shop
from training.compare.rows import read_rows
from training.compare.runner import Comparison, Job
from training.config import RunConfig

TINY_SASREC = """
[sasrec]
epochs = 2
positions = 64
device = "cpu"
precision = "float32"
grid = [{ d_model = 8, layers = 1, max_history = 10 }, { d_model = 16, layers = 1, max_history = 10 }]
"""

RUN = ("popularity", "sasrec", "macrec", "macrec-bonus", "tiger", "own")


def tiny_config() -> RunConfig:
    """Settings under which a row takes a second."""
    return RunConfig.model_validate(tomllib.loads(TINY + TINY_SASREC))


def comparison_of(data: Path, out: Path, **changes: object) -> Comparison:
    """All rows on a shop, of which some are run."""
    settings = {"rows": tuple(read_rows().values()), "last": 3, "base": tiny_config(), **changes}
    return Comparison(data=data, out=out, **settings)  # type: ignore[arg-type]


def trained(comparison: Comparison, job: Job) -> dict[str, Path]:
    """The stages of a finished job."""
    folders = comparison.folders(job)
    assert folders is not None
    return folders


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="package")
def compared(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Finished rows; tests that change something take a copy of the folder."""
    comparison = comparison_of(shop, tmp_path_factory.mktemp("compared"))
    assert comparison.run(RUN) == {}
    return comparison
