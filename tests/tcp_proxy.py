"""A TCP proxy between a studio and one of its servers, which can be told to misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType


def connected(target: int | Path | None) -> socket.socket:
    """Raises OSError."""
    if target is None:
        raise ConnectionRefusedError
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target))
    made = socket.socket(socket.AF_UNIX)
    made.connect(str(target))
    return made


class TcpProxy:
    """Passes bytes on to a port of this machine or to a socket's path; None: to nobody. While `swallows` is set they
    vanish both ways, and connections stay open and silent.
    """

    def __init__(self, target: int | Path | None) -> None:
        self.target = target
        self.swallows = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.sockets: list[socket.socket] = []
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # closed alone, it would still accept whoever comes next
        self.listener.close()
        self.accepting.join(10)
        self.cut()

    def cut(self) -> None:
        """End every connection."""
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.sockets.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.sockets.append(near)
                try:
                    far = connected(self.target)
                except OSError:
                    near.close()
                    continue
                self.sockets.append(far)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                if not self.swallows:
                    sink.sendall(block)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
