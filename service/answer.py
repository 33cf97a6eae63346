"""One recommendation from request to response: limits, admission, history, search, and what the answer tells."""

import time
from typing import NamedTuple

from model.errors import FilterError
from model.filter_check import Known, check_attribute, check_filter
from model.list_names import DENSE
from model.live_catalog import LiveCatalog
from service.explain import SharedPrefix, shared_prefixes
from service.problems import invalid
from service.query import AttributeCap, Cap, PrefixCap, Query, Recommendation
from service.scheduler import Leaving, Ticket
from service.schemas import RecommendedItem, RecommendRequest, RecommendResponse
from service.service import Service
from service.settings import Settings
from service.shown import shortage, shown_items
from service.snapshot import Snapshot


class Asked(NamedTuple):
    """A request that was checked, and what it will be answered with.

    Attributes:
        request: as it came.
        snapshot: model and catalog.
        weights: of the modalities to search, and of dense scores.
        seconds: until its deadline.
        started: when it was checked, by the performance counter.
    """

    request: RecommendRequest
    snapshot: Snapshot
    weights: dict[str, float]
    seconds: float
    started: float


async def answer(service: Service, request: RecommendRequest, leaving: Leaving) -> RecommendResponse:
    """Answers a request.

    Args:
        service: the running service.
        request: what is asked.
        leaving: returns when the client has left.

    Raises:
        Problem: 422 beyond a limit, 429 if the queue is full, 503 while starting or draining, 504 past the deadline.
        ClientLeftError: if the client left before the search began.
    """
    asked = check(service, request)
    with service.scheduler.admit(asked.seconds) as ticket:
        return await answer_admitted(service, asked, ticket, leaving)


def check(service: Service, request: RecommendRequest) -> Asked:
    """Raises a 422 for what cannot be asked, and a 503 while the service starts; rules are checked by the worker."""
    started = time.perf_counter()
    settings, snapshot = service.settings, service.snapshot()
    check_limits(request, settings)
    return Asked(
        request=request,
        snapshot=snapshot,
        weights=effective_weights(request, settings, snapshot),
        seconds=min(request.timeout or settings.deadline, settings.deadline),
        started=started,
    )


async def answer_admitted(service: Service, asked: Asked, ticket: Ticket, leaving: Leaving) -> RecommendResponse:
    """Answers a request that has a place in the queue; raises as :func:`answer` does."""
    request, snapshot, settings = asked.request, asked.snapshot, service.settings
    history, degraded = await _history(service, request)
    stored = time.perf_counter()
    query = Query(
        history=tuple(history),
        k=request.k or settings.k,
        beam=request.beam or settings.beam,
        weights={name: weight for name, weight in asked.weights.items() if name != DENSE},
        dense=asked.weights.get(DENSE, 0.0),
        exclude=tuple(request.exclude),
        exclude_seen=request.exclude_seen,
        filter=request.filter,
        allow=None if request.allow is None else tuple(request.allow),
        caps=_caps(request),
        blend_below=settings.blend_below,
        new_after=settings.new_after if request.new_after is None else request.new_after,
        new_every=settings.new_every if request.new_every is None else request.new_every,
    )
    ran = await ticket.run(lambda: _recommend(service, asked, query), leaving)
    result, items, hints = ran.result
    seconds = {"store": stored - asked.started, "queue": ran.waited, **result.seconds}
    seconds["total"] = time.perf_counter() - asked.started
    _observe(service, result, seconds)
    return RecommendResponse(
        items=items,
        note="; ".join([*shortage(query, result), *hints]) or None,
        degraded=degraded,
        unknown_items=result.unknown_items,
        unknown_allowed=result.unknown_allowed,
        catalog_version=snapshot.version,
        model_version=snapshot.model_version,
        timings_ms={stage: round(duration * 1e3, 3) for stage, duration in seconds.items()},
    )


def check_limits(request: RecommendRequest, settings: Settings) -> None:
    """Raises a 422 for what this server does not allow."""
    if (request.k or 0) > settings.max_k:
        raise invalid("body.k", f"{request.k} is over this server's limit of {settings.max_k}")
    if (request.beam or 0) > settings.max_beam:
        raise invalid("body.beam", f"{request.beam} is over this server's limit of {settings.max_beam}")


def effective_weights(request: RecommendRequest, settings: Settings, snapshot: Snapshot) -> dict[str, float]:
    """Weights above 0 of the modalities and of dense scores: the request's, else the server's, else the bundle's."""
    modalities, fusion = snapshot.catalog.space.modalities, snapshot.fusion
    weights = dict(zip(modalities, fusion.list_weights(modalities), strict=True))
    engine = snapshot.engine
    if engine.dense:
        weights[DENSE] = fusion.dense_weight
    asked = request.weights or {}
    for name in asked:
        if name not in weights:
            raise invalid(f"body.weights.{name}", f"no such list; this catalog has {list(weights)}")
    weights |= settings.weights | asked
    used = {name: weight for name, weight in weights.items() if weight > 0 and (name != DENSE or engine.dense)}
    if not used.keys() - {DENSE}:
        raise invalid("body.weights", f"no modality is left to search; give one of {list(modalities)} a weight above 0")
    return used


