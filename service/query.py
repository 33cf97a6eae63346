"""What is asked of the recommender, and what it answers."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from model.filters import Filter


class AttributeCap(NamedTuple):
    """At most ``most`` items that share a value of an attribute."""

    attribute: str
    most: int


class PrefixCap(NamedTuple):
    """At most ``most`` items that share the first ``depth`` codes of their semantic IDs in a modality."""

    modality: str
    depth: int
    most: int


Cap = AttributeCap | PrefixCap


@dataclass(frozen=True)
class Query:
    """What is asked.

    Attributes:
        history: item ids, oldest first; unknown ones are skipped.
        k: how many items to recommend.
        beam: width of the search.
        weights: of the modalities that are searched, all above 0, at least one.
        exclude: item ids never to recommend.
        exclude_seen: whether the whole history is excluded too.
        filter: which items may be recommended; all that are available if not given.
        allow: item ids of which alone may be recommended; all items if not given.
        caps: how many items may be alike.
        blend_below: known items of the history below which popular items are mixed in (:mod:`service.blend`).
        new_after: the first places, which new items must earn by score (:mod:`service.new_items`).
        new_every: behind those, every how-manieth place goes to a new item; 0 gives them none.
        dense: weight of dense scores, where the generator gives any.
    """

    history: tuple[str, ...]
    k: int
    beam: int
    weights: dict[str, float]
    exclude: tuple[str, ...] = ()
    exclude_seen: bool = True
    filter: Filter | None = None
    allow: tuple[str, ...] | None = None
    caps: tuple[Cap, ...] = ()
    blend_below: int = 0
    new_after: int = 0
    new_every: int = 0
    dense: float = 0.0


class Recommended(NamedTuple):
    """One recommendation.

    Attributes:
        item: its index.
        score: fused over the lists that were searched; of a popular item its share of all events; of a new item how
            like it is to what is expected.
        ranks: its rank in the list of each modality that found it, from 1; of popular and new items none.
        scores: its score there, the mean log-probability per code.
        is_new: whether it stands where it does because it is new, rather than by its score.
    """

    item: int
    score: float
    ranks: dict[str, int]
    scores: dict[str, float]
    is_new: bool = False

    @property
    def source(self) -> Literal["generated", "popular", "new"]:
        """Where it comes from: the search finds an item in at least one list."""
        if self.is_new:
            return "new"
        return "generated" if self.ranks else "popular"


@dataclass(frozen=True)
class Recommendation:
    """The answer, best first.

    Attributes:
        items: at most k.
        generated: whether the search was asked; False where only popular items are recommended.
        unknown_items: how many items of the history the catalog lacks.
        reachable: how many items the filter, the allow list and the exclusions leave.
        cut_short: whether more items might have come if caps did not bound the number of searches.
        unknown_allowed: how many ids of the allow list the catalog lacks.
        filter_known: whether what the filter allows was known from an earlier request; None where nothing was asked.
        states_known: whether the history's beginning was encoded for an earlier request; None where that is of no use.
        searches: how many searches ran as one with the first one of this answer; 0 where none was asked.
        seconds: time of each stage: filter (if there is one), prepare, search, fuse.
    """

    items: list[Recommended]
    generated: bool
    unknown_items: int
    reachable: int
    cut_short: bool = False
    unknown_allowed: int = 0
    filter_known: bool | None = None
    states_known: bool | None = None
    searches: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
