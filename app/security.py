"""Who asks; passwords, random tokens, rate limits, and where an unsafe request may come from."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, ip_address, ip_network
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
from models.contract.message import Message

COOKIE = "danqing_session"
KEY_PREFIX = "dq_"
# Tries of one name from one address: the wait grows with their number, and is nobody's elsewhere.
PAIR_LIMITS = tuple(parse(item) for item in ("5 per minute", "10 per 10 minutes", "20 per hour", "60 per day"))
# Of any name from one address, and of one name from anywhere; who has signed in so before is not held up by them.
ADDRESS_LIMIT, NAME_LIMIT = parse("100 per 10 minutes"), parse("300 per hour")
KNOWN_SECONDS = 90 * 86400
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
log = structlog.get_logger()
_silence = Breaker(5.0)

passwords = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))  # OWASP's minimum
NO_PASSWORD = passwords.hash(secrets.token_hex())  # verified for unknown users, so that they take as long


@dataclass(frozen=True)
class Principal:
    """Whoever makes a request. `via` is "session" or "key", `credential` the hash of either; `scopes` are a key's."""

    id: str
    name: str
    role: str
    via: str
    credential: str = ""
    scopes: tuple[str, ...] = ()

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
        limiter = FixedWindowRateLimiter(storage)
        try:
            if limiter.hit(item, *identifiers):
                return
            ends = limiter.get_window_stats(item, *identifiers).reset_time
        except Exception as error:
            failed(error)
            continue
        seconds = max(1, round(ends - time.time()))
        raise TooMany("Too many tries; wait {time}", time=in_words(seconds), retry_after=seconds)


def in_words(seconds: int) -> Message:
    if seconds < 100:
        return Message("{count} seconds", count=seconds)
    if seconds < 5400:
        return Message("{count} minutes", count=round(seconds / 60))
    return Message("{count} hours", count=round(seconds / 3600))


def network_of(address: str) -> str:
    """What one household or machine has of addresses: of IPv6 that is a network of 64 bits."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network(f"{found}/64", strict=False))


def is_known(*identifiers: str) -> bool:
    """Whether `remember_known` was called for these within KNOWN_SECONDS."""
    for storage in storages():
        try:
            return storage.get(known_key(*identifiers)) > 0
        except Exception as error:
            failed(error)
    return False


def remember_known(*identifiers: str) -> None:
    for storage in storages():
        try:
            storage.clear(known_key(*identifiers))
            storage.incr(known_key(*identifiers), KNOWN_SECONDS)
            return
        except Exception as error:
            failed(error)


def known_key(*identifiers: str) -> str:
    return "/".join(("KNOWN", *identifiers))


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
