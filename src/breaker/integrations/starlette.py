"""Rejections that reach the edge of a Starlette application become responses: ``install(app, provider)``.

docs/integrations/starlette.md has the tour.
"""

from __future__ import annotations

from typing import TypeVar

from breaker.integrations import _base

_base.require("starlette", oldest=(0, 40), integration="starlette")

from starlette.applications import Starlette
from starlette.middleware import Middleware

from breaker.integrations._asgi import GuardedApplication
from breaker.integrations._web import Edge, check_instance, installed_already
from breaker.provider import Provider

__all__ = ["install"]

_App = TypeVar("_App", bound=Starlette)


def install(app: _App, provider: Provider, *, show_name: bool = False) -> _App:
    """Answer rejections that no handler takes with status 503, ``Retry-After`` and a problem document.

    The application's own exception handlers come first, those for every `Exception` excepted. Its middlewares see the
    response as they see any other. A response that has begun is left alone: the rejection goes on to the server. A
    WebSocket that was not accepted yet gets the same response where the server can send one, else it is closed with
    code 1013. An application that is mounted in another needs an ``install`` of its own.

    Args:
        app: a `starlette.applications.Starlette` that has not served yet.
        provider: whose breakers are asked when to try again. Rejections of other breakers are answered too, with the
            time that they say themselves.
        show_name: whether the document names the breaker, as ``breaker``.
    Returns:
        The application.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an application that has it already.
        RuntimeError: an application that has served already.

    Thread safety: to be called before the application is served.

    .. versionadded:: 0.1
    """
    check_instance(Starlette, app)
    edge = Edge("install", provider, show_name)
    kinds: list[object] = [entry.cls for entry in app.user_middleware]
    if GuardedApplication in kinds:
        raise installed_already()
    # The argument by name: old releases name their own as well, and a first one by place would be given twice.
    # Outside of the middlewares that are there: for what they raise themselves. It refuses an application that runs.
    app.add_middleware(GuardedApplication, edge=edge)
    # Inside of all of them, those to come too: the answer to what a route raises gets their headers, such as CORS's.
    app.user_middleware.append(Middleware(GuardedApplication, edge=edge))
    return app