def check_rules(request: RecommendRequest, catalog: LiveCatalog) -> list[str]:
    """Raises a 422 for what this catalog cannot apply; returns hints about values that no item has."""
    space = catalog.space
    for modality, limit in request.max_per_prefix.items():
        if modality not in space.modalities:
            raise invalid(f"body.max_per_prefix.{modality}", f"no such modality; there are {list(space.modalities)}")
        if limit.depth > space.levels:
            raise invalid(f"body.max_per_prefix.{modality}.depth", f"an ID has {space.levels} codes, not {limit.depth}")
    try:
        return _check_attributes(request, catalog)
    except FilterError as error:
        raise invalid(f"body.{error.field}", error.message) from error


def _check_attributes(request: RecommendRequest, catalog: LiveCatalog) -> list[str]:
    """Raises FilterError for an attribute that no item has; returns hints about values that no item has."""
    try:
        hints = _hints(request, Known([catalog.base.columns]))
    except FilterError:
        if not catalog.upserted:
            raise
    else:
        if not hints or not catalog.upserted:
            return hints
    return _hints(request, Known([catalog.base.columns, catalog.changed_columns]))


def _hints(request: RecommendRequest, known: Known) -> list[str]:
    """See :func:`_check_attributes`, for the attributes that are known."""
    for name in request.max_per:
        check_attribute(name, known, f"max_per.{name}")
    return [] if request.filter is None else check_filter(request.filter, known)


def _caps(request: RecommendRequest) -> tuple[Cap, ...]:
    """The caps of a request."""
    by_value = [AttributeCap(name, most) for name, most in request.max_per.items()]
    by_prefix = [PrefixCap(modality, each.depth, each.items) for modality, each in request.max_per_prefix.items()]
    return (*by_value, *by_prefix)


async def _history(service: Service, request: RecommendRequest) -> tuple[list[str], list[str]]:
    """The stored history followed by the given one, and what had to be done without."""
    degraded = service.degraded
    given = request.history or []
    if request.user_id is None:
        return given, degraded
    stored = await service.history(request.user_id)
    if stored is None:
        return given, [*degraded, "histories"]
    return merge(stored, given), degraded


def merge(stored: list[str], given: list[str]) -> list[str]:
    """The stored history without the items that are given, then the given one.

    What is given is what the user does now. Where its events were sent too, they would stand twice, which the generator
    never saw in training; repeats within each part are the user's own and stay.
    """
    anew = set(given)
    return [item for item in stored if item not in anew] + given


class _Worked(NamedTuple):
    """What a worker gives back: the recommendation, its items as they are shown, and hints about the rules."""

    result: Recommendation
    items: list[RecommendedItem]
    hints: list[str]


def _recommend(service: Service, asked: Asked, query: Query) -> _Worked:
    """What a worker does: all that takes longer with the rules, the catalog or k, so that others are not held up."""
    snapshot = asked.snapshot
    hints = check_rules(asked.request, snapshot.catalog)
    result = service.recommender.recommend(snapshot, query)
    prefixes = _prefixes(snapshot, query, result) if asked.request.explain else None
    return _Worked(result, shown_items(snapshot.catalog, result, prefixes), hints)


def _prefixes(snapshot: Snapshot, query: Query, result: Recommendation) -> list[list[SharedPrefix]]:
    """For each item the prefixes that it shares with what the search read of the history."""
    history, _ = snapshot.catalog.find_many(query.history)
    read = history[-snapshot.engine.max_history :]
    return shared_prefixes(snapshot.catalog, read, [each.item for each in result.items])


def _observe(service: Service, result: Recommendation, seconds: dict[str, float]) -> None:
    """Counts an answer."""
    for stage, duration in seconds.items():
        service.metrics.stage.labels(stage=stage).observe(duration)
    service.metrics.unknown_items.inc(result.unknown_items)
    service.metrics.fallbacks.inc(not result.generated)
    sources = [recommended.source for recommended in result.items]
    service.metrics.blended.inc({"generated", "popular"} <= set(sources))
    service.metrics.new_items.inc(sources.count("new"))
    if result.filter_known is not None:
        service.metrics.filters.labels(result="hit" if result.filter_known else "miss").inc()
    if result.searches:
        service.metrics.merged_searches.observe(result.searches)
    if result.states_known is not None:
        service.metrics.history_states.labels(result="hit" if result.states_known else "miss").inc()
