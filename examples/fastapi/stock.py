"""What the shop depends on: a service over HTTP that knows what is in stock, and can be made ill from outside."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

GOODS = {"/items/apple": "7", "/items/pear": "0"}


class Stock:
    """``requests`` counts what reached it; ``ill``: every request gets a 503."""

    def __init__(self) -> None:
        self.ill = False
        self.requests = 0
        stock = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stock.requests += 1
                found = GOODS.get(self.path, "")
                self.send_response(503 if stock.ill else 200 if found else 404)
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found.encode())

            def log_message(self, *arguments: object) -> None:
                """It prints nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
