"""/api/v1/users, /api-keys and /sessions"""

from __future__ import annotations

from fastapi import Request, Response, status
from pydantic import BaseModel

from app.database import session_scope
from app.security import COOKIE
from app.settings import get_settings
from app.users import service
from app.users.deps import Admin, InPerson, User, public
from app.users.schemas import KeyIn, KeyOut, NewKeyOut, SignIn, UserChange, UserIn, UserOut
from app.web.lanes import HASHING, lane
from app.web.parameters import Id
from app.web.routing import Router

router = Router(tags=["users"])


class UserList(BaseModel):
    items: list[UserOut]
    next_cursor: str | None = None


class KeyList(BaseModel):
    items: list[KeyOut]
    next_cursor: str | None = None


def set_session_cookie(response: Response, token: str) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=service.SESSION_DAYS * 86400,
        httponly=True,
        samesite="lax",
        secure=get_settings().secure_cookies,
    )


def client_address(request: Request) -> str:
    """By which tries are counted."""
    return request.client.host if request.client else "unknown"


@router.get("/users", summary="List users (admin)")
def list_users(admin: Admin) -> UserList:
    with session_scope(writing=False) as session:
        return UserList(items=[UserOut.model_validate(user) for user in service.all_users(session)])


@router.post(
    "/users", status_code=status.HTTP_201_CREATED, summary="Add a user (admin, signed in)", dependencies=[InPerson]
)
@lane(HASHING)
def add_user(admin: Admin, given: UserIn) -> UserOut:
    with session_scope() as session:
        return UserOut.model_validate(service.create(session, given))


@router.get("/users/me", summary="Whose key or session this is")
def me(user: User) -> UserOut:
    with session_scope(writing=False) as session:
        return UserOut.model_validate(service.get(session, user.id))


@router.patch(
    "/users/{user_id}", summary="Change role or password, lock or unlock (admin, signed in)", dependencies=[InPerson]
)
@lane(HASHING)
def change_user(admin: Admin, user_id: Id, wanted: UserChange) -> UserOut:
    password_hash = service.hashed(wanted.password)
    with session_scope() as session:
        return UserOut.model_validate(service.change(session, service.get(session, user_id), wanted, password_hash))


@router.get("/api-keys", summary="List own keys")
def list_keys(user: User) -> KeyList:
    with session_scope(writing=False) as session:
        return KeyList(items=[KeyOut.model_validate(key) for key in service.keys(session, user.id)])


@router.post(
    "/api-keys",
    status_code=status.HTTP_201_CREATED,
    summary="Make a key, signed in; it is shown once",
    dependencies=[InPerson],
)
def add_key(user: User, given: KeyIn) -> NewKeyOut:
    with session_scope() as session:
        row, key = service.create_key(session, user.id, given)
        return NewKeyOut(**KeyOut.model_validate(row).model_dump(), key=key)


@router.delete(
    "/api-keys/{key_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Revoke a key, signed in; a key may revoke itself",
)
def revoke_key(user: User, key_id: Id) -> None:
    with session_scope() as session:
        service.revoke_key(session, user, key_id)


@router.post(
    "/sessions",
    status_code=status.HTTP_201_CREATED,
    summary="Sign in: sets the session cookie",
    responses={401: {"description": "Wrong name or password"}, 429: {"description": "Too many tries"}},
    openapi_extra={"security": []},
)
@public
@lane(HASHING)
def sign_in(request: Request, response: Response, given: SignIn) -> UserOut:
    with session_scope(writing=False) as session:
        user = service.check_password(session, given.name, given.password, client_address(request))
    with session_scope() as session:
        set_session_cookie(response, service.start_session(session, user))
    return UserOut.model_validate(user)


@router.delete("/sessions/current", status_code=status.HTTP_204_NO_CONTENT, summary="Sign out")
def sign_out(request: Request, response: Response, user: User) -> None:
    with session_scope() as session:
        service.sign_out(session, request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE)
