"""An HTTP/2 server on loopback, without TLS, that does what its paths say.

``/status/503``, ``/refused``, ``/reset`` and ``/calm`` (the stream is refused, reset, told to calm down before its
head), ``/cut`` (reset within its body), ``/goaway`` (the connection is over, and this stream was not processed),
``/gone`` (the connection closes unsaid).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived

_RESETS = {
    "/refused": ErrorCodes.REFUSED_STREAM,
    "/reset": ErrorCodes.INTERNAL_ERROR,
    "/calm": ErrorCodes.ENHANCE_YOUR_CALM,
    "/cut": ErrorCodes.INTERNAL_ERROR,
}


class H2Server:
    """``requests`` has the path of each request that was seen."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = self._listener.getsockname()[1]
        self.url, self.name = f"http://127.0.0.1:{port}", f"http:127.0.0.1:{port}"
        self.requests: list[str] = []
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            http = H2Connection(H2Configuration(client_side=False))
            http.initiate_connection()
            connection.sendall(http.data_to_send())
            while data := connection.recv(65536):
                ends = [self._answer(http, event) for event in http.receive_data(data)]
                connection.sendall(http.data_to_send())
                if not all(ends):
                    return

    def _answer(self, http: Any, event: Any) -> bool:
        """Whether the connection goes on."""
        if not isinstance(event, RequestReceived):
            return True
        assert event.headers is not None
        path, stream = dict(event.headers)[b":path"].decode(), event.stream_id
        self.requests.append(path)
        if path == "/goaway":
            http.close_connection(ErrorCodes.NO_ERROR, last_stream_id=0)
            return False
        if path == "/gone":
            return False
        if path in _RESETS:
            if path == "/cut":
                http.send_headers(stream, [(":status", "200"), ("content-length", "100")])
                http.send_data(stream, b"some")
            http.reset_stream(stream, _RESETS[path])
            return True
        status = path.removeprefix("/status/") if path.startswith("/status/") else "200"
        http.send_headers(stream, [(":status", status)])
        http.send_data(stream, b"ok", end_stream=True)
        return True
