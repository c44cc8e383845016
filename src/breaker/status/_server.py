"""The page on a port of its own: threads, the standard library, and a bound on everything."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from breaker.provider import Provider
from breaker.status._actions import Authorise
from breaker.status._application import Application, too_many_readers
from breaker.status._requests import Answer, Request, fault
from breaker.status._threads import Chunks

__all__ = ["StatusServer", "serve"]

_MOST_CONNECTIONS = 64
_REQUEST_SECONDS = 10.0  # for a whole request to come, and for each write
_LONGEST_LINE = 16384
_CLOSE_SECONDS = 2.0  # that close() waits for the thread


def serve(
    provider: Provider,
    address: str = "127.0.0.1:0",
    *,
    actions: Authorise | None = None,
    hosts: Iterable[str] = (),
) -> StatusServer:
    """Serve the status page from daemon threads of this process until it is closed.

    Args:
        provider: Whose breakers.
        address: ``"HOST:PORT"``; port 0 is a free one. An address that others reach shows them the page.
        actions: As for `asgi`.
        hosts: Names by which browsers may ask for it, besides ``localhost`` and numeric addresses. Under any other the
            page is refused: a foreign site may give its own name the address of this machine.

    Returns:
        The running server. A forked child has none; it may make its own.

    Raises:
        TypeError: As for `asgi`; an address that is no text; ``hosts`` that are no names.
        ValueError: An address that is none.
        OSError: Nobody can listen there, for the reason that it names.

    .. versionadded:: 0.1
    """
    return StatusServer(provider, address, actions, hosts)


class StatusServer:
    """A running status page. A context manager that closes it.

    Thread safety:
        All of it may be called from any thread.

    .. versionadded:: 0.1
    """

    def __init__(self, provider: Provider, address: str, actions: Authorise | None, hosts: Iterable[str]) -> None:
        host, port = read_address(address)
        self._hosts = {"localhost", *_names(hosts)}
        self._application = Application(provider, actions)
        self._lock = threading.Lock()  # of the two below
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._listening = _listen(host, port, address)
        self._url = _url(self._listening)
        self._thread = threading.Thread(target=self._accept, name="breaker-status", daemon=True)
        self._thread.start()
        _servers.add(self)

    @property
    def url(self) -> str:
        """Where the page is, like ``http://127.0.0.1:40123/``."""
        return self._url

    def close(self) -> None:
        """Stop listening and cut all connections. May be called twice. Waits at most 2 s for the thread."""
        with self._lock:
            was_closed, self._closed = self._closed, True
            connections = list(self._connections)
        if was_closed:
            return
        self._application.close()
        for end in (self._listening, *connections):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
        self._listening.close()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<StatusServer {self._url}{', closed' if self._closed else ''}>"

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, client = self._listening.accept()
            except OSError:
                if not self._closed:  # too many open files, or a connection that has gone already
                    time.sleep(0.1)
                continue
            with self._lock:
                full = self._closed or len(self._connections) >= _MOST_CONNECTIONS
                if not full:
                    self._connections.add(connection)
            if full:
                connection.close()
                continue
            thread = threading.Thread(
                target=self._serve, args=(connection, client), name="breaker-status-request", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter ends
                self._forget(connection)

    def _serve(self, connection: socket.socket, client: Any) -> None:
        try:
            _Handler(connection, client, self)
        except OSError:
            pass  # the other end has gone, or takes too long
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)  # a reset would throw away what is not read yet
        connection.close()

    def _after_fork_in_child(self) -> None:
        """The parent serves; the child must not hold its sockets open."""
        self._lock = threading.Lock()
        self._closed = True
        connections, self._connections = self._connections, set()
        for end in (self._listening, *connections):
            with contextlib.suppress(OSError):
                end.close()

    def knows(self, host: str) -> bool:
        """Is a Host header one that only this server can have? A numeric address cannot be pointed elsewhere."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
            return name in self._hosts or bool(ipaddress.ip_address(name))
        except ValueError:
            return False


class _Handler(BaseHTTPRequestHandler):
    """Serves one request of one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "breaker"
    sys_version = ""
    timeout = _REQUEST_SECONDS

    def __init__(self, connection: socket.socket, client: Any, owner: StatusServer) -> None:
        self._owner = owner
        no_server: Any = None  # of `socketserver`: it is asked nothing
        super().__init__(connection, client, no_server)

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Deadline(self.connection))

    def handle(self) -> None:
        self.command = ""
        self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
        if len(self.raw_requestline) > _LONGEST_LINE:
            self.send_error(414)
        elif self.parse_request():
            self._answer()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.request_version = self.protocol_version  # where none was understood
        self._send(fault(code, message or HTTPStatus(code).phrase))

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing: the program's log is the program's."""

    def _answer(self) -> None:
        host = self.headers.get_all("Host") or []
        if len(host) != 1 or not self._owner.knows(host[0]):
            problem = "the page is not served under this name; ask by a numeric address, or give serve() hosts=[…]"
            return self._send(fault(421, problem))
        try:
            target = urlsplit(self.path)
        except ValueError:
            return self._send(fault(400, "the request's target is none"))
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        request = Request(self.command, unquote(target.path), headers, self.client_address[0])
        application = self._owner._application
        limit = application.body_limit(self.command, request.path)
        body = self._body(limit) if limit else b""
        if body is None:
            return self._send(fault(411, "a body comes with its Content-Length"))
        answer = application.answer(request, target.query, body)
        if answer.follows is None:
            return self._send(answer)
        chunks = Chunks(application.hub, answer.follows)
        if chunks.refused:
            return self._send(too_many_readers())
        try:
            self._send(answer)
            for chunk in chunks:
                self.wfile.write(chunk)
        finally:
            chunks.close()

    def _body(self, limit: int) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or (length and not (length.isascii() and length.isdigit())):
            return None
        return self.rfile.read(min(int(length[:10] or "0"), limit + 1))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.sent_headers():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


class _Deadline(io.RawIOBase):
    """Reads of a connection whose request has to be there in time, however slowly it drips."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = time.monotonic() + _REQUEST_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(_REQUEST_SECONDS)


def _names(hosts: Iterable[str]) -> list[str]:
    names = [] if isinstance(hosts, str) else list(hosts)
    if isinstance(hosts, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"hosts are names in a list, like ['status.internal'], got {hosts!r}")
    return [name.lower().rstrip(".") for name in names]


def read_address(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; an address with colons of its own is in brackets."""
    if not isinstance(address, str):
        raise TypeError(f"an address is text like '127.0.0.1:8080', got {type(address).__name__}")
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare and bare == host) or not (port.isascii() and port.isdigit()):
        raise ValueError(
            f"an address is HOST:PORT, like '127.0.0.1:8080' or '[::1]:8080', and port 0 a free one; got {address!r}"
        )
    if int(port) > 65535:
        raise ValueError(f"a port is a number from 0 to 65535, got {port} in {address!r}")
    return bare, int(port)


def _listen(host: str, port: int, address: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
        except BaseException:
            listening.close()
            raise
    except UnicodeError:
        raise ValueError(f"{host!r} in {address!r} is no name of a host") from None
    except OSError as error:
        raise type(error)(error.errno, f"the status page cannot listen on {address!r}: {error.strerror}") from error
    return listening


def _url(listening: socket.socket) -> str:
    place: tuple[str, int] = listening.getsockname()[:2]
    host, port = place
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host) or host
    return f"http://[{here}]:{port}/" if ":" in here else f"http://{here}:{port}/"


_servers: weakref.WeakSet[StatusServer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for server in list(_servers):
        server._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
