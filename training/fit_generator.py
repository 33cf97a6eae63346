"""The generate stage: trains the generator on semantic IDs."""

from pathlib import Path

from model.fusion import FusionConfig
from training.generator_config import FitGeneratorConfig
from training.generator_data import GeneratorData
from training.split import SplitConfig
from training.trainer import Trainer

__all__ = ["FitGeneratorConfig", "run"]


def run(
    config: FitGeneratorConfig, fusion: FusionConfig, split: SplitConfig, prepare: Path, assign: Path, out: Path
) -> None:
    """Trains on the folders of the stages ``prepare`` and ``assign``; goes on where a killed run stopped."""
    out.mkdir(parents=True, exist_ok=True)
    Trainer(config, GeneratorData.load(prepare, assign, split), fusion, out).run()
