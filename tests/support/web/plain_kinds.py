"""Applications without a framework, ASGI and WSGI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from breaker import Provider
from breaker.integrations import asgi, wsgi
from support.web.servers import shared_uvicorn, wsgiref_server
from support.web.sites import Kind, Views

PLAIN = "text/plain"


def asgi_app(views: Views) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        given = views[scope["path"].strip("/")]()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", PLAIN.encode())]})
        for part in [given] if isinstance(given, str) else given:
            await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
        await send({"type": "http.response.body"})

    return app


def asgi_built(views: Views, provider: Provider, **options: Any) -> Any:
    return asgi.install(asgi_app(views), provider, **options)


def wsgi_app(views: Views) -> Any:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        given = views[environ["PATH_INFO"].strip("/")]()
        if isinstance(given, str):
            start_response("200 OK", [("Content-Type", PLAIN), ("Content-Length", str(len(given)))])
            return [given.encode()]
        return _streamed(given, start_response)

    return app


def _streamed(parts: Iterator[str], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", PLAIN)])
    for part in parts:
        yield part.encode()


def wsgi_built(views: Views, provider: Provider, **options: Any) -> Any:
    return wsgi.install(wsgi_app(views), provider, **options)


ASGI = Kind("asgi", asgi_built, shared_uvicorn, too_late=200)
WSGI = Kind("wsgi", wsgi_built, wsgiref_server, too_late=503)
