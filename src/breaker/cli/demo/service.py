"""The other side of the demo: an HTTP service on 127.0.0.1 that can fall ill, and the function that calls it.

``/inventory`` follows the condition that the demo sets; ``/pricing`` always stays healthy.
"""

from __future__ import annotations

import http.client
import itertools
import sys
import threading
from collections import Counter
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast

INVENTORY = "/inventory"
PRICING = "/pricing"

_HEALTHY_SECONDS = 0.005
_FAILING_SECONDS = 0.020
_STALL_EVERY = 4


class Condition(Enum):
    """How the service answers on ``/inventory``."""

    HEALTHY = "healthy"
    FAILING = "slow and failing"
    RECOVERED = "healthy again"


class ServiceError(Exception):
    """The service answered, but with a status of 500 or more."""


CALL_ERRORS = (ServiceError, OSError, http.client.HTTPException)
"""What ``fetch`` can raise; a time limit that has passed is a ``TimeoutError``, which is an ``OSError``."""


def fetch(address: tuple[str, int], path: str, *, timeout: float) -> bytes:
    """GET ``path`` over a new connection and return the body; ``timeout`` seconds for each step."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status >= 500:
        raise ServiceError(f"HTTP status {response.status}")
    return body


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; HTTP/1.0, so that a connection and its thread end with the answer."""

    def do_GET(self) -> None:
        server = cast(_Server, self.server)
        status, delay = server.plan(self.path)
        server.stopping.wait(delay)
        body = b"{}" if status == 200 else b""
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            pass  # the caller's time limit has passed and it has hung up: that is what a stall is for

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the demo's output is the breakers' log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() then waits for every handler: no thread is left
    request_queue_size = 256  # a short queue makes the kernel drop connections when all workers call at once

    def __init__(self, stall: float) -> None:
        self.condition = Condition.HEALTHY
        self.received: Counter[tuple[str, Condition]] = Counter()
        self.stopping = threading.Event()
        self._stall = stall
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def plan(self, path: str) -> tuple[int, float]:
        """Count the request and decide its answer: status and seconds until it is sent."""
        if path not in (INVENTORY, PRICING):
            return 404, 0.0
        with self._lock:
            self.received[path, self.condition] += 1
            if path == PRICING or self.condition is not Condition.FAILING:
                return 200, _HEALTHY_SECONDS
            stalls = next(self._numbers) % _STALL_EVERY == 0
        return (200, self._stall) if stalls else (503, _FAILING_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a defect of the handler; a caller that hung up while its request was read is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class DemoService:
    """The service as a context manager: it listens on a free port while the block runs.

    While it fails it answers three of four requests with 503 and keeps the fourth waiting ``stall`` seconds.
    """

    def __init__(self, *, stall: float) -> None:
        self._server = _Server(stall)
        # The short poll is how long leaving the block may take.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="demo-service"
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self._server.server_port

    @property
    def condition(self) -> Condition:
        """How ``/inventory`` answers now; may be set at any time."""
        return self._server.condition

    @condition.setter
    def condition(self, value: Condition) -> None:
        self._server.condition = value

    def received(self, path: str, condition: Condition) -> int:
        """How many requests for ``path`` have come in while the service was in ``condition``."""
        return self._server.received[path, condition]

    def __enter__(self) -> DemoService:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
