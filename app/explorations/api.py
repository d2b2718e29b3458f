"""/api/v1/explorations"""

from __future__ import annotations

from fastapi import Response, status
from fastapi.responses import JSONResponse

from app.database import session_scope
from app.explorations import service
from app.generations.schemas import GenerationIn
from app.media import of_type, scores
from app.media.listening import listening
from app.users.deps import User
from app.web.lanes import LIVE, lane
from app.web.routing import Router
from models.contract.values import MUSIC

router = Router(prefix="/explorations", tags=["generations"])


@router.post(
    "",
    summary="One work at once, which is not kept",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {}, "application/json": {}}, "description": "A picture, or notes of music"},
        204: {"description": "A newer request of yours has come meanwhile"},
        503: {"description": "No worker has drawn it in time"},
    },
)
@lane(LIVE)
def explore(user: User, given: GenerationIn) -> Response:
    """For tasks that are `live`: what a slider shows while it moves. To keep a work, ask for a generation."""
    with session_scope(writing=False) as session:
        wanted = service.prepared(session, user, given)
    found = service.frame(wanted)
    if found is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    frame, media_type = found
    headers = {"Cache-Control": "no-store"}
    if of_type(media_type).name == MUSIC:
        return JSONResponse(listening(scores.decode(frame, media_type)).data, headers=headers)
    return Response(frame, media_type=media_type, headers=headers)
