"""The catalog's items."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path

from service.dependencies import ServiceDep
from service.problems import UNKNOWN_ITEM, Problem, documented
from service.schemas import MAX_ID_LENGTH, ItemResponse

router = APIRouter(tags=["items"], responses=documented(404, 503))

ItemId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)]


@router.get("/items/{item_id}")
async def read_item(item_id: ItemId, service: ServiceDep) -> ItemResponse:
    """An item's metadata and semantic IDs."""
    snapshot = service.snapshot()
    catalog = snapshot.catalog
    item = catalog.find(item_id)
    if item is None:
        raise Problem(UNKNOWN_ITEM, f"catalog {snapshot.version} has no item with this id")
    metadata = catalog.metadata(item)
    return ItemResponse(
        id=item_id,
        title=str(metadata.pop("title", "")),
        metadata=metadata,
        semantic_ids={
            modality: catalog.codes(number, np.array([item]))[0].tolist()
            for number, modality in enumerate(catalog.space.modalities)
        },
        popularity=int(catalog.popularity[item]),
        catalog_version=snapshot.version,
    )
