"""Users: what is known of them can be removed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from service.dependencies import ServiceDep, require_key
from service.problems import documented
from service.schemas import MAX_ID_LENGTH, DeletedUser

router = APIRouter(tags=["users"], responses=documented(401, 422, 503))

UserId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)]


@router.delete("/users/{user_id:path}", dependencies=[Depends(require_key)])
async def delete_user(user_id: UserId, service: ServiceDep) -> DeletedUser:
    """Removes everything that is stored of a user, remembered event ids included.

    An unknown user is no error, so it can be repeated. Events that are sent afterwards, late ones too, make a new
    history.
    """
    return DeletedUser(events=await service.forget(user_id))
