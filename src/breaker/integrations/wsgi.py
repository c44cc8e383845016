"""Rejections that reach the edge of a WSGI application become responses: ``app = install(app, provider)``.

For an application that is built on no framework, or on one that lets exceptions out. docs/integrations/web.md has the
tour. Flask and Django have modules of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from breaker.integrations._web import Edge, check_application, installed_already
from breaker.integrations._wsgi import GuardedApplication
from breaker.provider import Provider

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

__all__ = ["install"]


def install(app: WSGIApplication, provider: Provider, *, show_name: bool = False) -> WSGIApplication:
    """Answer rejections that leave a WSGI application with status 503, ``Retry-After`` and a problem document.

    Whether the application raises when it is called or when its response is iterated: as long as nothing of the
    response has gone out, it is replaced. Afterwards the rejection goes on to the server, and so do all other
    exceptions.

    Args:
        app: the application: a callable of ``environ`` and ``start_response``.
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
    check_application(app, "a WSGI application", ("environ", "start_response"))
    return GuardedApplication(app, edge)
