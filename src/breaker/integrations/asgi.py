"""Rejections that reach the edge of an ASGI application become responses: ``app = install(app, provider)``.

For an application that is built on no framework, or on one that lets exceptions out. docs/integrations/web.md has the
tour. Starlette, FastAPI and Django have modules of their own.
"""

from __future__ import annotations

from breaker.integrations._asgi import Application, GuardedApplication
from breaker.integrations._web import Edge, check_application, installed_already
from breaker.provider import Provider

__all__ = ["install"]


def install(app: Application, provider: Provider, *, show_name: bool = False) -> Application:
    """Answer rejections that leave an ASGI application with status 503, ``Retry-After`` and a problem document.

    A response that has begun is left alone: the rejection goes on to the server. So do all other exceptions. A
    WebSocket that was not accepted yet gets the same response where the server can send one, else it is closed with
    code 1013.

    Args:
        app: the application: a callable of ``scope``, ``receive`` and ``send``.
        provider: whose breakers are asked when to try again. Rejections of other breakers are answered too, with the
            time that they say themselves.
        show_name: whether the document names the breaker, as ``breaker``.
    Returns:
        An application around it, which is to be served in its place.
    Raises:
        TypeError: an argument of the wrong kind; an application of a framework that lets no exception out.
        ValueError: an application that has it already.

    Thread safety: as that of the application.

    .. versionadded:: 0.1
    """
    edge = Edge("install", provider, show_name)
    if isinstance(app, GuardedApplication):
        raise installed_already()
    check_application(app, "an ASGI application", ("scope", "receive", "send"))
    return GuardedApplication(app, edge)
