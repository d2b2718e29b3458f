"""What a client may send before the application sees it: bytes, fields and seconds are bounded, honest ones pass."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import uvicorn

from app.web.protocol import BoundedProtocol
from tests.studio import Studio, free_port, wait_until

DEADLINE = 60.0
HOST = b"Host: 127.0.0.1\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def rest(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection; fails where it does not."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while block := client.recv(1 << 16):
            received += block
    return received


def answers(port: int, *parts: bytes) -> bytes:
    with connect(port) as client:
        for part in parts:
            client.sendall(part)
        return rest(client)


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(received)]


def read_until(client: socket.socket, wanted: Callable[[bytes], bool]) -> bytes:
    received = b""
    while not wanted(received):
        block = client.recv(1 << 16)
        assert block, received
        received += block
    return received


def flood(port: int, start: bytes, block: bytes, size: int) -> tuple[int, bytes]:
    """How much of `size` bytes the server let in before it closed the connection, and what it said."""
    with connect(port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        client.sendall(start)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < size:
                sent += client.send(block)
        return sent, rest(client)


async def receive_body(receive: Any) -> tuple[int, str]:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size, message["type"]


class Server(uvicorn.Server):
    """A web server in a thread of this process, with an application that says what came."""

    def __init__(self, loop: str = "auto", **limits: float) -> None:
        self.seen: list[dict[str, Any]] = []
        self.bytes_read = 0
        self.lost: list[BoundedProtocol] = []
        self.go_on = threading.Event()
        server = self

        class Protocol(BoundedProtocol):
            def data_received(self, data: bytes) -> None:
                server.bytes_read += len(data)
                super().data_received(data)

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                server.lost.append(self)

        for name, value in limits.items():
            assert hasattr(BoundedProtocol, name)
            setattr(Protocol, name, value)
        self.port = free_port()
        super().__init__(
            uvicorn.Config(
                self.application,
                port=self.port,
                http=Protocol,
                loop=loop,
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                timeout_graceful_shutdown=1,
            )
        )

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        seen = {"method": scope["method"], "path": scope["path"]}
        self.seen.append(seen)
        if scope["path"] == "/late":
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
        seen["bytes"], seen["last"] = await receive_body(receive)
        seen["headers"] = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        if scope["path"] == "/long":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            seen["last"] = (await receive())["type"]
            return
        body = json.dumps(seen).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=["uvloop", "asyncio"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    running: list[tuple[Server, threading.Thread]] = []

    def start(**limits: float) -> Server:
        server = Server(request.param, **limits)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        wait_until("the server", lambda: server.started)
        return server

    yield start
    for server, thread in running:
        server.go_on.set()
        server.should_exit = True
        thread.join(DEADLINE)
        assert not thread.is_alive()


# The web process as it is started


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: ", id="a header's value"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST, id="a header's name"),
        pytest.param(b"GET /", id="the request line"),
    ],
)
def test_a_head_of_100_mib_is_cut_off_while_others_are_answered(studio: Studio, start: bytes) -> None:
    size = 100 << 20
    with ThreadPoolExecutor() as pool:
        floods = [pool.submit(flood, studio.port, start, b"a" * (1 << 16), size) for _ in range(3)]
        assert httpx.get(f"{studio.url}/healthz", timeout=DEADLINE).is_success
        for each in floods:
            sent, said = each.result()
            assert sent < 16 << 20  # what fits into the kernel's buffers
            assert statuses(said) in ([], [431])  # none where the closing was faster than its reading
    assert httpx.get(f"{studio.url}/healthz", timeout=DEADLINE).is_success


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (64 << 10), id="bytes of a header"),
        pytest.param(b"GET /?" + b"a" * (64 << 10), id="bytes of a request line"),
        pytest.param(b"\r\n" * (33 << 10), id="empty lines"),
        pytest.param(HEALTH[:-2] + b"X: a\r\n" * 200 + b"\r\n", id="fields"),
    ],
)
def test_a_head_just_over_the_bounds_is_told_so(studio: Studio, head: bytes) -> None:
    received = answers(studio.port, head)
    assert statuses(received) == [431]
    assert b"\r\ncontent-type: application/problem+json\r\n" in received
    assert b"\r\nconnection: close\r\n" in received
    assert json.loads(received.partition(b"\r\n\r\n")[2])["status"] == 431


def test_a_head_just_within_the_bounds_is_answered(studio: Studio) -> None:
    fields = HEALTH[:-2] + b"X: a\r\n" * 198 + b"Connection: close\r\n\r\n"
    assert statuses(answers(studio.port, fields)) == [200]
    start, end = HEALTH[:-2] + b"X: ", b"\r\nConnection: close\r\n\r\n"
    assert statuses(answers(studio.port, start + b"a" * ((64 << 10) - len(start) - len(end)) + end)) == [200]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + HOST, id="two hosts"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n", id="no host"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost:\r\n", id="an empty host"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1/evil\r\n", id="a path in the host"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a@127.0.0.1\r\n", id="a user in the host"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:port\r\n", id="a port that is none"),
        pytest.param(POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", id="length and coding"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", id="coding and length"),
        pytest.param(POST + b"Content-Length: 3\r\nContent-Length: 4\r\n", id="two lengths"),
        pytest.param(POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", id="two codings"),
        pytest.param(POST + b"Transfer-Encoding: gzip\r\n", id="an unknown coding"),
        pytest.param(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", id="chunks in HTTP/1.0"),
        pytest.param(POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n", id="upgrade with a body"),
        pytest.param(b"NONSENSE\r\n", id="no HTTP"),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(studio: Studio, head: bytes) -> None:
    received = answers(studio.port, head + b"\r\n")
    assert statuses(received) == [400]
    assert b"\r\ncontent-type: application/problem+json\r\n" in received


def test_another_version_of_http_is_refused(studio: Studio) -> None:
    assert statuses(answers(studio.port, b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n")) == [505]


@pytest.mark.parametrize("host", [b"127.0.0.1", b"localhost:8000", b" 127.0.0.1 "])
def test_hosts_pass(studio: Studio, host: bytes) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost:" + host + b"\r\nConnection: close\r\n\r\n"
    assert statuses(answers(studio.port, head)) == [200]


def test_pipelined_requests_are_answered_in_their_order(studio: Studio) -> None:
    last = b"GET /nothing HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    assert statuses(answers(studio.port, HEALTH * 3 + last)) == [200, 200, 200, 404]


def test_a_bad_request_behind_good_ones_leaves_their_answers_whole(studio: Studio) -> None:
    received = answers(studio.port, HEALTH * 2 + b"GET /healthz HTTP/1.1\r\n\r\n" + HEALTH)
    assert statuses(received) == [200, 200]


def test_a_connection_is_kept_for_the_next_request(studio: Studio) -> None:
    with connect(studio.port) as client:
        for _ in range(3):
            client.sendall(HEALTH)
            received = read_until(client, lambda so_far: b"\r\n\r\n" in so_far)
            assert statuses(received) == [200]
            assert b"connection: close" not in received


@pytest.mark.parametrize("expects", [False, True])
def test_an_upload_in_chunks_comes_whole(studio: Studio, expects: bool) -> None:
    body = json.dumps({"name": "nobody", "password": "x" * 20_000}).encode()
    head = b"POST /api/v1/sessions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nConnection: close\r\n"
    head += b"Transfer-Encoding: chunked\r\n" + (b"Expect: 100-continue\r\n" if expects else b"")
    with connect(studio.port) as client:
        client.sendall(head + b"\r\n")
        if expects:
            assert statuses(read_until(client, lambda so_far: b"\r\n\r\n" in so_far)) == [100]
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.sendall(b"0\r\n\r\n")
        received = rest(client)
    problem = json.loads(received.partition(b"\r\n\r\n")[2])
    assert problem["status"] in (401, 422)  # read to its end and judged, not cut short, which would be no JSON
    assert "JSON" not in json.dumps(problem)


def test_a_request_that_asks_for_another_protocol_is_answered_and_ends_the_connection(studio: Studio) -> None:
    for protocol in (b"h2c", b"websocket"):
        asked = HEALTH[:-2] + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n"
        received = answers(studio.port, asked + b"\x00" * 1000)
        assert statuses(received) == [200]
        assert b"connection: close" in received


# Smaller limits


def test_of_an_endless_head_little_is_read(serve: Callable[..., Server]) -> None:
    server = serve()
    flood(server.port, b"GET / HTTP/1.1\r\nX: ", b"a" * (1 << 16), 100 << 20)
    wait_until("the end of the connection", lambda: server.lost)
    assert server.bytes_read <= 512 << 10
    assert server.seen == []


@pytest.mark.parametrize(
    ("start", "block"),
    [
        pytest.param(CHUNKED + b"1;", b"a" * (1 << 16), id="a chunk's extension"),
        pytest.param(CHUNKED + b"1\r\na\r\n0\r\nX: ", b"a" * (1 << 16), id="a trailer"),
        pytest.param(CHUNKED + b"1\r\na\r\n0\r\n", b"X: a\r\n" * 10_000, id="trailers"),
        pytest.param(CHUNKED, b"0" * (1 << 16), id="a chunk's size"),
    ],
)
def test_what_is_beside_a_body_is_bounded_too(serve: Callable[..., Server], start: bytes, block: bytes) -> None:
    server = serve()
    _, said = flood(server.port, start, block, 100 << 20)
    wait_until("the end of the connection", lambda: server.lost)
    assert server.bytes_read <= 512 << 10
    assert statuses(said) in ([], [431], [400])
    wait_until("the application's hearing of it", lambda: server.seen[0].get("last") == "http.disconnect")


def test_what_is_beside_a_body_is_refused_without_another_byte(serve: Callable[..., Server]) -> None:
    server = serve()
    assert statuses(answers(server.port, CHUNKED + b"1;" + b"a" * (80 << 10))) == [431]


def test_trailers_do_not_pass_for_headers(serve: Callable[..., Server]) -> None:
    server = serve()
    follows = b"GET /next HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    received = answers(server.port, CHUNKED, b"3;x=y\r\nabc\r\n0\r\nAuthorization: a\r\nX-B: b\r\n\r\n", follows)
    assert statuses(received) == [200, 200]
    assert [(seen["path"], seen["bytes"]) for seen in server.seen] == [("/", 3), ("/next", 0)]
    names = {name for seen in server.seen for name, _ in seen["headers"]}
    assert names == {"host", "transfer-encoding", "connection"}


def test_a_large_upload_comes_whole(serve: Callable[..., Server]) -> None:
    server = serve()
    size = 20 << 20
    assert httpx.post(f"http://127.0.0.1:{server.port}/", content=b"a" * size).json()["bytes"] == size
    pieces = (b"a" * (1 << 16) for _ in range(size >> 16))
    assert httpx.post(f"http://127.0.0.1:{server.port}/", content=pieces).json()["bytes"] == size


def test_a_connection_that_says_nothing_is_closed_without_a_word(serve: Callable[..., Server]) -> None:
    server = serve(head_seconds=0.3)
    assert answers(server.port) == b""
    assert answers(server.port, b"\r\n") == b""


def test_a_head_that_comes_byte_by_byte_without_end_is_cut_off(serve: Callable[..., Server]) -> None:
    server = serve(head_seconds=0.5)
    with connect(server.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        client.settimeout(0.02)
        received = b""
        for _ in range(int(DEADLINE / 0.02)):
            with contextlib.suppress(TimeoutError):
                received = client.recv(1 << 16)
                break
            client.sendall(b"a")
    assert statuses(received) == [408]
    assert server.seen == []


@pytest.mark.parametrize("at_once", [False, True])
def test_a_later_head_must_end_in_time_too(serve: Callable[..., Server], at_once: bool) -> None:
    server = serve(head_seconds=0.5)
    first, second = b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /second HTTP/1.1\r\n"
    with connect(server.port) as client:
        client.sendall(first + second if at_once else first)
        read_until(client, lambda so_far: so_far.endswith(b"}"))
        client.sendall(b"" if at_once else second)
        assert statuses(rest(client)) == [408]


def test_empty_lines_do_not_keep_a_connection_open(serve: Callable[..., Server]) -> None:
    server = serve(head_seconds=0.5)
    with connect(server.port) as client:
        client.sendall(b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n")
        read_until(client, lambda so_far: so_far.endswith(b"}"))
        client.sendall(b"\r\n")
        assert rest(client) == b""


@pytest.mark.parametrize(
    "part", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x"]
)
def test_a_body_that_stalls_ends_the_connection(serve: Callable[..., Server], part: bytes) -> None:
    server = serve(body_seconds=0.5)
    assert statuses(answers(server.port, POST + part)) == [408]
    wait_until("the application's hearing of it", lambda: server.seen[0].get("last") == "http.disconnect")


@pytest.mark.parametrize("path", [b"/", b"/late"])
def test_a_body_that_comes_slowly_but_comes_is_waited_for(serve: Callable[..., Server], path: bytes) -> None:
    server = serve(head_seconds=0.5, body_seconds=2.0)
    gap = threading.Event()
    with connect(server.port) as client:
        client.sendall(b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            gap.wait(0.3)
            client.sendall(b"a")
        server.go_on.set()
        assert statuses(read_until(client, lambda so_far: b'"bytes": 10' in so_far)) == [200]


@pytest.mark.parametrize("expects", [False, True])
def test_a_body_that_waits_for_the_application_is_not_late(serve: Callable[..., Server], expects: bool) -> None:
    server = serve(body_seconds=0.5)
    size = 16 << 20  # more than all buffers hold
    head = b"POST /late HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n" % size
    with connect(server.port) as client, ThreadPoolExecutor() as pool:
        client.sendall(head + (b"Expect: 100-continue\r\n\r\n" if expects else b"\r\n"))
        wait_until("the request", lambda: server.seen)
        sending = None if expects else pool.submit(client.sendall, b"a" * size)
        assert not server.go_on.wait(2)
        server.go_on.set()
        if expects:
            assert statuses(read_until(client, lambda so_far: b"\r\n\r\n" in so_far)) == [100]
            sending = pool.submit(client.sendall, b"a" * size)
        received = read_until(client, lambda so_far: b'"bytes": ' in so_far)
        assert f'"bytes": {size}'.encode() in received
        assert sending is not None
        sending.result()


def test_a_body_is_awaited_from_when_the_application_wants_it(serve: Callable[..., Server]) -> None:
    server = serve(body_seconds=3.0)
    head = b"POST /late HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    gap = threading.Event()
    with connect(server.port) as client:
        client.sendall(head)
        gap.wait(2)
        server.go_on.set()
        assert statuses(read_until(client, lambda so_far: b"\r\n\r\n" in so_far)) == [100]
        gap.wait(2)
        client.sendall(b"abc")
        assert statuses(read_until(client, lambda so_far: b'"bytes": 3' in so_far)) == [200]


def test_an_answer_that_takes_long_is_not_cut_off_by_what_the_client_sends_meanwhile(
    serve: Callable[..., Server],
) -> None:
    server = serve(head_seconds=0.3, body_seconds=0.3)
    with connect(server.port) as client:
        client.sendall(b"GET /late HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until("the request", lambda: server.seen)
        client.sendall(b"GET /half")
        assert not server.go_on.wait(1.5)
        server.go_on.set()
        assert statuses(rest(client)) == [200]
    assert [seen["path"] for seen in server.seen] == ["/late"]


def test_so_many_pipelined_requests_wait_and_no_more(serve: Callable[..., Server]) -> None:
    server = serve(queued_requests=5)
    with connect(server.port) as client:
        client.sendall(b"GET /late HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until("the request", lambda: server.seen)
        more = (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 50
        before = server.bytes_read
        client.sendall(more)
        wait_until("the others", lambda: server.bytes_read == before + len(more))
        server.go_on.set()
        assert statuses(rest(client)) == [200] * 6
    assert len(server.seen) == 6


def test_every_request_of_a_lost_connection_hears_of_it(serve: Callable[..., Server]) -> None:
    server = serve()
    with connect(server.port) as client:
        client.sendall(b"GET /long HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /queued HTTP/1.1\r\n" + HOST + b"\r\n")
        read_until(client, lambda so_far: b"200 OK" in so_far)
    wait_until("its hearing of it", lambda: server.seen[0].get("last") == "http.disconnect")


def test_a_closed_connection_leaves_no_timer(serve: Callable[..., Server]) -> None:
    server = serve()
    for part in (b"", b"GET / HT", POST + b"Content-Length: 9\r\n\r\nabc", b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"):
        with connect(server.port) as client:
            client.sendall(part)
            wait_until("what was sent", lambda part=part: server.bytes_read >= len(part))
        server.bytes_read = 0
    wait_until("the ends of the connections", lambda: len(server.lost) == 4)
    assert [(protocol.timer, protocol.timeout_keep_alive_task) for protocol in server.lost] == [(None, None)] * 4


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone has it")
def test_half_open_connections_are_found(serve: Callable[..., Server]) -> None:
    server = serve()
    with connect(server.port):
        wait_until("the connection", lambda: server.server_state.connections)
        (protocol,) = server.server_state.connections
        found = protocol.transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 180_000
