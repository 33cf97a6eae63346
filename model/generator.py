"""The generator: a transformer over the tokens of one ID space, with a learned prompt for each prompted task."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from model.beam_search import ConstrainedBeamSearch
from model.code_tokens import code_embeddings, codes_of, modality_of
from model.config import Config
from model.errors import BundleError
from model.generator_shape import GeneratorShape
from model.history_tokens import tokens_per_item
from model.semantic_ids import PAD, IdSpace
from model.transformer import Transformer, latest
from model.transformer_config import TransformerConfig, TransformerSizes

WEIGHTS_FILE = "generator.safetensors"
CONFIG_FILE = "config.json"


class Encoded(NamedTuple):
    """States ``(B, P, d_model)`` of the encoder's positions, and which ``(B, P)`` bool something fills."""

    states: Tensor
    present: Tensor


class GeneratorConfig(Config):
    """What rebuilds a generator: its ID space, how many prompts it learned, the longest history, and its sizes."""

    space: IdSpace
    prompted_tasks: int
    max_history: int = 20
    sizes: TransformerSizes = TransformerSizes()
    shape: GeneratorShape = GeneratorShape()

    @property
    def tokens_per_position(self) -> int:
        """How many tokens of a history share a position of the encoder."""
        return tokens_per_item(self.space, "item") if self.shape.position == "item" else 1

    def transformer(self) -> TransformerConfig:
        """The transformer's configuration."""
        return TransformerConfig(
            vocabulary=self.space.vocabulary(self.prompted_tasks),
            tokens_per_position=self.tokens_per_position,
            causal=self.shape.causal,
            starts_from_state=self.shape.start == "state",
            **self.sizes.model_dump(),
        )


class Generator(nn.Module):
    """Predicts the semantic ID that follows a sequence of semantic IDs."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config.transformer())

    def search(self) -> ConstrainedBeamSearch:
        """The constrained beam search over this generator's weights."""
        return ConstrainedBeamSearch(self.transformer, self.config.space, self.config.shape)

    def loss(
        self, tokens: Tensor, targets: Tensor, siblings: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Mean cross-entropy of the targets' codes.

        Args:
            tokens: ``(B, S)`` int64 histories, PAD behind short ones and in place of what is left out.
            targets: ``(B, T, K, L)`` int64 tokens, PAD where there is no target. One item (T = 1) follows the whole
                history; of several, each follows an equal part of the history's positions, the last one all of them, so
                the generator must be causal. An item is a target in one modality (K = 1) or in each of them.
            siblings: ``(B, T, K, L, M)`` bool, which codes the softmax over the catalog ranges over at each level.
            label_smoothing: share of the target's probability that is spread over what the softmax ranges over.
        """
        return self.token_loss(self.encode(tokens), targets, siblings, label_smoothing)

    def encode(self, tokens: Tensor) -> Encoded:
        """Histories ``(B, S)`` int64 as the encoder reads them."""
        present = self.transformer.present(tokens)
        return Encoded(self.transformer.encode(tokens, present), present)

    def token_loss(
        self, encoded: Encoded, targets: Tensor, siblings: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """As :meth:`loss`, of histories that are encoded."""
        transformer = self.transformer
        memory = transformer.memory(encoded.states, encoded.present, targets.shape[1])
        states = transformer.decode_targets(F.pad(targets[..., :-1], (1, 0), value=PAD), memory)
        if self.config.shape.softmax == "vocabulary":
            logits = transformer.logits(states).float()
            return F.cross_entropy(
                logits.flatten(0, -2), targets.flatten(), ignore_index=PAD, label_smoothing=label_smoothing
            )
        assert siblings is not None, "a softmax over the catalog needs the codes that it ranges over"
        logits, codes = self._code_logits(states, targets).float(), codes_of(self.config.space, targets)
        costs, wanted = siblings_cross_entropy(logits, codes, siblings, label_smoothing), (targets != PAD).float()
        return (costs * wanted).sum() / wanted.sum()

    def dense_loss(
        self, encoded: Encoded, items: Tensor, candidates: Tensor, correction: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy of the targets' dense scores (:mod:`model.dense`) among candidates.

        Args:
            encoded: histories of P positions.
            items: ``(B, P)`` int64, which of the candidates follows each position of the input, -1 where none does.
            candidates: ``(n, m * L)`` int64, their tokens.
            correction: ``(n,)``, what is added to the candidates' scores: drawn ones stand for others.

        Returns:
            0 where nothing follows anything.
        """
        positions = torch.arange(items.shape[1], device=items.device)
        states = latest(encoded.states, encoded.present, positions <= positions[:, None])
        rows = (items.flatten() >= 0).nonzero().squeeze(1)
        vectors = F.embedding(candidates, self.transformer.embedding).sum(dim=1) * candidates.shape[1] ** -0.5
        scores = self.transformer.logits_of(states.flatten(0, 1)[rows], vectors).float()
        wanted = items.flatten()[rows]
        if correction is not None:
            scores = scores + correction
        return F.cross_entropy(scores, wanted, reduction="sum") / max(1, len(wanted))

    def pooled(self, tokens: Tensor) -> Tensor:
        """Mean encoder state ``(B, d_model)`` float32 of unpadded tokens ``(B, S)``, for the implicit alignment."""
        return self.transformer.encode(tokens, self.transformer.present(tokens)).float().mean(dim=1)

    def _code_logits(self, states: Tensor, targets: Tensor) -> Tensor:
        """Logits ``(B, T, K, L, M)`` of each target's modality and levels, one modality at a time."""
        space, embeddings = self.config.space, code_embeddings(self.config.space, self.transformer.embedding)
        if targets.shape[2] == len(space.modalities):
            columns = zip(states.unbind(2), embeddings, strict=True)
            return torch.stack([self._logits_of_levels(own, of_levels) for own, of_levels in columns], dim=2)
        modality = modality_of(space, targets[..., 0])
        logits = states.new_zeros(*targets.shape, space.codes)
        for index, of_levels in enumerate(embeddings):
            rows = (modality == index).nonzero(as_tuple=True)
            logits = logits.index_put(rows, self._logits_of_levels(states[rows], of_levels))
        return logits

    def _logits_of_levels(self, states: Tensor, of_levels: Tensor) -> Tensor:
        """Logits ``(..., L, M)`` of states ``(..., L, d_model)`` for the codes' embeddings ``(L, M, d_model)``."""
        by_level = states.flatten(0, -3).transpose(0, 1)
        found = self.transformer.logits_of(by_level, of_levels).transpose(0, 1)
        return found.reshape(*states.shape[:-1], of_levels.shape[1])

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


def siblings_cross_entropy(logits: Tensor, codes: Tensor, siblings: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of codes ``(..., L)`` under a softmax of logits ``(..., L, M)`` over siblings, bool, likewise.

    With label smoothing e and S siblings, the target is to have 1 - e + e / S and each other sibling e / S.
    """
    counted = siblings.to(logits.dtype)
    log_probabilities = (logits + (1 - counted) * -1e9).log_softmax(dim=-1)
    own = log_probabilities.gather(-1, codes[..., None]).squeeze(-1)
    if not label_smoothing:
        return -own
    everyone = (log_probabilities * counted).sum(-1) / counted.sum(-1).clamp(min=1)
    return -((1 - label_smoothing) * own + label_smoothing * everyone)
