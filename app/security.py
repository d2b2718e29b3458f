"""Who asks; passwords, random tokens, rate limits, and where an unsafe request may come from."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from app.breaker import Breaker
from app.errors import Forbidden, TooMany
from app.settings import get_settings

COOKIE = "danqing_session"
KEY_PREFIX = "dq_"
SIGN_IN_LIMIT = parse("10 per 5 minutes")
PEER_LIMIT = parse("200 per 5 minutes")  # of one connection's address, whatever it claims to forward
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
log = structlog.get_logger()
_silence = Breaker(5.0)

passwords = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))  # OWASP's minimum
NO_PASSWORD = passwords.hash(secrets.token_hex())  # verified for unknown users, so that they take as long


@dataclass(frozen=True)
class Principal:
    """Whoever makes a request. `via` is "session" or "key", `credential` the hash of either."""

    id: str
    name: str
    role: str
    via: str
    credential: str = ""

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


def new_token() -> str:
    return secrets.token_urlsafe(32)


def new_api_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of a random secret. It has 256 bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def verify_password(password: str, password_hash: str | None) -> bool:
    matches = passwords.verify(password, password_hash or NO_PASSWORD)
    return matches and password_hash is not None


@cache
def _limits() -> tuple[Storage, MemoryStorage]:
    url = get_settings().redis
    options = {"socket_connect_timeout": 1, "socket_timeout": 1}
    url = url.replace("unix://", "redis+unix://") if url.startswith("unix://") else url
    return RedisStorage(url, **options), MemoryStorage()  # type: ignore[arg-type]


def limit(item: RateLimitItem, *identifiers: str) -> None:
    """Count one more try. Raises TooMany beyond the limit; counts in this process alone while Redis is away."""
    for storage in storages():
        try:
            allowed = FixedWindowRateLimiter(storage).hit(item, *identifiers)
        except Exception as error:
            failed(error)
            continue
        if not allowed:
            raise TooMany("Too many attempts; wait a few minutes", retry_after=item.get_expiry())
        return


def forgive(item: RateLimitItem, *identifiers: str) -> None:
    """Forget the tries: the right password was given."""
    for storage in storages():
        try:
            storage.clear(item.key_for(*identifiers))
        except Exception as error:
            failed(error)


def storages() -> list[Storage]:
    """Redis and this process's own memory; the latter alone for some seconds after Redis has failed."""
    shared, own = _limits()
    return [own] if _silence.is_open else [shared, own]


def failed(error: Exception) -> None:
    _silence.trip()
    log.warning("rate_limit_storage_failed", error=str(error))


OTHER_SITE = "This request came from another site"
HOST_IS_MISSING = (
    "The proxy in front of the studio does not say which host the browser asked for: make it "
    "pass on Host or X-Forwarded-Host, or set DANQING_URL"
)


def check_origin(method: str, headers: Mapping[str, str], hosts: Sequence[str] = ()) -> None:
    """Refuse unsafe requests that another site made a browser send. Raises Forbidden. `hosts` are names of this site
    besides Host, by the word of a trusted proxy.

    Every current browser sends Sec-Fetch-Site, older ones Origin; what sends neither is no browser and carries no
    cookie that it was not given.
    """
    if method in SAFE_METHODS:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden(OTHER_SITE)
    known = {headers.get("host"), *hosts, urlsplit(get_settings().url).netloc}
    if origin is not None and (origin == "null" or urlsplit(origin).netloc not in known):
        raise Forbidden(HOST_IS_MISSING if site == "same-origin" and origin != "null" else OTHER_SITE)


def local_path(target: str | None) -> str:
    """`target` where it is a path of this site, else "/": no open redirects."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    if any(ord(character) < 32 or character == "\\" for character in target):
        return "/"
    return target
