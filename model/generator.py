"""The generator: a transformer over the tokens of one ID space, with a learned prompt for each prompted task."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from model.beam_search import ConstrainedBeamSearch
from model.config import Config
from model.errors import BundleError
from model.semantic_ids import PAD, IdSpace
from model.transformer import Transformer, TransformerConfig, TransformerSizes

WEIGHTS_FILE = "generator.safetensors"
CONFIG_FILE = "config.json"


class GeneratorConfig(Config):
    """What rebuilds a generator: its ID space, how many prompts it learned, the longest history, and its sizes."""

    space: IdSpace
    prompted_tasks: int
    max_history: int = 20
    sizes: TransformerSizes = TransformerSizes()

    def transformer(self) -> TransformerConfig:
        """The transformer's configuration."""
        vocabulary = self.space.vocabulary(self.prompted_tasks)
        return TransformerConfig(vocabulary=vocabulary, **self.sizes.model_dump())


class Generator(nn.Module):
    """Predicts the semantic ID that follows a sequence of semantic IDs."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config.transformer())

    def search(self) -> ConstrainedBeamSearch:
        """The constrained beam search over this generator's weights."""
        return ConstrainedBeamSearch(self.transformer, self.config.space)

    def loss(self, tokens: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of target tokens ``(B, L)`` after input tokens ``(B, S)``, PAD behind short ones."""
        present = tokens != PAD
        memory = self.transformer.memory(self.transformer.encode(tokens, present), present)
        shifted = F.pad(targets[:, :-1], (1, 0), value=PAD)
        logits = self.transformer.decode(shifted, memory)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), label_smoothing=label_smoothing)

    def pooled(self, tokens: Tensor) -> Tensor:
        """Mean encoder state ``(B, d_model)`` of unpadded tokens ``(B, S)``, for the implicit alignment."""
        return self.transformer.encode(tokens, torch.ones_like(tokens, dtype=torch.bool)).mean(dim=1)

    def save(self, folder: Path) -> None:
        """Writes weights and configuration, each by renaming a finished file."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / f"{WEIGHTS_FILE}.tmp")
        (folder / f"{CONFIG_FILE}.tmp").write_text(self.config.model_dump_json(indent=2))
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            (folder / f"{name}.tmp").replace(folder / name)

    @classmethod
    def load(cls, folder: Path) -> "Generator":
        """Reads what :meth:`save` wrote.

        Raises:
            BundleError: if a file is missing or damaged, or the weights do not fit the configuration beside them.
        """
        try:
            generator = cls(GeneratorConfig.model_validate_json((folder / CONFIG_FILE).read_bytes()))
            generator.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise BundleError(
                f"{folder / WEIGHTS_FILE} with {folder / CONFIG_FILE} is no generator: {error}; "
                "run the generate stage again"
            ) from error
        return generator.eval()
