"""The configuration of a whole run, one section per stage, read from a TOML file."""

import tomllib
from pathlib import Path
from typing import Self

from pydantic import ValidationError, model_validator

from model.config import Config
from model.errors import ConfigError
from model.list_names import taken_name
from training.assign_ids import AssignIdsConfig
from training.embeddings.config import EmbeddingsConfig
from training.evaluate import EvaluateConfig
from training.export import ExportConfig
from training.fit_fusion import FitFusionConfig
from training.fit_generator import FitGeneratorConfig
from training.fit_sasrec import FitSasrecConfig
from training.prepare import PrepareConfig
from training.quantizer_config import FitQuantizerConfig
from training.split import SplitConfig


class RunConfig(Config):
    """One section per stage; where semantic IDs are imported, ``embed`` counts as far as it needs no items' contents.

    ``sasrec`` is not part of a run: the comparison (:mod:`training.compare`) trains it beside the generator.
    """

    prepare: PrepareConfig = PrepareConfig()
    split: SplitConfig = SplitConfig()
    embed: EmbeddingsConfig = EmbeddingsConfig()
    quantize: FitQuantizerConfig = FitQuantizerConfig()
    assign: AssignIdsConfig = AssignIdsConfig()
    generate: FitGeneratorConfig = FitGeneratorConfig()
    fusion: FitFusionConfig = FitFusionConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    sasrec: FitSasrecConfig = FitSasrecConfig()

    @model_validator(mode="after")
    def _modalities_are_not_called_like_other_lists(self) -> Self:
        for modalities in (self.embed.modalities, self.prepare.lcrec.index_files):
            if (taken := taken_name(modalities)) is not None:
                raise ValueError(f"{taken!r} names a list beside the modalities'; call the modality something else")
        return self

    @property
    def imports_ids(self) -> bool:
        """Whether the data brings semantic IDs, so that none are trained."""
        return self.prepare.format == "lcrec"

    @property
    def embedded(self) -> EmbeddingsConfig | None:
        """What is embedded and quantized: beside imported IDs only items' company in histories; None if nothing."""
        if not self.imports_ids:
            return self.embed
        sources = {name: source for name, source in self.embed.modalities.items() if source.kind == "cooccurrence"}
        return self.embed.model_copy(update={"modalities": sources}) if sources else None


def read_config(path: Path) -> RunConfig:
    """Reads a TOML file.

    Raises:
        ConfigError: if it cannot be read, or a key or value in it is wrong; the message names them.
    """
    try:
        return RunConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error
