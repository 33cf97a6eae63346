"""Whether the process lives, can answer, what it serves, and its metrics. None of these waits for anything."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from service.dependencies import ServiceDep
from service.problems import DRAINING, Problem, documented
from service.schemas import InfoResponse, Ready
from service.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/livez", response_class=PlainTextResponse)
async def live() -> str:
    """The process answers; nothing else is looked at."""
    return "ok"


@router.get("/readyz", responses=documented(503))
async def ready(service: ServiceDep) -> Ready:
    """Model and catalog are loaded and have answered a request of their own."""
    if service.scheduler.draining:
        raise Problem(DRAINING, "ask another replica", retry_after=1)
    return Ready(catalog_version=service.snapshot().version)


@router.get("/info", responses=documented(503))
async def info(service: ServiceDep) -> InfoResponse:
    """What is served, by what, and how."""
    snapshot, settings = service.snapshot(), service.settings
    space = snapshot.catalog.space
    return InfoResponse(
        service_version=VERSION,
        bundle_version=snapshot.bundle.version,
        model_version=snapshot.model_version,
        catalog_version=snapshot.version,
        catalog_items=len(snapshot.catalog),
        catalog_source=snapshot.source,
        catalog_loaded_at=snapshot.loaded_at,
        space_hash=snapshot.catalog.space_hash,
        modalities=list(space.modalities),
        levels=space.levels,
        codes=space.codes,
        provider=snapshot.engine.provider,
        captured_graphs=snapshot.engine.graphs,
        precision=settings.precision,
        max_history=snapshot.engine.max_history,
        parallel_runs=settings.parallel_runs,
        k=settings.k,
        max_k=settings.max_k,
        beam=settings.beam,
        max_beam=settings.max_beam,
        fusion=snapshot.fusion,
        metrics=snapshot.manifest.metrics,
        data_fingerprint=snapshot.manifest.data_fingerprint,
        degraded=service.degraded,
    )


@router.get("/metrics", response_class=Response)
async def metrics(service: ServiceDep) -> Response:
    """Prometheus' text format."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)
