"""The catalog's items: reading, changing, deleting them, and finding similar ones."""

import asyncio
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query
from pydantic import ValidationError

from model.item_inputs import ItemInputs
from model.item_pages import page
from model.live_catalog import LiveCatalog
from model.similar import similar_items
from service.dependencies import ServiceDep, require_key
from service.item_schemas import (
    Availability,
    BatchResponse,
    BatchRow,
    ItemBatch,
    ItemBody,
    ItemPage,
    ItemResponse,
    ItemRow,
    ItemSummary,
    SimilarItem,
    SimilarResponse,
    UpsertResponse,
    WrittenResponse,
)
from service.item_writer import ItemWritten
from service.problems import UNKNOWN_ITEM, Problem, documented
from service.routes.item_paths import ItemId, ItemRoute
from service.schemas import MAX_ID_LENGTH
from service.service import Service
from service.snapshot import Snapshot

router = APIRouter(tags=["items"], route_class=ItemRoute)

MAX_PAGE = 1_000
MAX_SIMILAR = 200
READS, WRITES = documented(404, 422, 503), documented(401, 404, 409, 413, 422, 429, 503)

Cursor = Annotated[str | None, Query(max_length=MAX_ID_LENGTH, description="`next` of the page before.")]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]
SimilarCount = Annotated[int, Query(ge=1, le=MAX_SIMILAR)]


@router.get("/items", responses=documented(422, 503))
async def list_items(service: ServiceDep, limit: PageSize = 100, cursor: Cursor = None) -> ItemPage:
    """The items that are there in the order of their ids; a page misses or repeats none while others come and go."""
    return await asyncio.to_thread(_page, service.snapshot().catalog, limit, cursor)


@router.post("/items/batch", responses=WRITES, dependencies=[Depends(require_key)])
async def put_items(body: ItemBatch, service: ServiceDep) -> BatchResponse:
    """Stores up to 1,000 items; a bad one fails alone. One that is sent again as it is changes nothing."""
    parsed = await asyncio.to_thread(lambda: [_parse(row) for row in body.items])
    written, visible = await service.items.upsert([row for row in parsed if not isinstance(row, BatchRow)])
    stored = iter(written)
    rows = [
        each if isinstance(each, BatchRow) else _batch_row(next(stored))  # one result for each row that could be read
        for each in parsed
    ]
    failed = sum(row.status != 200 for row in rows)
    return BatchResponse(items=rows, stored=len(rows) - failed, failed=failed, visible=visible)


@router.put("/items/{item_id:path}/availability", responses=WRITES, dependencies=[Depends(require_key)])
async def set_availability(item_id: ItemId, body: Availability, service: ServiceDep) -> WrittenResponse:
    """Takes an item out of all recommendations, or back in; its texts and codes stay."""
    written, visible = await service.items.mark(item_id, "show" if body.available else "hide")
    return WrittenResponse(id=item_id, sequence=written.sequence, changed=written.changed, visible=visible)


@router.get("/items/{item_id:path}/similar", responses=READS)
async def read_similar(item_id: ItemId, service: ServiceDep, k: SimilarCount = 10) -> SimilarResponse:
    """Available items with the nearest semantic IDs; nothing is asked of the generator."""
    snapshot = service.snapshot()
    item = _find(snapshot, item_id)
    return await asyncio.to_thread(_similar, service, snapshot, item, k)


@router.get("/items/{item_id:path}", responses=READS)
async def read_item(item_id: ItemId, service: ServiceDep) -> ItemResponse:
    """An item's metadata and semantic IDs."""
    snapshot = service.snapshot()
    catalog, item = snapshot.catalog, _find(snapshot, item_id)
    return ItemResponse(
        **_summary(catalog, item).model_dump(),
        semantic_ids={
            modality: catalog.codes(number, np.array([item]))[0].tolist()
            for number, modality in enumerate(catalog.space.modalities)
        },
        popularity=int(catalog.popularity_of(np.array([item]))[0]),
        catalog_version=snapshot.version,
    )


