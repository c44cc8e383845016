"""Rejections that reach the edge of a FastAPI application become responses: ``install(app, provider)``.

docs/integrations/fastapi.md has the tour.
"""

from __future__ import annotations

from typing import TypeVar

from breaker.integrations import _base

_base.require("fastapi", oldest=(0, 115, 2), integration="fastapi")

from fastapi import FastAPI

from breaker.integrations import starlette
from breaker.integrations._web import check_instance
from breaker.provider import Provider

__all__ = ["install"]

_App = TypeVar("_App", bound=FastAPI)


def install(app: _App, provider: Provider, *, show_name: bool = False) -> _App:
    """Answer rejections that no handler takes with status 503, ``Retry-After`` and a problem document.

    Whether an endpoint raised them or a dependency. What a background task raises, or a dependency after its
    ``yield`` once the response is out, goes on to the server. All else is as with `breaker.integrations.starlette`.

    Args:
        app: a `fastapi.FastAPI` that has not served yet.
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
    check_instance(FastAPI, app)
    return starlette.install(app, provider, show_name=show_name)
