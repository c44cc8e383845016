"""Where a scrape is answered: prometheus_client's applications, with the text of `exposition`."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client import make_asgi_app as make_their_asgi_app
from prometheus_client import make_wsgi_app as make_their_wsgi_app
from prometheus_client.exposition import gzip_accepted

from breaker.metrics._exposition import exposition

__all__ = ["make_asgi_app", "make_wsgi_app"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_FAST = 1  # the level of gzip: a tenth of the time of the best one, for a text a quarter longer


def make_wsgi_app(
    registry: CollectorRegistry = REGISTRY, disable_compression: bool = False
) -> Callable[..., Iterable[bytes]]:
    """A WSGI application that answers scrapes with `exposition`; whatever else is asked, prometheus_client's answers.

    Args:
        registry: what is scraped.
        disable_compression: whether those who accept gzip get none.

    .. versionadded:: 0.1
    """
    theirs = make_their_wsgi_app(registry, disable_compression)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        favicon = environ.get("PATH_INFO") == "/favicon.ico"
        if environ["REQUEST_METHOD"] != "GET" or favicon or _is_restricted(environ.get("QUERY_STRING", "")):
            answer: Iterable[bytes] = theirs(environ, start_response)
            return answer
        accept, encodings = environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", "")
        headers, body = _baked(registry, accept, "" if disable_compression else encodings)
        start_response("200 OK", headers)
        return [body]

    return app


def make_asgi_app(
    registry: CollectorRegistry = REGISTRY, disable_compression: bool = False
) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """The same as an ASGI application. Under asyncio the text is made in a thread, so that other requests go on.

    Args:
        registry: what is scraped.
        disable_compression: whether those who accept gzip get none.

    .. versionadded:: 0.1
    """
    theirs = make_their_asgi_app(registry, disable_compression)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        others = scope["type"] != "http" or scope["method"] != "GET"
        if others or _is_restricted(scope.get("query_string", b"").decode("latin-1")):
            await theirs(scope, receive, send)
            return
        accept, encodings = _header(scope, b"accept"), _header(scope, b"accept-encoding")
        headers, body = await _in_a_thread(_baked, registry, accept, "" if disable_compression else encodings)
        named = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": named})
        await send({"type": "http.response.body", "body": body})

    return app


Baked = tuple[list[tuple[str, str]], bytes]


def _baked(registry: CollectorRegistry, accept: str, encodings: str) -> Baked:
    """The headers and the body."""
    body, content_type = exposition(registry, accept)
    headers = [("Content-Type", content_type)]
    if gzip_accepted(encodings):
        body = gzip.compress(body, _FAST)
        headers.append(("Content-Encoding", "gzip"))
    return [*headers, ("Content-Length", str(len(body)))], body


def _is_restricted(query: str) -> bool:
    return "name[]" in parse_qs(query)


def _header(scope: Message, name: bytes) -> str:
    return ",".join([value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name])


async def _in_a_thread(bake: Callable[..., Baked], *arguments: object) -> Baked:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio
        return bake(*arguments)
    return await asyncio.to_thread(bake, *arguments)
