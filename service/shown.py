"""What an answer shows: items with their metadata, explanations, and why there are fewer than asked for."""

from model.live_catalog import LiveCatalog
from service import schemas
from service.diversity import MAX_ROUNDS
from service.explain import SharedPrefix
from service.query import Query, Recommendation, Recommended
from service.schemas import RecommendedItem


def shortage(query: Query, result: Recommendation) -> list[str]:
    """Why there are fewer items than asked for; nothing if there are as many."""
    found = len(result.items)
    if found == query.k:
        return []
    said = f"{found} of {query.k} items"
    if result.cut_short:
        return [f"{said}: {MAX_ROUNDS} searches found no more that max_per lets pass"]
    if found < result.reachable:
        return [f"{said}: max_per lets no other of {result.reachable} items pass"]
    rules = [
        name for name, given in (("the allow list", query.allow), ("the filter", query.filter)) if given is not None
    ]
    if not rules:
        return [f"{said}: the rest of the catalog is excluded"]
    return [f"{said}: {', '.join(rules)} and the exclusions leave no more"]


def shown_items(
    catalog: LiveCatalog, result: Recommendation, prefixes: list[list[SharedPrefix]] | None
) -> list[RecommendedItem]:
    """The recommendations as the API shows them."""
    items = []
    for index, recommended in enumerate(result.items):
        metadata = catalog.metadata(recommended.item)
        items.append(
            RecommendedItem(
                id=catalog.item_id(recommended.item),
                rank=index + 1,
                score=recommended.score,
                source=recommended.source,
                title=str(metadata.pop("title", "")),
                metadata=metadata,
                ranks=recommended.ranks,
                explanation=None if prefixes is None else _explanation(catalog, recommended, prefixes[index]),
            )
        )
    return items


def _explanation(catalog: LiveCatalog, recommended: Recommended, prefixes: list[SharedPrefix]) -> schemas.Explanation:
    """An explanation as the API shows it."""
    places = {
        modality: schemas.ListPlace(rank=rank, score=recommended.scores[modality])
        for modality, rank in recommended.ranks.items()
    }
    shared = [
        schemas.SharedPrefix(
            item_id=catalog.item_id(prefix.item), modality=prefix.modality, depth=len(prefix.codes), codes=prefix.codes
        )
        for prefix in prefixes
    ]
    return schemas.Explanation(lists=places, shared_prefixes=shared)
