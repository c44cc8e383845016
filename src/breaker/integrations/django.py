"""Rejections that reach the edge of a Django project become responses: a middleware and a setting::

    MIDDLEWARE = ["breaker.integrations.django.BreakerMiddleware", ...]
    BREAKER_PROVIDER = "shop.breakers.provider"

docs/integrations/django.md has the tour.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from breaker.integrations import _base

_base.require("django", oldest=(4, 2), integration="django")

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.module_loading import import_string

from breaker.integrations._web import STATUS, Answer, Edge

__all__ = ["BreakerMiddleware"]

# Of a request: the middleware that serves it, and the answer to what another one raised.
_SERVED_BY = "_breaker_middleware"
_ANSWER = "_breaker_answer"


class BreakerMiddleware:
    """Answers rejections that nobody handled with status 503, ``Retry-After`` and a problem document.

    Name it first in ``MIDDLEWARE``: it answers for the views and for the middlewares after it, and those of them that
    have a ``process_exception`` come first. The answer is the same with ``DEBUG``. A streaming response that has begun
    is left alone.

    Its settings: ``BREAKER_PROVIDER``, a `Provider` or where to import one from, whose breakers are asked when to try
    again; rejections of other breakers are answered too, with the time that they say themselves.
    ``BREAKER_SHOW_NAME``, whether the document names the breaker: False if it is not there.

    Args:
        get_response: what Django gives to a middleware.
    Raises:
        ImproperlyConfigured: a setting that is missing or wrong; ``MIDDLEWARE`` names it twice.

    Thread safety: requests may be served by any number of threads and tasks at once.

    .. versionadded:: 0.1
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        kind = type(self)
        if settings.MIDDLEWARE.count(f"{kind.__module__}.{kind.__qualname__}") > 1:
            raise ImproperlyConfigured(
                f"MIDDLEWARE names {kind.__module__}.{kind.__qualname__} twice; once, as the first, is enough"
            )
        self._get_response = get_response
        self._edge = _configured()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(self._middleware_raised)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        setattr(request, _SERVED_BY, self)
        if self._is_async:
            return self._respond(request)
        return _in_place_of(self._get_response(request), request)

    async def _respond(self, request: HttpRequest) -> HttpResponseBase:
        return _in_place_of(await self._get_response(request), request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what a view raised; Django calls it."""
        answer = self._edge.answer_to(exception)
        return None if answer is None else _response(answer, request)

    def _middleware_raised(self, sender: object, request: HttpRequest | None = None, **_: object) -> None:
        # Between two middlewares Django makes a response of an exception: this signal is all that is seen of it, by
        # the middlewares of all handlers of the process.
        error = sys.exc_info()[1]
        if error is not None and getattr(request, _SERVED_BY, None) is self:
            setattr(request, _ANSWER, self._edge.answer_to(error))


def _in_place_of(response: HttpResponseBase, request: HttpRequest) -> HttpResponseBase:
    answer: Answer | None = getattr(request, _ANSWER, None)
    if answer is None or response.status_code != 500:
        return response
    return _response(answer, request)


def _response(answer: Answer, request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"" if request.method == "HEAD" else answer.body, status=STATUS, headers=answer.headers)


def _configured() -> Edge:
    given: Any = getattr(settings, "BREAKER_PROVIDER", None)
    if given is None:
        raise ImproperlyConfigured(
            'BreakerMiddleware needs the setting BREAKER_PROVIDER: a breaker.Provider, or "package.module.name" of one'
        )
    if isinstance(given, str):
        try:
            given = import_string(given)
        except ImportError as error:
            raise ImproperlyConfigured(f"BREAKER_PROVIDER cannot be imported: {error}") from error
    where = "BreakerMiddleware (the settings BREAKER_PROVIDER, BREAKER_SHOW_NAME)"
    try:
        return Edge(where, given, getattr(settings, "BREAKER_SHOW_NAME", False))
    except TypeError as error:
        raise ImproperlyConfigured(str(error)) from error
