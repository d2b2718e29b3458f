"""HTTP/1.1 with bounds: how much of a request, and for how long, a client may send before the application sees it."""

from __future__ import annotations

import asyncio
import re
import socket
from enum import Enum
from http import HTTPStatus
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.web.responses import ProblemResponse

log = structlog.get_logger()
SLICE = 16 << 10  # of a head, fed to the parser at once; finer is slower, coarser counts a pipelined one less exactly
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
# A peer that is gone without a word (a half-open connection) is found after about a minute.
TCP_OPTIONS = {
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 180_000,  # also of who stops reading: a download that rests is cut then
}


class Phase(Enum):
    HEAD = "head"
    BODY = "body"
    IDLE = "idle"  # between requests, where uvicorn's own keep-alive timer holds


class Refused(Exception):
    """Raised in the parser's callbacks, to stop it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class WatchedFlow(FlowControl):
    """Knows since when the application wants more of the body: until then the client is not late."""

    wanted_since = 0.0

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self.loop = loop

    def resume_reading(self) -> None:
        self.wanted_since = self.loop.time()
        super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's own, which the parser alone would let collect a header of any size, in quadratic time."""

    head_bytes = 64 << 10  # of a head, of trailers, of a chunk's extensions: all that is no body
    head_fields = 200
    head_seconds = 10.0  # from the connection's opening, or from a later request's first byte
    body_seconds = 60.0  # without a byte of the body
    queued_requests = 100  # pipelined behind one that is being answered

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ws_protocol_class = None  # no WebSockets: they would go to a protocol without these bounds
        self.phase = Phase.HEAD
        self.begun = False  # a message, of which some bytes have come
        self.ending = False  # nothing that the client still sends counts
        self.fruitless = 0  # bytes fed since the last head, piece of a body or end of a message
        self.since = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.timed = Phase.HEAD  # what the timer was set for
        self.unanswered: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: WatchedFlow = WatchedFlow(transport, self.loop)
        keep_alive(transport)
        self.enter(Phase.HEAD)
        self.set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ending = True
        self.stop_timers()
        super().connection_lost(exc)
        for cycle in self.unanswered:  # uvicorn tells the newest only
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self.ending:
            return
        self._unset_keepalive_if_required()
        if self.phase is Phase.IDLE:
            self.enter(Phase.HEAD)
        rest = memoryview(data)
        while rest and not self.ending:
            in_body = self.phase is Phase.BODY and not self.fruitless  # at full speed
            room = len(rest) if in_body else min(SLICE, self.head_bytes - self.fruitless)
            self.fruitless += min(room, len(rest))
            self.feed(rest[:room])
            rest = rest[room:]
            if self.fruitless >= self.head_bytes and not self.ending:
                self.refuse(431, f"What comes before or beside a body may have at most {self.head_bytes} bytes")
        self.set_timer()

    def feed(self, data: memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # It is answered as if it had not asked, and ends the connection: what follows may be another protocol.
            self.cycle.keep_alive = False
            self.ending = True
            self.stop_timers()
        except httptools.HttpParserError as error:
            reason = error.__context__
            if isinstance(reason, Refused):
                self.refuse(reason.status, reason.detail)
            else:
                self.refuse(400, "This is not a valid HTTP request")

    # What the parser calls

    def on_message_begin(self) -> None:
        if self.phase is Phase.IDLE:  # the rest of what held the end of the request before it
            self.enter(Phase.HEAD)
        self.begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is Phase.BODY:  # a trailer, which must not pass for a header
            return
        if len(self.headers) >= self.head_fields:
            raise Refused(431, f"A request may have at most {self.head_fields} header fields")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        check_headers(self.headers, self.parser.get_http_version(), self.parser.should_upgrade())
        if len(self.pipeline) >= self.queued_requests:
            raise Refused(429, "Too many requests at once on one connection")
        super().on_headers_complete()
        self.unanswered = [*(cycle for cycle in self.unanswered if not cycle.response_complete), self.cycle]
        self.fruitless = 0
        self.enter(Phase.BODY)

    def on_body(self, body: bytes) -> None:
        self.fruitless = 0
        self.since = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.fruitless = 0
        self.begun = False
        self.enter(Phase.IDLE)
        super().on_message_complete()

    # Time

    def enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self.loop.time()

    def set_timer(self) -> None:
        """Once all that has come is parsed: a request that comes at once needs none."""
        if self.ending or (self.timer is not None and self.timed is self.phase):
            return
        self.stop_timer()
        if self.phase is not Phase.IDLE:
            self.timed = self.phase
            self.timer = self.loop.call_later(self.seconds, self.look_at_clock)

    @property
    def seconds(self) -> float:
        return self.head_seconds if self.phase is Phase.HEAD else self.body_seconds

    def look_at_clock(self) -> None:
        """The one timer of the connection; whatever moved on since it was set only makes it wait again."""
        self.timer = None
        if self.transport.is_closing():
            return
        now = self.loop.time()
        due = max(self.since, self.flow.wanted_since) + self.seconds
        asked = self.phase is Phase.HEAD or not self.cycle.waiting_for_100_continue
        if self.flow.read_paused or not asked:
            due = now + self.seconds
        if now < due:
            self.timer = self.loop.call_at(due, self.look_at_clock)
        else:
            self.refuse(408, "The request did not come in time", silently=not self.begun)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def stop_timers(self) -> None:
        self.stop_timer()
        self._unset_keepalive_if_required()

    # The end

    def refuse(self, status: int, detail: str, silently: bool = False) -> None:
        """Answer, where that is still possible, and close the connection."""
        self.ending = True
        self.stop_timers()
        if not silently:
            log.info("refused", status=status, detail=detail)
        cycle, in_body = self.cycle, self.phase is Phase.BODY
        if cycle is not None and not cycle.response_complete:
            if not in_body:  # those before it are answered first, and the last of them closes the connection
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
        answered = in_body and (cycle.response_started or bool(self.pipeline))
        if not silently and not answered:
            phrase = HTTPStatus(status).phrase
            self.write(ProblemResponse(status, phrase, detail, phrase.lower().replace(" ", "-")))
        self.transport.close()

    def write(self, response: ProblemResponse) -> None:
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")]
        status = HTTPStatus(response.status_code)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(b": ".join(header) for header in headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))


def check_headers(headers: list[tuple[bytes, bytes]], version: str, upgrade: bool) -> None:
    """What the parser lets pass, and a proxy before us could read in another way. Raises Refused.

    Of Content-Length it lets pass neither two nor one beside Transfer-Encoding.
    """
    if version not in ("1.0", "1.1"):
        raise Refused(505, "This server speaks HTTP/1.1")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise Refused(400, "A request must have one Host header")
    if hosts and not HOST.fullmatch(hosts[0].strip(b" \t")):
        raise Refused(400, "The Host header is not a host")
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.strip(b" \t").lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version != "1.1"):
        raise Refused(400, "The only Transfer-Encoding is chunked, in HTTP/1.1")
    if upgrade and (codings or lengths not in ([], [b"0"])):  # the parser would skip the body
        raise Refused(400, "A request with a body cannot ask for another protocol; send it without Upgrade")


def keep_alive(transport: asyncio.Transport) -> None:
    found = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        if hasattr(socket, name):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
