"""Semantic IDs and the tokens that stand for them: the only place that knows the generator's vocabulary.

Token layout: 0 is padding and the decoder's start; then one token for each (modality, level, code), modality-major;
then PROMPT_LENGTH tokens for each prompted task.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError
from model.list_names import taken_name

PAD = 0
FIRST_CODE_TOKEN = 1
PROMPT_LENGTH = 4
MAX_CODES = 256


@dataclass(frozen=True)
class IdSpace:
    """The semantic IDs that can exist: ``levels`` codes out of ``codes`` for each modality.

    Raises:
        ConfigError: if a size is out of range or a modality is named twice.
    """

    modalities: tuple[str, ...]
    levels: int = 4
    codes: int = 256

    def __post_init__(self) -> None:
        """Checks the sizes; codes are stored as bytes, so a level has at most 256."""
        if (taken := taken_name(self.modalities)) is not None:
            raise ConfigError(f"{taken!r} names a list beside the modalities'; call the modality something else")
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ConfigError(f"modalities must be a non-empty list of distinct names, not {list(self.modalities)}")
        if not 1 <= self.codes <= MAX_CODES:
            raise ConfigError(f"codes must be 1 to {MAX_CODES} (a code is stored in one byte), not {self.codes}")
        if self.levels < 1:
            raise ConfigError(f"levels must be at least 1, not {self.levels}")

    @property
    def code_tokens(self) -> int:
        """How many tokens stand for codes."""
        return len(self.modalities) * self.levels * self.codes

    @property
    def first_prompt_token(self) -> int:
        """The first token behind the code tokens."""
        return FIRST_CODE_TOKEN + self.code_tokens

    def vocabulary(self, prompted_tasks: int = 0) -> int:
        """The number of tokens, for a generator trained with ``prompted_tasks`` learned prompts."""
        return self.first_prompt_token + prompted_tasks * PROMPT_LENGTH

    def modality_index(self, modality: str) -> int:
        """The position of ``modality``.

        Raises:
            ConfigError: if the space has no such modality.
        """
        if modality not in self.modalities:
            raise ConfigError(f"unknown modality {modality!r}; this ID space has {list(self.modalities)}")
        return self.modalities.index(modality)

    def token_offset(self, modality: int, level: int) -> int:
        """The token of code 0 of a modality's level."""
        return FIRST_CODE_TOKEN + (modality * self.levels + level) * self.codes

    def tokens(self, modality: int, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Tokens ``(..., L)`` int64 of codes ``(..., L)`` of one modality."""
        offsets = self.token_offset(modality, 0) + np.arange(self.levels, dtype=np.int64) * self.codes
        return codes.astype(np.int64) + offsets

    def codes_of(self, modality: int, tokens: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Codes ``(..., L)`` uint8 of tokens ``(..., L)`` of one modality; the inverse of :meth:`tokens`."""
        offsets = self.token_offset(modality, 0) + np.arange(self.levels, dtype=np.int64) * self.codes
        return (tokens.astype(np.int64) - offsets).astype(np.uint8)
