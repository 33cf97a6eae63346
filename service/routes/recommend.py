"""Recommendations."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request

from model.conditions import MAX_VALUES, Category, Name
from model.filters import Filter
from service.answer import answer
from service.batch import answer_batch
from service.dependencies import LeavingDep, ServiceDep
from service.problems import Problem, documented, problem_details
from service.schemas import MAX_ID_LENGTH, BatchRequest, BatchResponse, RecommendRequest, RecommendResponse

router = APIRouter(tags=["recommend"], responses=documented(413, 422, 429, 503, 504))

UserId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)]
Count = Annotated[int | None, Query(ge=1)]
Categories = Annotated[
    list[Name] | None,
    Query(max_length=MAX_VALUES, description="Only items of this category; given several times, of one of them."),
]


@router.post("/recommend")
async def recommend(
    body: RecommendRequest, request: Request, service: ServiceDep, leaving: LeavingDep
) -> RecommendResponse:
    """The next items for a user, a history, or both."""
    response = await answer(service, body, leaving)
    request.scope["timings"].update(response.timings_ms)
    return response


@router.post("/recommend/batch")
async def recommend_batch(
    body: BatchRequest, request: Request, service: ServiceDep, leaving: LeavingDep
) -> BatchResponse:
    """Answers many requests at once, each as it would be answered alone, and a bad one with its problem in its place.

    All of them are admitted together, or the batch is refused with a 429. While single requests wait too, workers serve
    one of these and one of those in turn, and batches never hold more than half of the queue.
    """
    found = await answer_batch(service, body.requests, leaving)
    request_id = request.scope["request_id"]
    return BatchResponse(
        answers=[problem_details(each, request_id) if isinstance(each, Problem) else each for each in found]
    )


@router.get("/recommend/{user_id:path}")
async def recommend_for_user(
    user_id: UserId,
    request: Request,
    service: ServiceDep,
    leaving: LeavingDep,
    k: Count = None,
    beam: Count = None,
    category: Categories = None,
) -> RecommendResponse:
    """The next items for a user whose history is stored."""
    rule = Filter(Category(category=category)) if category else None
    asked = RecommendRequest(user_id=user_id, history=None, k=k, beam=beam, filter=rule)
    response = await answer(service, asked, leaving)
    request.scope["timings"].update(response.timings_ms)
    return response
