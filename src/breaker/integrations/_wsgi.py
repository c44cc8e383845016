"""A WSGI application whose rejections are answered, when it is called or while its response is iterated."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from breaker.integrations._web import REASON, STATUS, Edge

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_STATUS_LINE = f"{STATUS} {REASON}"


class GuardedApplication:
    """An application around one whose rejections it answers, as long as nothing of a response has gone out.

    Args:
        app: the application inside.
        edge: what is answered.

    Thread safety: as that of the application inside.
    """

    def __init__(self, app: WSGIApplication, edge: Edge) -> None:
        self._app = app
        self._edge = edge

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = _Request(self._edge, environ, start_response)
        try:
            result = self._app(environ, start_response)
        except Exception as error:
            body = request.answered(error)
            if body is None:
                raise
            return [body]
        return result if _is_whole(result, environ) else _Body(result, request)


def _is_whole(result: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    """Whether iterating runs nothing of the application: then servers get it as it is, and know it as they do."""
    wrapper = environ.get("wsgi.file_wrapper")
    return type(result) in (list, tuple) or (isinstance(wrapper, type) and isinstance(result, wrapper))


class _Request:
    """What is needed to answer in the application's place."""

    __slots__ = ("_edge", "_environ", "_start_response")

    def __init__(self, edge: Edge, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._edge = edge
        self._environ = environ
        self._start_response = start_response

    def answered(self, error: Exception) -> bytes | None:
        """The body of what is answered to an error that is being handled; None: it has to be raised again."""
        answer = self._edge.answer_to(error)
        if answer is None:
            return None
        # With the error, so that a server whose head is out raises it instead, after write() for example.
        self._start_response(_STATUS_LINE, list(answer.headers.items()), sys.exc_info())
        return b"" if self._environ.get("REQUEST_METHOD") == "HEAD" else answer.body


class _Body:
    """A response that is still to be made by the application."""

    def __init__(self, result: Iterable[bytes], request: _Request) -> None:
        self._result = result
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        has_begun = False
        try:
            for part in self._result:
                has_begun = has_begun or bool(part)  # a server sends the head with the first bytes
                yield part
        except Exception as error:
            body = None if has_begun else self._request.answered(error)
            if body is None:
                raise
        else:
            return
        yield body

    def close(self) -> None:
        close: Any = getattr(self._result, "close", None)
        if close is not None:
            close()
