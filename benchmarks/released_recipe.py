"""The released recipe's way of training: Hugging Face's T5 with its own vocabulary, fed with strings."""

import re

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

from model.transformer_config import TransformerSizes
from tests.hugging_face import t5_config
from training.devices import Precision, mixed_precision
from training.generator_data import GeneratorData

T5_VOCABULARY = 32_128
LETTERS = "abcd", "ABCD"
IGNORED = -100


def written(codes: NDArray[np.uint8], modality: int) -> list[str]:
    """Each item's ID ``(N, L)`` as a string such as ``<a_12><b_3><c_4><d_5>``."""
    letters = LETTERS[modality]
    return ["".join(f"<{letters[level]}_{code}>" for level, code in enumerate(item)) for item in codes.tolist()]


def build_tokenizer(codes: int) -> PreTrainedTokenizerFast:
    """T5's vocabulary, its pieces nameless, and behind it one token for each code; an end token closes every text.

    Splitting at the brackets is less work than T5's own search for pieces.
    """
    specials = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    pieces = {f"piece {index}": index for index in range(len(specials), T5_VOCABULARY)}
    names = [f"<{letter}_{code}>" for letter in "".join(LETTERS) for code in range(codes)]
    tokens = {name: T5_VOCABULARY + index for index, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(specials | pieces | tokens, unk_token=list(specials)[2]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(re.escape("<") + "[^>]*" + re.escape(">")), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    roles = dict(zip(("pad_token", "eos_token", "unk_token"), specials, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)  # type: ignore[no-untyped-call]


class ReleasedRecipe:
    """Every prefix of every history in each of two modalities as a pair of strings, drawn at random."""

    def __init__(
        self, data: GeneratorData, max_history: int, batch: int, device: torch.device, precision: Precision
    ) -> None:
        """Writes all examples out, as the released data set does, and builds a T5 of the published sizes."""
        torch.manual_seed(0)
        self.batch, self.device, self.precision = batch, device, precision
        self.examples = _examples(data, max_history)
        self.tokenizer = build_tokenizer(data.space.codes)
        self.model = _t5(len(self.tokenizer)).to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01)
        self.random = np.random.default_rng(0)

    def step(self) -> int:
        """One update; returns how many targets it learned from."""
        chosen = [self.examples[row] for row in self.random.integers(0, len(self.examples), self.batch)]
        inputs = self._tokens([history for history, _ in chosen])
        labels = self._tokens([target for _, target in chosen])["input_ids"]
        labels = labels.masked_fill(labels == self.tokenizer.pad_token_id, IGNORED)
        with mixed_precision(self.device, self.precision):
            loss = self.model(**inputs, labels=labels).loss
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return len(chosen)

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """Token ids and their mask, padded to the longest."""
        encoded = self.tokenizer(texts, padding="longest", return_tensors="pt")
        return {name: encoded[name].to(self.device) for name in ("input_ids", "attention_mask")}


def _t5(vocabulary: int) -> nn.Module:
    """A T5 of the published sizes with random weights."""
    sizes = TransformerSizes()
    config = t5_config(sizes, vocabulary, sizes.dropout)
    model: nn.Module = T5ForConditionalGeneration(config)
    return model


def _examples(data: GeneratorData, max_history: int) -> list[tuple[str, str]]:
    """All training prefixes and their targets, in each modality."""
    pairs = data.split.training_pairs()
    histories = data.split.training_histories(pairs, max_history)
    targets = data.split.training_targets(pairs).tolist()
    rows = [row[:length] for row, length in zip(histories.items.tolist(), histories.lengths.tolist(), strict=True)]
    found = []
    for modality, codes in enumerate(data.codes):
        names = written(codes, modality)
        found += [
            ("".join(names[item] for item in row), names[target]) for row, target in zip(rows, targets, strict=True)
        ]
    return found
