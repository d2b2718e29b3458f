"""/api/v1/grids"""

from __future__ import annotations

from fastapi import Request, Response, status

from app.database import session_scope
from app.generations.api import Key
from app.generations.streams import status_event
from app.grids import service
from app.grids.schemas import GridIn, GridList, GridOut
from app.jobs.events import publish
from app.jobs.queue import ring
from app.users.deps import User
from app.web.paging import Cursor, Limit, decode, encode
from app.web.parameters import Id
from app.web.routing import Router

router = Router(prefix="/grids", tags=["generations"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Submit a job for each value of one or two parameters or roles",
    responses={
        409: {"description": "The Idempotency-Key was used with another request"},
        429: {"description": "Over the quota"},
    },
)
def submit_grid(
    request: Request, response: Response, user: User, given: GridIn, idempotency_key: Key = None
) -> GridOut:
    """All of its jobs are queued, or none of them."""
    with session_scope() as session:
        grid, new = service.submit(session, user, given, idempotency_key, request.state.id)
        described = service.describe(session, grid)
        queues = {job.id: job.queue for job in service.jobs(session, grid)} if new else {}
    for job in (job for row in described.cells for job in row if job and job.id in queues):
        if ring(queues[job.id], job.id):
            publish(user.id, status_event(job))
    response.headers["Location"] = f"/api/v1/grids/{described.id}"
    return described


@router.get("", summary="List grids, newest first")
def list_grids(user: User, cursor: Cursor = None, limit: Limit = 50) -> GridList:
    with session_scope(writing=False) as session:
        found, more = service.page(session, user, decode(cursor), limit)
        return GridList(items=[service.brief(grid) for grid in found], next_cursor=encode(more) if more else None)


@router.get("/{grid_id}", summary="One grid with its jobs")
def get_grid(user: User, grid_id: Id) -> GridOut:
    with session_scope(writing=False) as session:
        return service.describe(session, service.get(session, user, grid_id))


@router.delete("/{grid_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Forget a grid; its works stay")
def delete_grid(user: User, grid_id: Id) -> None:
    with session_scope() as session:
        service.remove(session, service.get(session, user, grid_id))
