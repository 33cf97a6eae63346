"""What the generator learns from: the split, the items' semantic IDs, and the trie of valid IDs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from model.semantic_ids import IdSpace
from model.trie import Trie, build_trie
from training.id_space_file import read_id_space
from training.interactions import Interactions
from training.items import read_items
from training.split import MIN_EVENTS, Split, SplitConfig


@dataclass(frozen=True)
class GeneratorData:
    """The split, the ID space, the items' codes ``(m, N, L)`` uint8 and their trie."""

    split: Split
    space: IdSpace
    codes: NDArray[np.uint8]
    trie: Trie

    @classmethod
    def build(
        cls,
        interactions: Interactions,
        space: IdSpace,
        codes: NDArray[np.uint8],
        item_ids: list[str],
        test_events: int = 1,
    ) -> "GeneratorData":
        """Splits the interactions and builds the trie, items on one leaf by training count, then id.

        Raises:
            DataError: if no user has enough events to validate and test on.
        """
        split = Split(interactions, test_events)
        if not len(split.users):
            raise DataError(f"no user has {MIN_EVENTS} events, so that nothing can be held out; more data is needed")
        best_first = np.lexsort((np.array(item_ids), -split.training_counts(len(item_ids))))
        return cls(split, space, codes, build_trie(codes, np.argsort(best_first)))

    @classmethod
    def load(cls, prepare: Path, assign: Path, split: SplitConfig) -> "GeneratorData":
        """Reads the folders of the stages ``prepare`` and ``assign``."""
        item_ids = [item.id for item in read_items(prepare / "items.jsonl")]
        interactions = Interactions.load(prepare / "interactions.npz")
        codes = np.load(assign / "codes.npy", allow_pickle=False)
        return cls.build(interactions, read_id_space(assign / "id_space.json"), codes, item_ids, split.test_events)
