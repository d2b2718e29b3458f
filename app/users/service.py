"""Accounts: who may sign in, by password, session, key or one-time link. Commits nothing but when keys were used."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.database import now, session_scope
from app.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from app.security import (
    ADDRESS_LIMIT,
    KEY_PREFIX,
    NAME_LIMIT,
    PAIR_LIMITS,
    Principal,
    digest,
    forgive,
    is_known,
    limit,
    network_of,
    new_api_key,
    new_token,
    passwords,
    remember_known,
    verify_password,
)
from app.users.names import key_of
from app.users.schemas import KeyIn, UserChange, UserIn
from app.users.scopes import SCOPES
from app.users.tables import ApiKey, OneTimeLink, User, UserSession

SESSION_DAYS, LINK_HOURS = 30, 24
TOUCH_AFTER = timedelta(minutes=5)  # how exact "last used" of a key is
MANY = 500  # values in one query, or credentials in memory
RECENT_SECONDS = 1.0
WRONG = "The name or the password is wrong"  # the same for both, so that names cannot be probed


def create(session: Session, given: UserIn) -> User:
    """Raises Conflict when the name is taken."""
    user = User(
        name=given.name,
        name_key=key_of(given.name),
        role=given.role,
        password_hash=passwords.hash(given.password) if given.password else None,
    )
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        raise Conflict("This name is taken") from error
    return user


def by_name(session: Session, name: str) -> User:
    user = session.scalar(select(User).where(User.name_key == key_of(name)))
    if user is None:
        raise NotFound("There is no such user")
    return user


def get(session: Session, user_id: str) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user")
    return user


def all_users(session: Session) -> list[User]:
    return list(session.scalars(select(User).order_by(User.id)))


def hashed(password: str | None) -> str | None:
    """What is stored of a password. Slow on purpose: before the transaction, never in it."""
    return passwords.hash(password) if password is not None else None


def change(session: Session, user: User, wanted: UserChange, password_hash: str | None = None) -> User:
    """A new password, by its hash, or a lock ends every session of the user. Raises Conflict for the last admin."""
    if (wanted.role == "artist" or wanted.disabled) and user.is_admin and not user.disabled_at:
        admins = select(User.id).where(User.role == "admin", User.disabled_at.is_(None)).order_by(User.id)
        if session.scalars(admins.with_for_update()).all() == [user.id]:  # locked: two could leave at the same moment
            raise Conflict("The studio needs one admin")
    forget()
    if wanted.role is not None:
        user.role = wanted.role
    if wanted.disabled is not None:
        user.disabled_at = (user.disabled_at or now()) if wanted.disabled else None
    if password_hash is not None:
        user.password_hash = password_hash
    if wanted.revoke_keys:
        revoke_keys(session, user.id)
    if password_hash is not None or wanted.disabled:
        session.execute(delete(UserSession).where(UserSession.user_id == user.id))
    return user


def check_own_password(session: Session, user_id: str, current: str) -> None:
    """Raises Invalid, TooMany. Someone without a password yet (the first admin, whoever came by a link) names none."""
    user = get(session, user_id)
    for item in PAIR_LIMITS:
        limit(item, "password", user.id)
    if user.password_hash is not None and not verify_password(current, user.password_hash):
        raise Invalid("The current password is wrong")
    for item in PAIR_LIMITS:
        forgive(item, "password", user.id)


def set_own_password(session: Session, user_id: str, password_hash: str | None, end_keys: bool = False) -> str:
    """Ends every session, if wished every key too, and starts a new session, whose token it returns."""
    user = get(session, user_id)
    if end_keys:
        revoke_keys(session, user_id)
    change(session, user, UserChange(), password_hash)
    return start_session(session, user)


# --- sessions and sign-in -------------------------------------------------------------------------------------------


def start_session(session: Session, user: User) -> str:
    """Always a new token: one from before signing in is worth nothing after it."""
    token = new_token()
    session.add(UserSession(token_hash=digest(token), user_id=user.id, expires_at=now() + timedelta(days=SESSION_DAYS)))
    session.execute(delete(UserSession).where(UserSession.expires_at < now()))
    return token


def check_password(session: Session, name: str, password: str, address: str) -> User:
    """Raises TooMany and Unauthenticated; an unknown name takes as long as a wrong password.

    Only reads: hashing is slow on purpose, and must not hold up writers. Tries are counted by name and address
    together, so that nobody locks another out; those of all names from one address, and of one name from anywhere,
    hold up only whom nobody has seen there before.
    """
    who, network = key_of(name.replace("\0", "").strip())[:200], network_of(address)  # PostgreSQL takes no NUL
    pair = digest(who), network
    for item in PAIR_LIMITS:
        limit(item, *pair)
    if not is_known(*pair):
        limit(ADDRESS_LIMIT, network)
        limit(NAME_LIMIT, digest(who))
    user = session.scalar(select(User).where(User.name_key == who))
    right = verify_password(password, user.password_hash if user else None)
    if user is None or not right or user.disabled_at:
        raise Unauthenticated(WRONG)
    for item in PAIR_LIMITS:
        forgive(item, *pair)
    remember_known(*pair)
    return user


_recent: dict[str, tuple[float, Principal]] = {}  # by credential: a page asks for its pictures all at once


def recent(via: str, secret: str) -> Principal | None:
    """Who has just shown this key or session, within a second; here a revocation counts at once (`forget`).

    A key is none where a session is asked for, nor the other way round.
    """
    moment, principal = _recent.get(digest(secret), (0.0, None))
    is_good = principal is not None and principal.via == via and time.monotonic() - moment < RECENT_SECONDS
    return principal if is_good else None


def remember(principal: Principal) -> Principal:
    if len(_recent) > MANY:
        _recent.clear()
    _recent[principal.credential] = time.monotonic(), principal
    return principal


def forget() -> None:
    """A key, a session or a user is no longer what it was."""
    _recent.clear()


def sign_out(session: Session, token: str) -> None:
    forget()
    session.execute(delete(UserSession).where(UserSession.token_hash == digest(token)))


def from_session(session: Session, token: str) -> Principal | None:
    credential = digest(token)
    query = select(User.id, User.name, User.role).join(UserSession, UserSession.user_id == User.id)
    query = query.where(UserSession.token_hash == credential, UserSession.expires_at >= now())
    found = session.execute(query.where(User.disabled_at.is_(None))).first()
    return None if found is None else remember(Principal(found.id, found.name, found.role, "session", credential))


def still_good(session: Session, principals: set[Principal]) -> set[Principal]:
    """Those whose key or session, and account, are as they were; by few queries, however many they are."""
    good = set[tuple[str, str, str]]()
    for via in ("session", "key"):
        hashes = sorted({each.credential for each in principals if each.via == via})
        for start in range(0, len(hashes), MANY):
            some = hashes[start : start + MANY]
            if via == "session":
                query = select(UserSession.token_hash, User.id, User.role).join(User, User.id == UserSession.user_id)
                query = query.where(UserSession.token_hash.in_(some), UserSession.expires_at > now())
            else:
                query = select(ApiKey.key_hash, User.id, User.role).join(User, User.id == ApiKey.user_id)
                query = query.where(ApiKey.key_hash.in_(some), good_keys())
            for credential, user_id, role in session.execute(query.where(User.disabled_at.is_(None))):
                good.add((credential, user_id, role))
    return {each for each in principals if (each.credential, each.id, each.role) in good}


# --- API keys -------------------------------------------------------------------------------------------------------


def create_key(session: Session, user_id: str, given: KeyIn) -> tuple[ApiKey, str]:
    key = new_api_key()
    expires = now() + timedelta(days=given.days) if given.days else None
    scopes = sorted(set(given.scopes), key=SCOPES.index)
    row = ApiKey(
        user_id=user_id, name=given.name, hint=key[:9], key_hash=digest(key), scopes=scopes, expires_at=expires
    )
    session.add(row)
    session.flush()
    return row, key


def keys(session: Session, user_id: str) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).where(ApiKey.user_id == user_id).order_by(ApiKey.id.desc())))


def all_keys(session: Session) -> list[ApiKey]:
    """Those that are good, of everybody, the last used first."""
    query = select(ApiKey).where(good_keys())
    return list(session.scalars(query.order_by(ApiKey.last_used_at.desc().nulls_last(), ApiKey.id.desc())))


def good_keys() -> ColumnElement[bool]:
    return and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()))


def revoke_key(session: Session, user: Principal | None, key_id: str) -> None:
    """`user`: whose it must be; None for an operator, who revokes any. Raises NotFound, and Forbidden where a key would
    end another.
    """
    found = session.get(ApiKey, key_id)
    if found is None or (user and user.id != found.user_id):
        raise NotFound("There is no such key")
    if user and user.via == "key" and user.credential != found.key_hash:
        raise Forbidden("A key can revoke itself, and no other; sign in")
    found.revoked_at = found.revoked_at or now()
    forget()


def revoke_keys(session: Session, user_id: str) -> int:
    """All of a user; how many were good."""
    ended = session.execute(update(ApiKey).where(ApiKey.user_id == user_id, good_keys()).values(revoked_at=now()))
    forget()
    return int(ended.rowcount)  # type: ignore[attr-defined]


def from_key(session: Session, key: str) -> Principal | None:
    if not key.startswith(KEY_PREFIX):
        return None
    credential = digest(key)
    query = select(User.id, User.name, User.role, ApiKey.id.label("key"), ApiKey.last_used_at, ApiKey.scopes)
    query = query.join(ApiKey, ApiKey.user_id == User.id).where(ApiKey.key_hash == credential)
    found = session.execute(query.where(good_keys(), User.disabled_at.is_(None))).first()
    if found is None:
        return None
    if found.last_used_at is None or now() - found.last_used_at > TOUCH_AFTER:
        _used[found.key] = now()
    return remember(Principal(found.id, found.name, found.role, "key", credential, tuple(found.scopes)))


_used: dict[str, datetime] = {}  # keys, and when this process last saw them; what only reads must never write


def touch_keys() -> None:
    """Write down when keys were used; called now and then, for all of them at once."""
    used = {key: _used.pop(key) for key in list(_used)}
    if not used:
        return
    try:
        with session_scope() as session:
            for key, moment in sorted(used.items()):
                session.execute(update(ApiKey).where(ApiKey.id == key).values(last_used_at=moment))
    except Exception:
        _used.update({key: moment for key, moment in used.items() if key not in _used})
        raise


# --- one-time links -------------------------------------------------------------------------------------------------


def has_admin(session: Session) -> bool:
    return session.scalar(select(User.id).where(User.role == "admin").limit(1)) is not None


def create_link(session: Session, user_id: str | None) -> str:
    """A token that signs `user_id` in once, or makes the first admin; an older link of the same kind ends."""
    same = OneTimeLink.user_id == user_id if user_id else OneTimeLink.user_id.is_(None)
    session.execute(delete(OneTimeLink).where(same, OneTimeLink.used_at.is_(None)))
    token = new_token()
    expires = now() + timedelta(hours=LINK_HOURS) if user_id else None
    session.add(OneTimeLink(token_hash=digest(token), user_id=user_id, expires_at=expires))
    return token


def check_link(session: Session, token: str) -> OneTimeLink:
    """Raises Forbidden for a wrong or old token, Conflict for a used one."""
    link = session.get(OneTimeLink, digest(token))
    if link is None or (link.expires_at and link.expires_at < now()):
        raise Forbidden("This link is invalid or has expired")
    if link.used_at or (link.user_id is None and has_admin(session)):
        raise Conflict("This link has been used; sign in instead")
    return link


def use_link(session: Session, token: str, given: UserIn | None) -> tuple[User, str]:
    """(user, session token). `given` names the first admin."""
    link = check_link(session, token)
    used = session.execute(
        update(OneTimeLink)
        .where(OneTimeLink.token_hash == link.token_hash, OneTimeLink.used_at.is_(None))
        .values(used_at=now())
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("This link has been used; sign in instead")
    if link.user_id is None:
        if given is None:
            raise Invalid("The first admin needs a name")
        user = create(session, given.model_copy(update={"role": "admin"}))
    else:
        user = get(session, link.user_id)
        if user.disabled_at:
            raise Forbidden("This account is locked")
    return user, start_session(session, user)
