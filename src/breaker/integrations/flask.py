"""Rejections that reach the edge of a Flask application become responses: ``install(app, provider)``.

docs/integrations/flask.md has the tour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from breaker.integrations import _base

_base.require("flask", oldest=(3, 0), integration="flask")

from flask import Flask, Response

from breaker.errors import BreakerOpenError
from breaker.integrations._web import STATUS, Edge, check_instance, installed_already
from breaker.integrations._wsgi import GuardedApplication
from breaker.provider import Provider

__all__ = ["install"]

_App = TypeVar("_App", bound=Flask)
_EXTENSION = "breaker"
_FOR_EVERYTHING = (Exception, BaseException)


def install(app: _App, provider: Provider, *, show_name: bool = False) -> _App:
    """Answer rejections that no handler takes with status 503, ``Retry-After`` and a problem document.

    Handlers of the application come first, those for every `Exception` excepted; Flask looks for those of a blueprint
    before all others. The answer is the same with ``TESTING`` and in debug mode. A response that has begun is left
    alone: the rejection goes on to the server.

    Args:
        app: a `flask.Flask` that has not served yet.
        provider: whose breakers are asked when to try again. Rejections of other breakers are answered too, with the
            time that they say themselves.
        show_name: whether the document names the breaker, as ``breaker``.
    Returns:
        The application, whose ``extensions["breaker"]`` is the provider.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an application that has it already.
        AssertionError: an application that has served already; Flask says so.

    Thread safety: to be called before the application is served.

    .. versionadded:: 0.1
    """
    check_instance(Flask, app)
    edge = Edge("install", provider, show_name)
    if _EXTENSION in app.extensions:
        raise installed_already()
    handlers = app.error_handler_spec[None][None]
    handler = _handler(app, edge)
    for kind in (BreakerOpenError, ExceptionGroup):
        if kind not in handlers:
            app.register_error_handler(kind, handler)
    # What is raised around a view has no handlers in Flask: a session that is opened or saved, `after_request`.
    app.handle_exception = _unhandled(app, edge, handler)  # type: ignore[method-assign]
    # Flask hands a response over without having made it: this is for those that raise before their first bytes.
    app.wsgi_app = GuardedApplication(app.wsgi_app, edge)  # type: ignore[method-assign]
    app.extensions[_EXTENSION] = provider
    return app


def _handler(app: Flask, edge: Edge) -> Callable[[Exception], Any]:
    def answer(error: Exception) -> Any:
        found = edge.answer_to(error)
        theirs = _theirs(app, error, but=answer, any_exception=found is None)
        if theirs is not None:
            return app.ensure_sync(theirs)(error)
        if found is None:
            raise error
        return Response(found.body, STATUS, found.headers)

    return answer


def _unhandled(app: Flask, edge: Edge, answer: Callable[[Exception], Any]) -> Any:
    """``handle_exception`` of the application, which Flask calls with what has no handler, for rejections too."""
    otherwise = app.handle_exception

    def handle_exception(*given: Any) -> Response:
        error = given[-1]  # Flask 3.2 gives its context before it
        return otherwise(*given) if edge.answer_to(error) is None else app.make_response(answer(error))

    return handle_exception


def _theirs(app: Flask, error: Exception, *, but: object, any_exception: bool) -> Callable[[Any], Any] | None:
    """The application's own handler of an error; Flask found ours first, whose class is nearer to the error's."""
    handlers = app.error_handler_spec[None][None]
    for kind in type(error).__mro__:
        handler = handlers.get(kind) if any_exception or kind not in _FOR_EVERYTHING else None
        if handler is not None and handler is not but:
            return handler
    return None
