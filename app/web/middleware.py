"""What every request passes: an id, a body limit, the origin check, security headers, a log line, metrics; and HEAD."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.database import new_id
from app.errors import DomainError, TooLarge, UnsupportedMedia
from app.metrics import REQUEST_SECONDS
from app.security import SAFE_METHODS, check_origin
from app.settings import get_settings
from app.web.methods import allowed
from app.web.responses import CLIENT_GONE, error_response, on_domain_error, wants_json
from app.web.sub_path import prefix_of

log = structlog.get_logger()
# Forms with files; the rest of the API takes JSON.
UPLOAD_PATH = re.compile(r"/api/v1/(uploads|generations/restoration|datasets/[^/]+/items|checkpoints)")
PIECE_PATH = re.compile(r"/api/v1/checkpoints/transfers/[^/]+/files/[^/]+")
LARGEST_PIECE = 32 << 20
LOOPBACK = "127.0.0.1,::1"
TOLD_SECONDS, MOST_TOLD = 3600.0, 100
UNLOGGED = ("/static/", "/healthz", "/readyz", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class StudioMiddleware:
    """Pure ASGI: streams pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {}).update(id=request_id, nonce=nonce)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=request_id)
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 405 and (methods := allowed(scope["app"], scope["path"])):
                    MutableHeaders(scope=message)["Allow"] = methods
                versioned = status < 400 and scope["query_string"].startswith(b"v=")
                decorate(MutableHeaders(scope=message), request_id, nonce, scope["path"], versioned)
            await send(message)

        try:
            if scope["method"] == "OPTIONS" and (methods := allowed(scope["app"], scope["path"])):
                answer = Response(status_code=204, headers={"Allow": methods})
                await answer(scope, receive, send_with_headers)
                return
            if not has_key(scope, headers):
                check_origin(scope["method"], headers, scope["state"].get("hosts", ()))
            check_media_type(scope, headers)
            await self.app(scope, limited(receive, scope, headers), send_with_headers)
        except DomainError as error:
            await error_response(scope, error)(scope, receive, send_with_headers)
        except ClientDisconnect:
            raise
        except Exception:
            status = status or 500
            raise
        finally:
            status = status or CLIENT_GONE  # nobody heard an answer
            seconds = time.perf_counter() - began
            route = route_template(scope)
            REQUEST_SECONDS.labels(scope["method"], route, str(status)).observe(seconds)
            if not scope["path"].startswith(UNLOGGED):
                log.info(
                    "request",
                    method=scope["method"],
                    path=route,
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                )


class Forwarded:
    """What trusted proxies say of a request is believed (X-Forwarded-For, -Proto, -Host, -Prefix); `peer` stays known.

    Where none is named, this machine's own word is believed for the site's address, and not for its visitors': any
    program here could invent those, and tries are counted by them. The log says what was not believed.
    """

    def __init__(self, app: ASGIApp, trusted: str) -> None:
        self.app = ProxyHeadersMiddleware(app, trusted or LOOPBACK)  # type: ignore[arg-type]
        self.believes_visitors = bool(trusted)
        self._told: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            peer = scope["client"][0] if scope.get("client") else ""
            state = scope.setdefault("state", {})
            state["peer"] = peer
            headers = Headers(scope=scope)
            is_trusted = peer in self.app.trusted_hosts
            if is_trusted:
                state["hosts"] = forwarded_hosts(headers)
                state["prefix"] = prefix_of(headers.get("x-forwarded-prefix", ""))
            if "x-forwarded-for" in headers and not (is_trusted and self.believes_visitors):
                scope["headers"] = [each for each in scope["headers"] if each[0] != b"x-forwarded-for"]
                self.tell(peer)
        await self.app(scope, receive, send)  # type: ignore[arg-type]

    def tell(self, peer: str) -> None:
        """Once an hour for each of a few peers."""
        if time.monotonic() - self._told.get(peer, -TOLD_SECONDS) > TOLD_SECONDS and len(self._told) < MOST_TOLD:
            self._told[peer] = time.monotonic()
            log.warning("proxy_not_trusted", peer=peer, mend="name it in DANQING_TRUSTED_PROXIES if it is yours")


def forwarded_hosts(headers: Headers) -> list[str]:
    """As a browser may have named the studio, by its proxy's word: with the port, where that is told apart."""
    host, port = (headers.get(f"x-forwarded-{name}", "").rpartition(",")[2].strip() for name in ("host", "port"))
    return [host, f"{host}:{port}"] if host and port else [host] if host else []


