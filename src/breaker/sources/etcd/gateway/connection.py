"""One connection to etcd's JSON gateway: TCP or TLS, HTTP/1.1, limits on every wait, and a way to wake who waits.

Owned by one thread. `Connection.close` may come from any thread: it shuts the socket down, which wakes the owner; only
the owner closes the descriptor, or another socket might get its number while the owner still waits for it.

An answer has to be whole within the limit of a request, and one second more for each `LEAST_RATE` bytes of its body
that have come. Heads, chunks' sizes and trailers buy no time.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from breaker.errors import Unreachable
from breaker.sources.etcd.gateway.chunks import Lines
from breaker.sources.etcd.gateway.http import Answer, NoHttp, request
from breaker.sources.etcd.gateway.trouble import BadFile, explain
from breaker.sources.etcd.transport import LEAST_RATE, Access, Endpoint, Limits

_PART = 1 << 16  # bytes to receive at once
_SMALL, _IN_A_ROW, _REST = 1024, 16, 0.005  # after 16 parts below 1 KiB each next one is waited for: seconds


def tls_context(access: Access) -> ssl.SSLContext:
    """Made anew for each session, so that files that were replaced are read. Raises `BadFile`."""
    for path in filter(None, (access.ca, access.cert, access.key)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise BadFile(f"cannot read {path}: {error.strerror}") from error
    files = access.ca
    try:
        context = ssl.create_default_context(cafile=access.ca)
        if access.cert is not None:
            files = f"{access.cert} with the key in {access.key or access.cert}"
            # With a password, even this one, OpenSSL does not ask for another at the terminal.
            context.load_cert_chain(access.cert, access.key, password="")
    except ssl.SSLError as error:
        raise BadFile(f"{files}: not what is needed, in PEM form and without a password ({error.reason})") from error
    return context


class Stale(Exception):
    """A connection that was kept had ended before the server answered anything on it."""


class Connection:
    """A connection that is made by `connect` and ends with the first error."""

    def __init__(self, endpoint: Endpoint, access: Access, limits: Limits) -> None:
        self.endpoint = endpoint
        self._place = f"etcd at {endpoint}"
        self._access = access
        self._limits = limits
        self._lock = threading.RLock()  # of closing; re-entrant, because a finalizer may close
        self._owner = 0
        self._closed = False
        self._sock: socket.socket | None = None
        self._used = False
        self._small = 0  # parts in a row that brought little
        self._stream: Answer | None = None
        self._lines: Lines | None = None
        self._begun = 0.0  # when the line began that is not whole yet

    # -- life --

    def is_usable(self) -> bool:
        """Whether a request may be sent on it, as far as is known. Closes it if not.

        Not where something has come since the last answer: the end, or words that nobody asked for, as proxies send
        408 on idle connections. The next request would take them for its answer.
        """
        if self._sock is not None and self._used and _has_more(self._sock):
            self.close()
        return self._sock is not None and not self._closed

    def connect(self) -> None:
        """Connect to the first address that answers. Raises `Unreachable` or `Refused`."""
        self._owner = threading.get_ident()
        try:
            sock = self._connect_tcp()
            if self.endpoint.tls:
                self._wrap(sock)
        except (OSError, ValueError) as error:  # ValueError: a host that is no host name
            self.close()
            raise explain(error, "cannot connect to", self.endpoint) from error

    def _connect_tcp(self) -> socket.socket:
        problem: OSError = OSError("the name has no address")
        found = socket.getaddrinfo(self.endpoint.host, self.endpoint.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            self._hold(sock)
            try:
                sock.settimeout(self._limits.connect)
                sock.connect(address)
                _tune(sock)
                return sock
            except OSError as error:
                problem = error
                self._release()
        raise problem

    def _wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        name = self._access.server_name or self.endpoint.host
        context = tls_context(self._access)
        wrapped = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        self._hold(wrapped)
        wrapped.do_handshake()
        return wrapped

    def _hold(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
            if self._closed:
                self._release()
                raise ConnectionAbortedError("the source is stopped")

    def _release(self) -> None:
        with self._lock:
            sock, self._sock = self._sock, None
            if sock is not None:
                _shut_down(sock)
                sock.close()

    def close(self) -> None:
        """End the connection and wake its owner."""
        with self._lock:
            self._closed = True
            if self._sock is not None:
                _shut_down(self._sock)
        if self._owner == threading.get_ident():
            self._release()

    def forget(self) -> None:
        """In a forked child: the copy of the descriptor goes, the connection stays the parent's."""
        sock, self._sock = self._sock, None
        self._closed = True
        if sock is not None and (number := sock.detach()) >= 0:
            os.close(number)

    # -- one request, one answer --

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer, whole. Raises `Stale`, `Unreachable`, `Refused` or `TooBig` and closes the connection."""
        answer = Answer(self._place, self._limits.answer)
        self._exchange(path, body, headers, answer, lambda: answer.ended)
        if not answer.keeps:
            self.close()
        return answer

    def _exchange(
        self, path: str, body: bytes, headers: Mapping[str, str], answer: Answer, done: Callable[[], bool]
    ) -> None:
        kept, self._used, self._small = self._used, True, 0
        if self._sock is None:
            raise Stale
        began, fed = time.monotonic(), False
        try:
            self._send(request(*self.endpoint[:2], path, body, headers), began + self._limits.request)
            while not done():
                allowed = self._limits.request + answer.payload / LEAST_RATE
                data = self._receive(began + allowed - time.monotonic())
                if data is None:
                    raise TimeoutError
                if not data and not fed:
                    raise ConnectionResetError("closed without an answer")
                fed = True
                answer.feed(data) if data else answer.end()
        except (OSError, ValueError, NoHttp) as error:
            if kept and not fed and isinstance(error, ConnectionError) and not self._closed:
                raise Stale from error
            self.close()
            raise self._explained(error, answer) from error
        except BaseException:
            self.close()
            raise

    def _explained(self, error: Exception, answer: Answer) -> Exception:
        if isinstance(error, TimeoutError) and (answer.status or answer.payload):
            return Unreachable(
                f"the answer of {self._place} does not come to its end: {answer.payload} bytes in "
                f"{self._limits.request:g} s and a second for each {LEAST_RATE >> 10} KiB; check what is between"
            )
        return explain(error, "no answer from", self.endpoint)

    def _send(self, data: bytes, deadline: float) -> None:
        """Send it, or as much as the other side takes: why it takes no more it may have said, and that is received."""
        rest = memoryview(data)
        with suppress(ConnectionError, ssl.SSLEOFError):
            while rest:
                sock = self._sock_now()
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                rest = rest[sock.send(rest) :]

    # -- one request, an answer without end --

    def stream(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """An answer that goes on: its lines come by `next_line`. If its status is not 200, it is whole."""
        self._lines = Lines(self._place, self._limits.answer)
        answer = self._stream = Answer(self._place, self._limits.answer, self._lines)
        self._exchange(path, body, headers, answer, lambda: answer.status == 200 or answer.ended)
        self._begun = time.monotonic()
        return answer

    def next_line(self, seconds: float) -> bytes | None:
        """The next whole line of the stream, or None when none has come in time. A line that has begun has a limit."""
        assert self._stream is not None, "stream() comes first"
        assert self._lines is not None
        deadline = time.monotonic() + seconds
        while (line := self._lines.pop()) is None:
            if self._stream.ended:
                raise Unreachable(f"{self._place} has ended the watch")
            limit = deadline
            if self._lines.begun:
                limit = min(deadline, self._begun + self._limits.request + self._lines.begun / LEAST_RATE)
            data = self._receive_or_close(limit - time.monotonic())
            if data is None:
                if limit < deadline:
                    self.close()
                    raise Unreachable(
                        f"a message of the watch of {self._place} does not come to its end; if a proxy is between, "
                        "let it buffer nothing (nginx: proxy_buffering off)"
                    )
                return None
            begun = self._lines.begun
            self._feed(data)
            if not begun:
                self._begun = time.monotonic()
        self._small, self._begun = 0, time.monotonic()
        return line

    def _feed(self, data: bytes) -> None:
        assert self._stream is not None
        try:
            self._stream.feed(data)
        except BaseException:
            self.close()
            raise

    def _receive_or_close(self, seconds: float) -> bytes | None:
        try:
            data = self._receive(seconds)
        except OSError as error:
            self.close()
            raise explain(error, "lost the connection to", self.endpoint) from error
        if data is not None and not data:
            self.close()
            raise Unreachable(f"lost the connection to {self._place}: it was closed by the other side")
        return data

    # -- bytes --

    def _receive(self, seconds: float) -> bytes | None:
        """What has come; None: nothing in time; empty: the other side has ended."""
        if self._small >= _IN_A_ROW and seconds > _REST:
            time.sleep(_REST)  # so that whoever sends byte by byte costs no more than who does not
            seconds -= _REST
        sock = self._sock_now()
        sock.settimeout(max(0.0, seconds))
        try:
            data = sock.recv(_PART)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return None
        except ssl.SSLEOFError:
            data = b""  # without the words of TLS for it
        self._small = self._small + 1 if len(data) < _SMALL else 0
        return data

    def _sock_now(self) -> socket.socket:
        if self._sock is None or self._closed:
            raise Unreachable(f"the connection to {self._place} is closed")
        return self._sock


def _tune(sock: socket.socket) -> None:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # A dead peer is noticed by the system too, in about 25 s; not every platform has all of these.
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 20_000)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for level, option, value in options:
        sock.setsockopt(level, option, value)


def _has_more(sock: socket.socket) -> bool:
    try:
        sock.settimeout(0.0)
        sock.recv(1)  # no peek: TLS has tickets and new keys at any time, which are no words of the server's
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        pass
    return True


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):  # not connected, or gone
        # The plain socket's, also for TLS: SSLSocket.shutdown takes the TLS state away under the owner's feet.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
