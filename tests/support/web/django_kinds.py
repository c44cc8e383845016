"""Django, by WSGI and by ASGI. Its settings are the process's; those of a test are in force while a handler is made."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path

from breaker import Provider
from support.web.servers import shared_uvicorn, wsgiref_server
from support.web.sites import Framework, Views

MIDDLEWARE = "breaker.integrations.django.BreakerMiddleware"
TEAPOT = f"{__name__}.TeapotMiddleware"

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF=(), LOGGING_CONFIG=None)
    django.setup()


class TeapotMiddleware:
    """A project's own handler of ``handled``."""

    handled: type[Exception] = RecursionError

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return HttpResponse(type(error).__name__.encode(), status=418) if isinstance(error, self.handled) else None


def responded(request: HttpRequest, given: Any) -> Any:
    if isinstance(given, str):
        return HttpResponse(given.encode())
    return StreamingHttpResponse(given if isinstance(request, WSGIRequest) else later(given))


async def later(parts: Iterator[str]) -> AsyncIterator[str]:
    for part in parts:
        yield part


def urls(views: Views) -> Any:
    def view(request: HttpRequest, name: str) -> Any:
        return responded(request, views[name]())

    async def asynchronous(request: HttpRequest, name: str) -> Any:
        return responded(request, views[name]())

    return (path("asynchronous/<name>", asynchronous), path("<name>", view))


def handler(kind: type[Any], views: Views, middleware: list[str], **changed: Any) -> Any:
    """A handler of Django's that was made with these settings."""
    base: Any = kind

    class Served(base):  # type: ignore[misc]
        def get_response(self, request: Any) -> Any:
            request.urlconf = urls(views)
            return super().get_response(request)

        async def get_response_async(self, request: Any) -> Any:
            request.urlconf = urls(views)
            return await super().get_response_async(request)

        async def read_body(self, receive: Any) -> Any:
            # Django leaves its temporary file open where a stream raises, and the warning would hit another test.
            with await super().read_body(receive) as body:
                return io.BytesIO(body.read())

    with override_settings(MIDDLEWARE=middleware, **changed):
        return Served()


def settings_of(provider: Provider, options: dict[str, Any]) -> dict[str, Any]:
    return {"BREAKER_PROVIDER": provider} | {f"BREAKER_{name.upper()}": value for name, value in options.items()}


def kind_of(name: str, made: type[Any], served: Any, too_late: int) -> Framework:
    def built(views: Views, provider: Provider, **options: Any) -> Any:
        return handler(made, views, [MIDDLEWARE], **settings_of(provider, options))

    def handling(views: Views, provider: Provider, kind: type[Exception]) -> Any:
        TeapotMiddleware.handled = kind
        return handler(made, views, [MIDDLEWARE, TEAPOT], **settings_of(provider, {}))

    return Framework(name, built, served, too_late, ImproperlyConfigured, handling=handling)


WSGI = kind_of("django", WSGIHandler, wsgiref_server, too_late=500)
ASGI = kind_of("django-asgi", ASGIHandler, shared_uvicorn, too_late=200)