class KnownHosts(TrustedHostMiddleware):
    """Refuses requests for another site's name, and says what an operator can do about it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
            if not self.allow_any and not any(
                name == known or (known.startswith("*") and name.endswith(known[1:])) for known in self.allowed_hosts
            ):
                await error_response(scope, UnknownHost(UNKNOWN_HOST, host=host[:100]))(scope, receive, send)
                return
        await self.app(scope, receive, send)


class UnknownHost(DomainError):
    code = "unknown-host"


UNKNOWN_HOST = (
    "The studio does not answer to the name {host}; whoever runs it can add that to DANQING_ALLOWED_HOSTS, or set "
    "DANQING_URL to the address at which people open it"
)


class Probes:
    """Health and metrics answer by any Host and without a look at who asks: probes come by address."""

    def __init__(self, app: ASGIApp, routes: list[Route]) -> None:
        self.app, self.paths = app, {route.path for route in routes}
        self.probes = StudioMiddleware(Starlette(routes=routes, exception_handlers={DomainError: on_domain_error}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        probed = scope["type"] == "http" and scope["path"] in self.paths
        await (self.probes if probed else self.app)(scope, receive, send)


class HeadMiddleware:
    """HEAD is GET without the body (RFC 9110, 9.3.2); the routes know GET only. A stream ends after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})

        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]  # RFC 9110, 14.2
        await self.app({**scope, "method": "GET", "headers": headers}, receive, send_headers)


def has_key(scope: Scope, headers: Headers) -> bool:
    """A key is sent by whoever means to: no browser adds it to what another site makes it send, as it adds a cookie."""
    return headers.get("authorization", "")[:7].lower() == "bearer " and wants_json(scope)


def route_template(scope: Scope) -> str:
    """The path with the names of its parameters: few values, as metrics need."""
    if "route" not in scope:
        return "unmatched"
    names = {str(value): name for name, value in scope.get("path_params", {}).items()}
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in scope["path"].split("/"))


def limited(receive: Receive, scope: Scope, headers: Headers) -> Receive:
    """Count the body as it comes, so that one without a length is bounded too. Raises TooLarge."""
    settings = get_settings()
    most = settings.max_body_kib << 10
    if uploads := takes_files(scope):
        limits = {
            "uploads": settings.max_upload_mib,
            "generations/restoration": settings.max_upload_mib,
            "checkpoints": settings.max_checkpoint_upload_mib,
        }
        most = (limits.get(uploads, settings.max_dataset_upload_mib) << 20) + 65_536
    if is_piece(scope):
        most = LARGEST_PIECE
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise TooLarge("A body may have at most {most} bytes", most=most)
    seen = 0

    async def receive_limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise TooLarge("A body may have at most {most} bytes", most=most)
        return message

    return receive_limited


def takes_files(scope: Scope) -> str | None:
    """Which kind of upload a request is, if any."""
    found = UPLOAD_PATH.fullmatch(scope["path"]) if scope["method"] == "POST" else None
    return found and found[1]


def is_piece(scope: Scope) -> bool:
    """Whether a request's body is a piece of a file."""
    return scope["method"] == "PATCH" and PIECE_PATH.fullmatch(scope["path"]) is not None


def check_media_type(scope: Scope, headers: Headers) -> None:
    """The API takes JSON, uploads take forms; anything else would be guessed at."""
    if scope["method"] in SAFE_METHODS or not scope["path"].startswith("/api/"):
        return
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    wanted = "multipart/form-data" if takes_files(scope) else "application/json"
    if is_piece(scope):
        wanted = "application/octet-stream"
    if headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        raise UnsupportedMedia("Send {wanted}", wanted=wanted)


def decorate(headers: MutableHeaders, request_id: str, nonce: str, path: str, versioned: bool) -> None:
    headers["X-Request-Id"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["X-Frame-Options"] = "DENY"
    # 'wasm-unsafe-eval': the sounds of a soundfont are unpacked by WebAssembly; it lets no text become script.
    headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self' 'nonce-{nonce}'; "
        "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; media-src 'self'; manifest-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    if path.startswith("/static/"):  # with a version it is never another; what a script imports comes without one
        headers.setdefault("Cache-Control", "public, max-age=31536000, immutable" if versioned else "no-cache")
    else:
        headers.setdefault("Cache-Control", "no-store")
