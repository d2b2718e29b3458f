"""What somebody has uploaded, and how much they keep."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.database import session_scope
from app.uploads import quota, service
from app.users.deps import User
from app.web.paging import Cursor, decode, encode
from app.web.parameters import Id
from app.web.routing import Router
from app.web.templating import render

router = Router()
PAGE = 50


@router.get("/uploads")
def uploads(request: Request, user: User, cursor: Cursor = None) -> Response:
    with session_scope(writing=False) as session:
        found, more = service.page(session, user, decode(cursor), PAGE)
        used = quota.used(session, user.id)
    context = {"path": "/account", "uploads": found, "next_cursor": encode(more) if more else None}
    return render(request, "uploads/index.html", {**context, "used": used, "most": quota.limit_bytes()})


@router.post("/uploads/{upload_id}/deletion")
def delete(user: User, upload_id: Id) -> RedirectResponse:
    """Works that were made from it stay."""
    with session_scope() as session:
        service.delete(session, user, upload_id)
    return RedirectResponse("/uploads", status_code=303)
