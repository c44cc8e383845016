"""Real servers of a status page, each by the name of its kind."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from breaker import Provider, status

Authorise = Callable[[status.Request], object]


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, path: str = "", method: str = "GET", body: bytes | None = None, **headers: str) -> Got:
    """One request, on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, parts.path + path, body, named)
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


class Stream:
    """A reader of events, on a bare socket."""

    def __init__(self, url: str, last_id: str | None = None, *, buffer: int | None = None) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(20)
        self.socket.connect((parts.hostname, parts.port))
        head = f"GET {parts.path}events HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        if last_id is not None:
            head += f"Last-Event-ID: {last_id}\r\n"
        self.socket.sendall(f"{head}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = http.client.parse_headers(self.file)
        self.last_id = last_id

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def lines(self) -> Iterator[str]:
        """The lines that come, until the other end closes; of a chunked answer without the chunks."""
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        rest = b""
        while True:
            if chunked:
                size = int(self.file.readline() or b"0", 16)
                part = self.file.read(size)
                self.file.readline()
            else:
                part = self.file.readline()
            if not part:
                return
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                yield line.decode()

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Kind and data of each event."""
        kind = data = ""
        for line in self.lines():
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data = value
            elif not line and data:
                yield kind, json.loads(data)
                kind = data = ""

    def until_ready(self) -> None:
        """The server listens for events from here on: it has said where the stream begins."""
        for line in self.lines():
            if line.startswith("id: "):
                self.last_id = line.removeprefix("id: ")
                return


class _Quiet(WSGIRequestHandler):
    many = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def handle(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if self.parse_request():
            stdin: Any = self.rfile
            stdout: Any = self.wfile
            handler = ServerHandler(stdin, stdout, self.get_stderr(), self.get_environ(), multithread=self.many)
            handler.request_handler = self  # type: ignore[attr-defined]
            handler.run(self.server.get_app())  # type: ignore[attr-defined]


class _OneAtATime(_Quiet):
    many = False


class _ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Readers that hang up are none of our errors."""


@contextlib.contextmanager
def wsgi_server(application: Any, *, many: bool = True) -> Iterator[str]:
    """An application in the standard library's server."""
    server = _ThreadedServer(("127.0.0.1", 0), _Quiet if many else _OneAtATime)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextlib.contextmanager
def asgi_server(application: Any) -> Iterator[str]:
    """An application in uvicorn."""
    import uvicorn

    class Server(uvicorn.Server):
        started_event = threading.Event()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are the main thread's

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

    ready = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(application, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@contextlib.contextmanager
def page_served(kind: str, provider: Provider, actions: Authorise | None = None) -> Iterator[str]:
    """The page in a server of this kind; gives its address."""
    if kind == "serve":
        with status.serve(provider, actions=actions) as server:
            yield server.url
    elif kind.startswith("wsgi"):
        application: Any = status.wsgi(provider, actions=actions)
        mounted = application
        if kind == "wsgi below":
            from werkzeug.middleware.dispatcher import DispatcherMiddleware

            def nothing(environ: Any, start_response: Any) -> list[bytes]:
                start_response("404 Not Found", [])
                return []

            mounted = DispatcherMiddleware(nothing, {"/über/it".encode().decode("latin-1"): application})
        with wsgi_server(mounted) as url:
            yield url + ("%C3%BCber/it/" if kind == "wsgi below" else "")
        application.close()
    else:
        application = status.asgi(provider, actions=actions)
        mounted = application
        if kind == "asgi below":
            from starlette.applications import Starlette
            from starlette.routing import Mount

            mounted = Starlette(routes=[Mount("/ops", routes=[Mount("/status", app=application)])])
        with asgi_server(mounted) as url:
            yield url + ("ops/status/" if kind == "asgi below" else "")


_NEEDED = {
    "serve": [],
    "wsgi": [],
    "wsgi below": ["werkzeug"],
    "asgi": ["uvicorn"],
    "asgi below": ["uvicorn", "starlette"],
}
KINDS = [kind for kind, needed in _NEEDED.items() if all(importlib.util.find_spec(each) for each in needed)]
