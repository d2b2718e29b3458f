"""/api/v1/explorations"""

from __future__ import annotations

from fastapi import Response, status

from app.database import session_scope
from app.explorations import service
from app.generations.schemas import GenerationIn
from app.users.deps import User
from app.web.lanes import LIVE, lane
from app.web.routing import Router

router = Router(prefix="/explorations", tags=["generations"])


@router.post(
    "",
    summary="One work at once, which is not kept",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {}}},
        204: {"description": "A newer request of yours has come meanwhile"},
        503: {"description": "No worker has drawn it in time"},
    },
)
@lane(LIVE)
def explore(user: User, given: GenerationIn) -> Response:
    """For tasks that are `live`: what a slider shows while it moves. To keep a picture, ask for a generation."""
    with session_scope(writing=False) as session:
        wanted = service.prepared(session, user, given)
    found = service.frame(wanted)
    if found is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    frame, media_type = found
    return Response(frame, media_type=media_type, headers={"Cache-Control": "no-store"})
