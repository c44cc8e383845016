"""Django: views of both kinds, middlewares, settings, debug mode, what is rendered later."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import got_request_exception, request_finished
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.test.utils import override_settings

from breaker import Provider, State
from breaker.integrations import django as integration
from breaker.integrations.django import BreakerMiddleware
from support.drive import Boom, raiser
from support.watching import eventually
from support.web import django_kinds
from support.web.client import Seen, ask
from support.web.django_kinds import MIDDLEWARE, handler
from support.web.sites import Framework, Views, refused

NAME = "http:internal.example"
CRASHING = f"{__name__}.Crashing"
LATE_CRASHING = f"{__name__}.late_crashing"

the_provider: Provider | None = None  # what BREAKER_PROVIDER can name
crash: Callable[[], Any] = str


@pytest.fixture(params=[django_kinds.WSGI, django_kinds.ASGI], ids=["wsgi", "asgi"])
def kind(request: pytest.FixtureRequest) -> Framework:
    found: Framework = request.param
    return found


def made(kind: Framework, views: Views, middleware: list[str], **changed: Any) -> Any:
    return handler(WSGIHandler if kind is django_kinds.WSGI else ASGIHandler, views, middleware, **changed)


def seen_of(kind: Framework, app: Any, path: str = "/shop", method: str = "GET") -> Seen:
    with kind.served(app) as address:
        return ask(address, path, method)


@pytest.mark.parametrize("path", ["/shop", "/asynchronous/shop"])
def test_views_of_both_kinds_are_answered(kind: Framework, provider: Provider, path: str) -> None:
    app = kind.built({"shop": raiser(refused(provider, NAME))}, provider)
    seen = seen_of(kind, app, path)
    assert (seen.status, seen.headers["retry-after"]) == (503, "60")
    assert seen.headers["content-type"] == "application/problem+json"


def test_debug_mode_changes_nothing(kind: Framework, provider: Provider) -> None:
    app = kind.built({"shop": raiser(refused(provider, NAME)), "bug": raiser(Boom("a bug"))}, provider)
    with override_settings(DEBUG=True):
        seen = seen_of(kind, app)
        assert seen.status == 503
        assert b"internal.example" not in seen.raw
        assert b"Boom" in seen_of(kind, app, "/bug").body


def test_an_answer_of_the_view_is_no_failure(kind: Framework, provider: Provider) -> None:
    stock = provider.get_breaker("http:stock")

    def view() -> Any:
        if not stock.do(list):
            raise Http404
        return "found"

    app = kind.built({"shop": view}, provider)
    assert [seen_of(kind, app).status for _ in range(2)] == [404, 404]
    assert stock.state is State.CLOSED


class Rendered(SimpleTemplateResponse):  # type: ignore[misc]
    """A response whose template is rejected."""

    def render(self) -> Any:
        return crash()


def rendering(get_response: Callable[[Any], Any]) -> Any:
    """A middleware that answers before the view does."""

    class Rendering:
        def __call__(self, request: HttpRequest) -> Any:
            return get_response(request)

        def process_view(self, request: HttpRequest, *rest: object) -> Any:
            return Rendered("none.html")

    return Rendering()


def test_what_is_rendered_later_is_answered(kind: Framework, provider: Provider) -> None:
    global crash
    crash = raiser(refused(provider, NAME))
    app = made(kind, {}, [MIDDLEWARE, f"{__name__}.rendering"], BREAKER_PROVIDER=provider)
    assert seen_of(kind, app).status == 503


# Middlewares.


class Crashing:
    """A middleware that asks a service of its own."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        crash()
        return self._get_response(request)


def late_crashing(get_response: Callable[[Any], Any]) -> Any:
    """One that asks after the view."""

    def middleware(request: HttpRequest) -> Any:
        get_response(request).close()
        return crash()

    return middleware


@pytest.mark.parametrize("middleware", [CRASHING, LATE_CRASHING])
@pytest.mark.parametrize("debug", [False, True])
def test_what_a_middleware_raises_is_answered(
    kind: Framework, provider: Provider, middleware: str, debug: bool
) -> None:
    global crash
    app = made(kind, {"shop": lambda: "shop"}, [MIDDLEWARE, middleware], BREAKER_PROVIDER=provider)
    with override_settings(DEBUG=debug):
        crash = raiser(refused(provider, NAME))
        seen = seen_of(kind, app)
        assert (seen.status, seen.headers["retry-after"]) == (503, "60")
        assert b"internal.example" not in seen.raw
        crash = raiser(Boom("a bug"))
        assert seen_of(kind, app).status == 500


def test_a_request_is_finished_once(kind: Framework, provider: Provider) -> None:
    # Django closes connections of databases then: not before the answer is on its way, as closing the 500 would do.
    global crash
    crash = raiser(refused(provider, NAME))
    finished: list[Any] = []

    def note(sender: Any, **_: Any) -> None:
        if sender is type(app):  # no late one of another test
            finished.append(sender)

    app = made(kind, {"shop": lambda: "shop"}, [MIDDLEWARE, CRASHING], BREAKER_PROVIDER=provider)
    request_finished.connect(note)
    try:
        assert seen_of(kind, app).status == 503
        eventually(lambda: finished)
    finally:
        request_finished.disconnect(note)
    assert finished == [type(app)]


