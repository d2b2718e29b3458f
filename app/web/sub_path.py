"""A studio that is not at the root of its host: everything within goes on as if it were."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
LOCATIONS = ("location", "hx-redirect")


def prefix_of(given: str) -> str:
    """A prefix as a proxy names it, without a slash at its end; "" for what is none."""
    given = given.rstrip("/")
    return given if PREFIX.fullmatch(given) and "/.." not in given else ""


class SubPath:
    """The prefix that a setting has, or a trusted proxy names (X-Forwarded-Prefix), is taken off what comes, where the
    proxy has not done so, and put before what leaves: redirects, and the path of cookies. Pages and scripts put it
    before their links: it is `state.base`.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        base = state.get("prefix") or self.prefix
        state["base"] = base
        if scope["type"] != "http" or not base:
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path == base or path.startswith(f"{base}/"):
            scope = {**scope, "path": path[len(base) :] or "/"}

        async def send_outwards(message: Message) -> None:
            if message["type"] == "http.response.start":
                outwards(MutableHeaders(scope=message), base)
            await send(message)

        await self.app(scope, receive, send_outwards)


def outwards(headers: MutableHeaders, base: str) -> None:
    for name in LOCATIONS:
        target = headers.get(name, "")
        if target.startswith("/") and not target.startswith("//"):
            headers[name] = base + target
    cookies = [re.sub(r"(?i)(;\s*path=)/(?=;|$)", rf"\g<1>{base}/", cookie) for cookie in headers.getlist("set-cookie")]
    if cookies:
        del headers["set-cookie"]
        for cookie in cookies:
            headers.append("set-cookie", cookie)
