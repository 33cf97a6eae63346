"""The catalog as a whole."""

from datetime import UTC, datetime

from fastapi import APIRouter

from service.dependencies import ServiceDep
from service.item_schemas import CatalogResponse
from service.problems import documented

router = APIRouter(tags=["catalog"])


@router.get("/catalog", responses=documented(503))
async def read_catalog(service: ServiceDep) -> CatalogResponse:
    """What is served: versions, sizes, age, and how far the live log is in it."""
    snapshot = service.snapshot()
    catalog = snapshot.catalog
    there = catalog.trie.items
    return CatalogResponse(
        catalog_version=catalog.version,
        base_version=catalog.base.version,
        model_version=snapshot.model_version,
        space_hash=catalog.space_hash,
        items=there,
        unavailable=catalog.unavailable,
        deleted=len(catalog) - there,
        live_items=catalog.live_items,
        leaves=catalog.trie.leaves,
        trie_bytes=catalog.trie.nbytes,
        sequence=catalog.sequence,
        base_sequence=catalog.base.live_seq,
        age_seconds=(datetime.now(UTC) - snapshot.loaded_at).total_seconds(),
        degraded=service.degraded,
    )