@router.put("/items/{item_id:path}", responses=WRITES, dependencies=[Depends(require_key)])
async def put_item(item_id: ItemId, body: ItemBody, service: ServiceDep) -> UpsertResponse:
    """Stores all that is told of an item, new or known; a new one gets its semantic IDs here, and keeps them for ever.

    The bundle's encoders read texts and image; `embeddings` take their place, or serve where it has none. What is
    missing is predicted from the rest. The answer comes when the item is stored durably.
    """
    [result], visible = await service.items.upsert([(item_id, body.inputs())])
    if result.written is None:
        raise result.problem or AssertionError("an item is stored or has a problem")
    space = service.snapshot().catalog.space
    codes = np.frombuffer(result.written.codes, dtype=np.uint8).reshape(len(space.modalities), space.levels)
    return UpsertResponse(
        id=item_id,
        sequence=result.written.sequence,
        changed=result.written.changed,
        visible=visible,
        semantic_ids=dict(zip(space.modalities, codes.tolist(), strict=True)),
    )


@router.delete("/items/{item_id:path}", responses=WRITES, dependencies=[Depends(require_key)])
async def delete_item(item_id: ItemId, service: ServiceDep) -> WrittenResponse:
    """Deletes an item: it is not recommended unless it is put again; histories that name it stay as they are."""
    written, visible = await service.items.mark(item_id, "delete")
    return WrittenResponse(id=item_id, sequence=written.sequence, changed=written.changed, visible=visible)


def _page(catalog: LiveCatalog, limit: int, cursor: str | None) -> ItemPage:
    found = page(catalog, cursor, limit + 1)
    shown = found[:limit]
    return ItemPage(
        items=[_summary(catalog, item) for item in shown],
        next=catalog.item_id(shown[-1]) if len(found) > limit else None,
        catalog_version=catalog.version,
    )


def _find(snapshot: Snapshot, item_id: str) -> int:
    """The number of an item that is there."""
    item = snapshot.catalog.find(item_id)
    if item is None or snapshot.catalog.deleted[item]:
        raise Problem(UNKNOWN_ITEM, f"catalog {snapshot.version} has no item with this id")
    return item


def _summary(catalog: LiveCatalog, item: int) -> ItemSummary:
    metadata = catalog.metadata(item)
    return ItemSummary(
        id=catalog.item_id(item),
        title=str(metadata.pop("title", "")),
        metadata=metadata,
        available=bool(catalog.available[item]),
    )


def _similar(service: Service, snapshot: Snapshot, item: int, k: int) -> SimilarResponse:
    encoder, catalog = service.follower.encoder(snapshot.bundle), snapshot.catalog
    found = similar_items(catalog, item, k, None if encoder is None else encoder.codebooks)
    names = catalog.space.modalities
    items = [
        SimilarItem(
            **_summary(catalog, each.item).model_dump(),
            similarity=each.similarity,
            shared=dict(zip(names, each.shared, strict=True)),
            distance=None if each.distance is None else dict(zip(names, each.distance, strict=True)),
        )
        for each in found
    ]
    return SimilarResponse(items=items, catalog_version=snapshot.version)


def _parse(row: dict[str, Any]) -> tuple[str, ItemInputs] | BatchRow:
    """The id and the inputs of one row of a batch, or what is wrong with it."""
    try:
        return ItemRow.model_validate(row).pair
    except ValidationError as error:
        found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5]]
        item_id = row.get("id")
        return BatchRow(id=item_id if isinstance(item_id, str) else None, status=422, detail="; ".join(found))


def _batch_row(each: ItemWritten) -> BatchRow:
    if each.written is None:
        assert each.problem is not None
        return BatchRow(id=each.item_id, status=each.problem.status_code, detail=each.problem.detail)
    return BatchRow(id=each.item_id, status=200, sequence=each.written.sequence, changed=each.written.changed)
