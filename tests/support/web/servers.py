"""Real servers for applications of this process, in threads: uvicorn for ASGI, the standard library's for WSGI."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest

from support.watching import eventually
from support.web.client import Address


@contextmanager
def uvicorn_server(app: Any) -> Iterator[Address]:
    """A server of its own: started, with its lifespan, and stopped."""
    uvicorn = pytest.importorskip("uvicorn", exc_type=ImportError)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http="h11", ws="wsproto", lifespan="auto", log_config=None, loop="asyncio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        eventually(lambda: server.started or not thread.is_alive())
        assert server.started, "the server has ended instead of starting"
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


class _Shared:
    """One server for applications one after another: to start and stop one takes longer than most tests."""

    def __init__(self) -> None:
        self.app: Any = None
        self._running: AbstractContextManager[Address] | None = None
        self._address: Address | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)

    def address(self) -> Address:
        if self._address is None:
            self._running = uvicorn_server(self)
            self._address = self._running.__enter__()
        return self._address

    def stop(self) -> None:
        if self._running is not None:
            self._running.__exit__(None, None, None)
        self._running = self._address = None


SHARED = _Shared()  # stopped with each file of tests


@contextmanager
def shared_uvicorn(app: Any) -> Iterator[Address]:
    """An application without its lifespan, on a server that others had before it."""
    SHARED.app = app
    try:
        yield SHARED.address()
    finally:
        SHARED.app = None


def logged(caplog: pytest.LogCaptureFixture) -> type[BaseException] | None:
    """The class of the one exception that a server logs, which may come after the response."""
    eventually(lambda: any(record.exc_info for record in caplog.records))
    ((kind, _, _),) = [record.exc_info for record in caplog.records if record.exc_info]
    return kind


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def get_stderr(self) -> Any:
        return io.StringIO()  # it writes the traces of what applications raise


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        self.address_family = socket.AF_INET
        super(WSGIServer, self).server_bind()  # without looking up the name of this machine
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


@contextmanager
def wsgiref_server(app: Any) -> Iterator[Address]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join(20)