def test_handlers_of_one_process_answer_each_for_itself(kind: Framework, provider: Provider) -> None:
    global crash
    crash = raiser(refused(provider, NAME))
    shows = [True, False, True]
    apps = [made(kind, {}, [MIDDLEWARE, CRASHING], BREAKER_PROVIDER=provider, BREAKER_SHOW_NAME=each) for each in shows]
    assert ["breaker" in seen_of(kind, app).document for app in apps] == shows


def test_a_page_for_what_a_middleware_raises_stays_if_it_is_no_500(kind: Framework, provider: Provider) -> None:
    global crash
    crash = raiser(refused(provider, NAME))
    outer = f"{__name__}.page_in_place"
    app = made(kind, {"shop": lambda: "shop"}, [MIDDLEWARE, outer, CRASHING], BREAKER_PROVIDER=provider)
    assert seen_of(kind, app).status == 418


def page_in_place(get_response: Callable[[Any], Any]) -> Any:
    """A middleware that makes a page of its own of every error."""

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        return HttpResponse(b"page", status=418) if response.status_code == 500 else response

    return middleware


def test_middlewares_outside_see_the_answer(kind: Framework, provider: Provider) -> None:
    names = ["django.middleware.common.CommonMiddleware", "django.middleware.clickjacking.XFrameOptionsMiddleware"]
    views = {"shop": raiser(refused(provider, NAME))}
    seen = seen_of(kind, made(kind, views, [*names, MIDDLEWARE], BREAKER_PROVIDER=provider))
    assert (seen.status, seen.headers["x-frame-options"]) == (503, "DENY")
    assert seen.headers["content-length"] == str(len(seen.body))


def test_a_rejection_is_no_crash_for_those_who_listen(kind: Framework, provider: Provider) -> None:
    crashes: list[Any] = []

    def crashed(sender: Any, **_: Any) -> None:
        crashes.append(sender)

    app = kind.built({"shop": raiser(refused(provider, NAME)), "bug": raiser(Boom("a bug"))}, provider)
    got_request_exception.connect(crashed)
    try:
        assert seen_of(kind, app).status == 503
        assert crashes == []
        assert seen_of(kind, app, "/bug").status == 500
        assert len(crashes) == 1
    finally:
        got_request_exception.disconnect(crashed)


def test_the_log_says_that_there_was_a_503(
    kind: Framework, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    seen_of(kind, kind.built({"shop": raiser(refused(provider, NAME))}, provider))
    records = [record for record in caplog.records if record.name == "django.request"]
    assert [(record.levelno, record.getMessage()) for record in records] == [
        (logging.ERROR, "Service Unavailable: /shop")
    ]


def test_a_handler_that_is_gone_listens_no_more(kind: Framework, provider: Provider) -> None:
    def listening() -> int:
        gc.collect()
        got_request_exception.send(sender=None, request=None)  # it drops those that are gone
        return len(got_request_exception.receivers)

    before = listening()
    app = kind.built({}, provider)
    assert listening() == before + 1
    del app
    assert listening() == before


# Settings.


def test_the_provider_can_be_named(kind: Framework, provider: Provider) -> None:
    global the_provider
    the_provider = provider
    app = made(
        kind,
        {"shop": raiser(refused(provider, NAME))},
        [MIDDLEWARE],
        BREAKER_PROVIDER=f"{__name__}.the_provider",
        BREAKER_SHOW_NAME=True,
    )
    assert seen_of(kind, app).document["breaker"] == NAME


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, r"needs the setting BREAKER_PROVIDER"),
        ({"BREAKER_PROVIDER": "no.such.module"}, r"BREAKER_PROVIDER cannot be imported"),
        ({"BREAKER_PROVIDER": "nodots"}, r"BREAKER_PROVIDER cannot be imported"),
        ({"BREAKER_PROVIDER": "breaker.provider.Provider"}, r"BREAKER_PROVIDER.*got the class Provider"),
        ({"BREAKER_PROVIDER": "breaker.config.Config"}, r"BREAKER_PROVIDER.*got the class Config"),
        ({"BREAKER_PROVIDER": 7}, r"BREAKER_PROVIDER.*got int"),
    ],
)
def test_a_setting_that_is_missing_or_wrong(kind: Framework, changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=problem):
        made(kind, {}, [MIDDLEWARE], **changed)


def test_twice_is_once_too_often(kind: Framework, provider: Provider) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"MIDDLEWARE names {MIDDLEWARE} twice"):
        made(kind, {}, [MIDDLEWARE, MIDDLEWARE], BREAKER_PROVIDER=provider)


def test_the_dotted_name_in_the_pages_is_the_class() -> None:
    assert f"{BreakerMiddleware.__module__}.{BreakerMiddleware.__qualname__}" == MIDDLEWARE
    assert integration.__all__ == ["BreakerMiddleware"]
    assert settings.configured
