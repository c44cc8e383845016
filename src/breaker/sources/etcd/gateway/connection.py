"""One connection to etcd's JSON gateway: TCP or TLS, HTTP/1.1, limits on every wait, and a way to wake who waits.

Owned by one thread. `Connection.close` may come from any thread: it shuts the socket down, which wakes the owner; only
the owner closes the descriptor, or another socket might get its number while the owner still waits for it.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from breaker.errors import Refused, TooBig, Unreachable
from breaker.sources.etcd.gateway.chunks import ChunkedLines
from breaker.sources.etcd.transport import Access, Endpoint, Limits

_PATIENCE = 10  # a whole answer may take 10 times the limit of a request
_PART = 1 << 16


class BadFile(OSError):
    """A file of certificates cannot be used; the text says which and why. `ssl` does not name it."""


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
        self._access = access
        self._limits = limits
        self._lock = threading.RLock()  # of closing; re-entrant, because a finalizer may close
        self._owner = 0
        self._closed = False
        self._sock: socket.socket | None = None
        self._http: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._lines: ChunkedLines | None = None
        self._used = False

    # -- life --

    def connect(self) -> None:
        """Connect to the first address that answers. Raises `Unreachable` or `Refused`."""
        self._owner = threading.get_ident()
        try:
            sock = self._connect_tcp()
            if self.endpoint.tls:
                sock = self._wrap(sock)
        except (OSError, ValueError) as error:  # ValueError: a host that is no host name
            self.close()
            raise self._explain(error, "cannot connect to") from error
        self._http = http.client.HTTPConnection(self.endpoint.host, self.endpoint.port)
        self._http.auto_open = 0
        self._http.sock = sock

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
        if self._http is not None:
            self._http.close()

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

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer. Raises `Stale`, `Unreachable`, `Refused` or `TooBig` and closes the line."""
        try:
            response = self._send(path, body, headers)
            parts, size, deadline = [], 0, time.monotonic() + _PATIENCE * self._limits.request
            while part := response.read(_PART):
                parts.append(part)
                size += len(part)
                if size > self._limits.answer:
                    raise TooBig(f"an answer of etcd at {self.endpoint} has more than {self._limits.answer} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError
            return response.status, b"".join(parts)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._explain(error, "no answer from") from error
        except BaseException:
            self.close()
            raise

    def _send(self, path: str, body: bytes, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        kept, self._used = self._used, True
        if self._http is None or self._http.sock is None or self._sock is None:
            raise Stale
        self._sock.settimeout(self._limits.request)
        try:
            self._http.request("POST", path, body, {"Content-Type": "application/json", **headers})
            return self._http.getresponse()
        except (ConnectionError, http.client.BadStatusLine) as error:
            if kept and not self._closed:
                raise Stale from error
            raise

    # -- one request, an answer without end --

    def stream(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status of an answer that goes on: its lines come by `next_line`. If it is not 200, the whole body too."""
        try:
            response = self._response = self._send(path, body, headers)  # kept: the socket may end with it
            if response.status != 200:
                return response.status, response.read(_PART)
            self._lines = ChunkedLines(response.chunked, self._limits.answer * 2)  # base64, and what stands around it
            self._sock_now().setblocking(False)
            self._lines.feed(_buffered(response))
            return 200, b""
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._explain(error, "no answer from") from error

    def next_line(self, seconds: float) -> bytes | None:
        """The next whole line of the stream, or None when none has come in time."""
        assert self._lines is not None, "stream() comes first"
        deadline = time.monotonic() + seconds
        while (line := self._lines.pop()) is None:
            if self._lines.ended:
                raise Unreachable(f"etcd at {self.endpoint} has ended the watch")
            if not self._wait(deadline - time.monotonic()):
                return None
            self._lines.feed(self._receive())
        return line

    def _wait(self, seconds: float) -> bool:
        """Wait at most ``seconds`` until there is something to receive."""
        sock = self._sock_now()
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def _receive(self) -> bytes:
        """What has come; nothing, where it was only a part of a TLS record. Raises `Unreachable` at the end."""
        try:
            data = self._sock_now().recv(_PART)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        except OSError as error:
            self.close()
            raise self._explain(error, "lost the connection to") from error
        if not data:
            self.close()
            raise Unreachable(f"lost the connection to etcd at {self.endpoint}: it was closed by the other side")
        return data

    def _sock_now(self) -> socket.socket:
        if self._sock is None or self._closed:
            raise Unreachable(f"the connection to etcd at {self.endpoint} is closed")
        return self._sock

    # -- errors --

    def _explain(self, error: BaseException, what: str) -> Unreachable | Refused:
        """The one place that knows what the system's errors of a connection mean."""
        place = f"{what} etcd at {self.endpoint}"
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "pass ca= for the authority that signed it, server_name= where its name differs from the address"
            return Refused(f"{place}: its certificate is not accepted ({error.verify_message}); {hint}")
        if isinstance(error, ConnectionResetError | ssl.SSLEOFError):  # of http.client too
            hint = "if it speaks no TLS, write http://" if self.endpoint.tls else "if it wants TLS, write https://"
            return Unreachable(f"{place}: it closed the connection; {hint}")
        if isinstance(error, ssl.SSLError):
            return Refused(f"{place}: {_tls_trouble(error)}")
        if isinstance(error, socket.gaierror):
            return Unreachable(f"{place}: the host name is not known ({error.strerror}); check the endpoint")
        if isinstance(error, BadFile):
            return Refused(f"{place}: {error}; check ca=, cert= and key=")
        if isinstance(error, TimeoutError):
            return Unreachable(f"{place}: no answer in time; check that it runs and that no firewall is between")
        if isinstance(error, ConnectionRefusedError):
            return Unreachable(f"{place}: nothing listens there; check the endpoint, and that etcd runs")
        if isinstance(error, http.client.BadStatusLine):
            return Refused(f"{place}: what answers there does not speak HTTP; check the endpoint, http:// or https://")
        return Unreachable(f"{place}: {getattr(error, 'strerror', None) or str(error) or type(error).__name__}")


def _tls_trouble(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return f"it speaks no TLS there ({reason}); check the port, or write http://"
    if "CERTIFICATE" in reason.upper() or "ALERT" in reason.upper():
        return f"it does not accept our certificate ({reason}); pass cert= and key= of a client it knows"
    return f"TLS fails ({reason}); check ca=, cert= and key="


def _tune(sock: socket.socket) -> None:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # A dead peer is noticed by the system too, in about 25 s; not every platform has all of these.
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 20_000)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for level, option, value in options:
        sock.setsockopt(level, option, value)


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):  # not connected, or gone
        # The plain socket's, also for TLS: SSLSocket.shutdown takes the TLS state away under the owner's feet.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _buffered(response: http.client.HTTPResponse) -> bytes:
    """What was read together with the head of the answer."""
    try:
        return response.fp.read1(_PART) or b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""
