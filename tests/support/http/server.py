"""An HTTP server on loopback that does what its paths say, on bare sockets: frameworks keep the rules.

``/status/503``, ``/empty`` (a body of no bytes), ``/body``, ``/gate`` (200, once the test's condition holds),
``/hang``, ``/drop``, ``/reset``, ``/half``, ``/half-reset``, ``/stall`` (a body that stops), ``/chunk-cut``,
``/chunk-garbage``, ``/garbage`` (not HTTP), ``/redirect/3`` (to ``/redirect/2`` … ``/status/200``),
``/elsewhere/PORT/PATH`` (a redirect to another server), ``/detour`` (one that has a body), ``/no-gzip`` (a body that
says it is compressed, and is not), ``/last`` (an answer, and the connection is closed unsaid). A
request in absolute form, as proxies get it, is answered by its path too.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

BODY = b"0123456789" * 2000  # more than a client takes with the head


class _Gone(Exception):
    """The connection is over."""


class Server:
    """``requests`` has a text for each request that was seen: ``"GET /status/200"``."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.name = f"http:127.0.0.1:{self.port}"  # of the breaker that it has by default
        self.requests: list[str] = []
        self.connections = 0
        self.gate: Callable[[], object] = lambda: True  # what ``/gate`` waits for, and the fault after a good head
        self.released = threading.Event()  # lets requests go that hang
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """No thread and no socket is left."""
        self.released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def wait_until_closed(self) -> None:
        """Until each connection that was accepted is over on this side."""
        for thread in self._threads[1:]:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection.makefile("rb") as stream:
                while True:
                    method, target = _read_request(stream.readline, stream.read)
                    self.requests.append(f"{method} {target}")
                    self._answer(connection, method, urlsplit(target).path)
        except (_Gone, OSError):
            pass
        finally:
            connection.close()

    def _answer(self, connection: socket.socket, method: str, path: str) -> None:
        what, _, detail = path[1:].partition("/")
        if what == "status":
            connection.sendall(_response(int(detail), b"" if method == "HEAD" or detail in ("204", "304") else b"ok"))
        elif what == "empty":
            connection.sendall(_response(200, b""))
        elif what == "redirect":
            steps = int(detail)
            to = f"/redirect/{steps - 1}" if steps > 1 else "/status/200"
            connection.sendall(_response(302, b"on", f"Location: {to}"))
        elif what == "elsewhere":
            port, _, rest = detail.partition("/")
            connection.sendall(_response(302, b"on", f"Location: http://127.0.0.1:{port}/{rest}"))
        elif what == "body":
            connection.sendall(_response(200, BODY))
        elif what == "detour":
            connection.sendall(_response(302, BODY, "Location: /status/200"))
        elif what == "no-gzip":
            connection.sendall(_response(200, BODY, "Content-Encoding: gzip"))
        elif what == "gate":
            self._wait_at_the_gate()
            connection.sendall(_response(200, b"ok"))
        elif what == "hang":
            self.released.wait(30)
            raise _Gone
        elif what == "last":
            connection.sendall(_response(200, b"bye"))
            raise _Gone
        else:
            connection.sendall(_BROKEN[what])
            if what == "stall":
                self.released.wait(30)
            elif what.startswith(("half", "chunk")):
                self._wait_at_the_gate()
            if what == "chunk-garbage":
                connection.sendall(b"no number\r\n")
            elif what.endswith("reset"):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _Gone

    def _wait_at_the_gate(self) -> None:
        while not (self.gate() or self.released.wait(0.001)):
            pass


def _response(status: int, body: bytes, *headers: str) -> bytes:
    length = [] if status in (204, 304) else [f"Content-Length: {len(body)}"]
    head = "\r\n".join([f"HTTP/1.1 {status} Told", *length, *headers, "", ""])
    return head.encode() + body


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_BROKEN = {
    "drop": b"",
    "reset": b"",
    "half": _response(200, BODY)[: len(BODY) // 2],
    "half-reset": _response(200, BODY)[: len(BODY) // 2],
    "stall": _response(200, BODY)[: len(BODY) // 2],
    "chunk-cut": _CHUNKED + b"5\r\n01234\r\n5\r\n01",
    "chunk-garbage": _CHUNKED + b"5\r\n01234\r\n",
    "garbage": b"220 mail.example.com ESMTP\r\n\r\n",
}


def _read_request(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> tuple[str, str]:
    """Method and target of the next request; its body is read away."""
    line = readline()
    if not line:
        raise _Gone
    method, target, _ = line.decode().split()
    length, chunked = 0, False
    while (header := readline()) not in (b"\r\n", b""):
        key, _, value = header.decode("latin-1").partition(":")
        if key.lower() == "content-length":
            length = int(value)
        elif key.lower() == "transfer-encoding":
            chunked = "chunked" in value
    while chunked and (size := int(readline() or b"0", 16)):
        read(size)
        readline()
    if chunked:
        readline()
    read(length)
    return method, target
