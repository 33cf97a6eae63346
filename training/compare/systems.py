"""What is measured: anything that ranks the catalog for the users of a split, whatever it was trained as."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model.fusion import FusionConfig
from model.generator import Generator
from model.list_names import FUSED
from training.baselines import BASELINES, Baseline, target_ranks, top_items
from training.compare.rows import Row
from training.config import RunConfig
from training.devices import pick_device
from training.evaluate import EvaluateConfig
from training.fit_fusion import list_names, read_fusion
from training.fit_sasrec import load_chosen
from training.generator_data import GeneratorData
from training.interactions import Interactions
from training.items import read_items
from training.retrieval import Retriever
from training.sasrec_trainer import SasrecScorer
from training.split import NO_ITEM, Split
from training.validation import HeldOut, draw_users, find_targets, main_list

TOP = 20


class Answers(NamedTuple):
    """A system's answers for V users.

    Attributes:
        ranks: per list the 0-based rank of each target ``(V,)`` int64, ABSENT where it is not found.
        id_ranks: per list of semantic IDs the rank of the target's ID among IDs.
        top: the first items of the main list, int32 ``(V, TOP)``, NO_ITEM where there are fewer.
    """

    ranks: dict[str, NDArray[np.int64]]
    id_ranks: dict[str, NDArray[np.int64]]
    top: NDArray[np.int32]


class System(Protocol):
    """A trained recommender.

    Attributes:
        main: the list that a user would be shown, a key of :attr:`Answers.ranks`.
        parameters: how many numbers were trained, 0 for counts.
        items: N, the size of the catalog.
        split: whose users it answers.
    """

    main: str
    parameters: int
    items: int
    split: Split

    def users(self, split: Split) -> NDArray[np.int64]:
        """The users of a split (or of another look at it) that are measured."""

    def answers(self, split: Split, *, remove_seen: bool) -> Answers:
        """The answers for these users' test targets."""

    def request(self, user: int) -> None:
        """Answers one user's request by itself, as a server would, for timing."""


class Scoring:
    """A system that scores every item: the baselines and SASRec."""

    main = "items"

    def __init__(self, name: str, prepare: Path, config: RunConfig, sasrec: Path | None = None) -> None:
        """The baseline ``name`` on the prepare stage's folder, or the SASRec in the folder ``sasrec``."""
        self.config, self.name = config, name
        self.items = len(read_items(prepare / "items.jsonl"))
        self.split = Split(Interactions.load(prepare / "interactions.npz"), config.split.test_events)
        self.model = None if sasrec is None else load_chosen(sasrec, pick_device(config.sasrec.device))
        self.parameters = 0 if self.model is None else sum(weights.numel() for weights in self.model.parameters())
        self._asked = self._scorer(self.split)

    def users(self, split: Split) -> NDArray[np.int64]:
        """See :class:`System`."""
        return _users(self.config.evaluate, split)

    def answers(self, split: Split, *, remove_seen: bool) -> Answers:
        """See :class:`System`; ranks are exact over the whole catalog."""
        scorer, users = self._scorer(split), self.users(split)
        ranks = target_ranks(scorer, split, self.items, "test", remove_seen=remove_seen)
        top = top_items(scorer, split, users, self.items, "test", remove_seen=remove_seen, count=TOP)
        return Answers({self.main: ranks[np.searchsorted(split.users, users)]}, {}, top)

    def request(self, user: int) -> None:
        """See :class:`System`."""
        top_items(self._asked, self.split, np.array([user]), self.items, "test", remove_seen=True, count=TOP)

    def _scorer(self, split: Split) -> Baseline:
        if self.model is not None:
            return SasrecScorer(self.model, split)
        return BASELINES[self.name.replace("-", "_")](split, self.items)


class Generating:
    """A trained generator with its search over the catalog's semantic IDs."""

    def __init__(self, prepare: Path, assign: Path, generate: Path, fuse: Path, config: RunConfig) -> None:
        """Reads the folders of the stages; how lists are joined is the configuration's, chosen weights the stage's."""
        self.config = config
        self.fusion: FusionConfig = config.fusion.plain().model_copy(update={"weights": read_fusion(fuse).weights})
        self.data = GeneratorData.load(prepare, assign, config.split)
        self.split, self.items = self.data.split, self.data.codes.shape[1]
        self.device = pick_device(config.evaluate.device)
        self.generator = Generator.load(generate).to(self.device)
        self.parameters = sum(weights.numel() for weights in self.generator.parameters())
        names = list_names(self.generator)
        self.main = FUSED if len(names) > 1 else names[0]
        self._retriever = self.retriever()

    def retriever(self, batch_size: int = 128) -> Retriever:
        """The search over the trained IDs."""
        data = self.data
        return Retriever(self.generator.search(), data.space, data.codes, data.trie, self.device, batch_size)

    def held_out(self, split: Split, users: NDArray[np.int64], *, remove_seen: bool) -> HeldOut:
        """The test targets of some users."""
        return HeldOut(split, users, "test", self.generator.config.max_history, remove_seen)

    def users(self, split: Split) -> NDArray[np.int64]:
        """See :class:`System`."""
        return _users(self.config.evaluate, split)

    def answers(self, split: Split, *, remove_seen: bool) -> Answers:
        """See :class:`System`; ranks behind the ends of the beams' lists are ABSENT."""
        held_out = self.held_out(split, self.users(split), remove_seen=remove_seen)
        found = find_targets(self._retriever, held_out, self.config.evaluate.beam, self.fusion)
        id_ranks = {name: one.ranks.semantic_id for name, one in found.items() if one.ranks.semantic_id is not None}
        return Answers({name: one.ranks.item for name, one in found.items()}, id_ranks, _padded(main_list(found).items))

    def request(self, user: int) -> None:
        """See :class:`System`."""
        held_out = self.held_out(self.split, np.array([user]), remove_seen=True)
        find_targets(self._retriever, held_out, self.config.evaluate.beam, self.fusion)


def load_system(row: Row, config: RunConfig, folders: dict[str, Path]) -> System:
    """The system of a row that was trained into the stages' ``folders``."""
    if row.kind == "generator":
        return Generating(folders["prepare"], folders["assign"], folders["generate"], folders["fuse"], config)
    return Scoring(row.name, folders["prepare"], config, folders.get("sasrec"))


def _users(config: EvaluateConfig, split: Split) -> NDArray[np.int64]:
    return draw_users(split, config.users, config.seed)


def _padded(lists: Sequence[NDArray[np.integer]]) -> NDArray[np.int32]:
    top = np.full((len(lists), TOP), NO_ITEM, dtype=np.int32)
    for row, items in enumerate(lists):
        top[row, : len(items[:TOP])] = items[:TOP]
    return top
