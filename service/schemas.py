"""Requests and responses, as the API documents them."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from model.bundle import Precision
from model.conditions import Name
from model.filters import Filter
from model.fusion import FusionConfig
from service.problems import ProblemDetails

MAX_ID_LENGTH = 512
MAX_HISTORY = 1_000
MAX_EXCLUDED = 10_000
MAX_EVENTS = 1_000
MAX_BATCH = 1_000
MAX_ALLOWED = 100_000
MAX_CAPS = 4

Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Body(BaseModel):
    """A request body: an unknown field is an error, so that a typo cannot pass unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Response(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class PrefixLimit(Body):
    """How many items may share the beginning of their semantic IDs."""

    depth: int = Field(ge=1, description="How many codes are the beginning; fewer codes make wider groups.")
    items: int = Field(ge=1, description="How many items of a group an answer may hold.")


class RecommendRequest(Body):
    """Asks for the next items of a user, a history, or a user's stored history followed by a given one."""

    user_id: Id | None = Field(None, description="Whose stored history to use.")
    history: list[Id] | None = Field(
        None,
        max_length=MAX_HISTORY,
        description="Item ids, oldest first. They follow the stored history, which loses the items that are given "
        "here, so that events which were sent and are given too do not count twice.",
    )
    k: int | None = Field(None, ge=1, description="How many items to recommend.")
    beam: int | None = Field(None, ge=1, description="Width of the search; at least k is used, up to the server's cap.")
    weights: dict[str, Weight] | None = Field(None, description="Weight of each list, dense too; 0 leaves it out.")
    exclude: list[Id] = Field([], max_length=MAX_EXCLUDED, description="Item ids never to recommend.")
    exclude_seen: bool = Field(True, description="Whether to leave out every item of the history.")
    filter: Filter | None = Field(
        None,
        description="Which items may be recommended, by category, attributes and availability. Items without an "
        "attribute do not satisfy a condition on it, so `not` of the condition lets them pass; values are compared "
        "exactly and with their type; ranges include their ends. Unavailable items are left out unless the filter "
        "says something about `available`.",
    )
    allow: list[Id] | None = Field(
        None, max_length=MAX_ALLOWED, description="Recommend nothing but these items, less those filtered or excluded."
    )
    max_per: dict[Name, Annotated[int, Field(ge=1)]] = Field(
        {},
        max_length=MAX_CAPS,
        description="How many items may share a value of an attribute, by its name. Items are taken down the ranking, "
        "skipping those with a value that is full; if too few are left, the search runs again without the full values.",
        examples=[{"category": 2}],
    )
    max_per_prefix: dict[Name, PrefixLimit] = Field(
        {},
        max_length=MAX_CAPS,
        description="How many items may share the first codes of their semantic IDs, by modality; else as `max_per`.",
        examples=[{"text": {"depth": 1, "items": 3}}],
    )
    new_after: int | None = Field(
        None,
        ge=0,
        description="The first places, which items that came after training must earn by score; the server's setting "
        "if not given.",
    )
    new_every: int | None = Field(
        None,
        ge=0,
        description="Behind those, every how-manieth place goes to the best item that came after training; 0 gives "
        "them none. The server's setting if not given.",
    )
    explain: bool = Field(False, description="Whether to say for each item why it was recommended.")
    timeout: float | None = Field(None, gt=0, le=3600, description="Seconds to wait; the server's deadline also holds.")

    @model_validator(mode="after")
    def _has_history(self) -> Self:
        """A request without both is a mistake rather than a new user, who has an empty history."""
        if self.user_id is None and self.history is None:
            raise ValueError("give user_id, history or both; an empty history asks for the most popular items")
        return self


class ListPlace(Response):
    """Where an item stands in one modality's list, or by dense scores among all candidates."""

    rank: int = Field(description="From 1.")
    score: float = Field(description="Log-probability per code.")


class SharedPrefix(Response):
    """An item of the history whose semantic ID begins with the same codes."""

    item_id: str
    modality: str
    depth: int = Field(description="How many codes are the same, from the first on.")
    codes: list[int]


class Explanation(Response):
    """Why an item was recommended."""

    lists: dict[str, ListPlace] = Field(
        description="Its place in each list that holds it; none for popular and new items."
    )
    shared_prefixes: list[SharedPrefix] = Field(
        description="Items of the history that the search read and that share a prefix with it; the deepest first, "
        "then by modality, then the latest."
    )


class RecommendedItem(Response):
    """One recommendation."""

    id: str
    rank: int = Field(description="From 1.")
    score: float = Field(
        description="Fused mean log-probability per code; of popular items their share of all events, of new items how "
        "like they are to what is expected next: neither compares with the others' scores."
    )
    source: Literal["generated", "popular", "new"] = Field(
        description="Popular items fill the answer if no item of the history is known, and a part of it if few are. "
        "New items stand where items that came after training are given places."
    )
    title: str
    metadata: dict[str, Any]
    ranks: dict[str, int] = Field(description="The item's rank in each list that holds it.")
    explanation: Explanation | None = Field(None, description="Only if asked for.")


class RecommendResponse(Response):
    """The answer to a request for recommendations."""

    items: list[RecommendedItem]
    note: str | None = Field(
        None, description="Why there are fewer items than asked for, and which values of the filter no item has."
    )
    degraded: list[str] = Field(description="What the answer had to do without; empty if nothing.")
    unknown_items: int = Field(description="Items of the history that the catalog lacks; they were skipped.")
    unknown_allowed: int = Field(description="Ids of the allow list that the catalog lacks.")
    catalog_version: str
    model_version: str
    timings_ms: dict[str, float]


class BatchRequest(Body):
    """Many requests in one."""

    requests: list[Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/RecommendRequest"})]] = Field(
        min_length=1, max_length=MAX_BATCH, description="Each as it would be sent alone."
    )


class BatchResponse(Response):
    """The answers in the order of the requests."""

    answers: list[RecommendResponse | ProblemDetails] = Field(
        description="What each request would be answered with alone; a problem has a `status` and no `items`."
    )


class Event(Body):
    """A user met an item."""

    user_id: Id
    item_id: Id
    timestamp: float | None = Field(
        None,
        ge=0,
        le=1e12,
        allow_inf_nan=False,
        description="Seconds since 1970; now if not given, and then the events of a batch keep their order.",
    )
    event_id: Id | None = Field(
        None,
        description="An event id counts once per user, so that sending it again changes nothing. If not given, it is "
        "made of user, item and timestamp; without a timestamp too, every event is a new one.",
    )


class EventBatch(Body):
    """Several events at once."""

    events: list[Event] = Field(min_length=1, max_length=MAX_EVENTS)


class EventResponse(Response):
    """What became of the events."""

    received: int
    added: int = Field(
        description="Newly stored ones: without those that were known already, and those that are older than "
        "everything that is remembered of a full history."
    )


class DeletedUser(Response):
    """What was removed."""

    events: int = Field(description="Events that were stored; 0 for an unknown user.")


class Ready(Response):
    """Requests can be answered."""

    ready: Literal[True] = True
    catalog_version: str


class InfoResponse(Response):
    """What is served, by what, and how."""

    service_version: str
    bundle_version: str
    model_version: str = Field(description="The bundle's generator.")
    catalog_version: str
    catalog_items: int
    catalog_source: Literal["bundle", "registry"]
    catalog_loaded_at: datetime
    space_hash: str
    modalities: list[str]
    levels: int
    codes: int
    provider: str = Field(description="Where the search really runs.")
    captured_graphs: int = Field(description="Sizes of searches that a GPU replays; 0 where nothing is captured.")
    precision: Precision = Field(description="Of the search's products; int8 is not exact.")
    max_history: int = Field(description="Items of a history that the search reads, the latest.")
    parallel_runs: int
    k: int
    max_k: int
    beam: int
    max_beam: int
    fusion: FusionConfig
    metrics: dict[str, Any] = Field(description="What the model reached in its evaluation.")
    data_fingerprint: str
    degraded: list[str]
