"""Recommendations."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request

from model.conditions import MAX_VALUES, Category, Name
from model.filters import Filter
from service.answer import answer
from service.dependencies import LeavingDep, ServiceDep
from service.problems import documented
from service.schemas import MAX_ID_LENGTH, RecommendRequest, RecommendResponse

router = APIRouter(tags=["recommend"], responses=documented(422, 429, 503, 504))

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
