"""The page as a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from breaker.provider import Provider
from breaker.status._actions import Authorise
from breaker.status._application import Application, missing_slash, too_many_readers
from breaker.status._requests import Request, fault
from breaker.status._threads import Chunks

StartResponse = Callable[..., Any]


def wsgi(provider: Provider, *, actions: Authorise | None = None) -> WsgiPage:
    """The status page as a WSGI application, to be mounted below any path.

    A server that serves one request at a time (``wsgi.multithread`` false) has no streams of events; the page does
    without.

    Args:
        provider: Whose breakers.
        actions: As for `asgi`.

    Returns:
        The application; its ``close()`` ends the streams of events.

    Raises:
        TypeError: As for `asgi`.

    .. versionadded:: 0.1
    """
    return WsgiPage(provider, actions)


class WsgiPage:
    """What `wsgi` returns."""

    def __init__(self, provider: Provider, actions: Authorise | None) -> None:
        self._application = Application(provider, actions)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = _request(environ)
        limit = self._application.body_limit(request.method, request.path)
        body = _body(environ, limit) if limit else b""
        chunks: Iterable[bytes] | None = None
        if body is None:
            answer = fault(411, "a body comes with its Content-Length")
        elif request.path == "" and environ.get("SCRIPT_NAME"):
            answer = missing_slash(_text(environ["SCRIPT_NAME"]))
        else:
            many = bool(environ.get("wsgi.multithread"))
            answer = self._application.answer(request, environ.get("QUERY_STRING", ""), body, streams=many)
        if answer.follows is not None:
            stream = Chunks(self._application.hub, answer.follows)
            answer, chunks = (too_many_readers(), None) if stream.refused else (answer, stream)
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        start_response(status, answer.sent_headers())
        if chunks is not None:
            return chunks
        return [] if request.method == "HEAD" else [answer.body]

    def close(self) -> None:
        """End all streams of events: call it when the server stops, if it waits for them."""
        self._application.close()


def _request(environ: dict[str, Any]) -> Request:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE") or ""
    return Request(
        environ["REQUEST_METHOD"], _text(environ.get("PATH_INFO", "")), headers, environ.get("REMOTE_ADDR") or None
    )


def _text(value: str) -> str:
    """WSGI has the bytes of a path as Latin-1."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def _body(environ: dict[str, Any], limit: int) -> bytes | None:
    """At most one byte more than the limit. None: its length is not said."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()):
        return None if environ.get("HTTP_TRANSFER_ENCODING") or length else b""
    body: bytes = environ["wsgi.input"].read(min(int(length[:10]), limit + 1))
    return body
