"""Web frameworks: routes, views, dependencies and pages of counts."""

import asyncio
from typing import Any

import django
import flask
import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from litestar import Litestar, get
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from breaker import Breaker, Policy
from support.drive import Make
from support.reading import counts

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", DATABASES={})
django.setup()
urlpatterns: list[Any] = []


@pytest.fixture
def breaker(make_breaker: Make) -> Breaker:
    return make_breaker(Policy(100))


def test_starlette_routes(breaker: Breaker) -> None:
    class Page:
        @breaker
        async def show(self, request: Any) -> Any:
            return PlainTextResponse("method")

    @breaker
    async def later(request: Any) -> Any:
        return PlainTextResponse("later")

    @breaker
    def plain(request: Any) -> Any:
        return PlainTextResponse("plain")

    @breaker
    async def talk(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    routes = [Route("/later", later), Route("/plain", plain), Route("/method", Page().show)]
    client = TestClient(Starlette(routes=[*routes, WebSocketRoute("/talk", talk)]))
    for name in ("later", "plain", "method"):
        assert client.get(f"/{name}").text == name
    with client.websocket_connect("/talk") as websocket:
        assert websocket.receive_text() == "hello"
    assert counts(breaker) == {"successes": 4}


def test_fastapi_endpoints_and_dependencies(breaker: Breaker) -> None:
    app = FastAPI()

    @breaker
    def plain(q: int = 1) -> int:
        return q

    @breaker
    async def later(q: int = 1) -> int:
        return q

    @breaker
    def yields(q: int = 1) -> Any:
        yield q

    @breaker
    async def yields_later(q: int = 1) -> Any:
        yield q

    class Object:
        @breaker
        async def __call__(self, q: int = 1) -> Any:
            return q

    each = [Depends(dependency) for dependency in (plain, later, yields, yields_later, Object())]

    @app.get("/")
    @breaker
    async def root(a: int, b=each[0], c=each[1], d=each[2], e=each[3], f=each[4]) -> Any:  # type: ignore[no-untyped-def]
        return [a, b, c, d, e, f]

    @app.get("/snapshot")
    def show() -> Any:
        return {"one": breaker.snapshot(), "state": breaker.state}

    client = TestClient(app)
    assert client.get("/?a=5&q=2").json() == [5, 2, 2, 2, 2, 2]
    assert client.get("/?a=text").status_code == 422
    assert "/snapshot" in client.get("/openapi.json").json()["paths"]
    shown = client.get("/snapshot").json()
    assert (shown["state"], shown["one"]["state"]) == ("CLOSED", "CLOSED")
    assert shown["one"]["successes"] == breaker.snapshot().successes > 5


def test_flask_views_and_streams(breaker: Breaker) -> None:
    app = flask.Flask("shop")

    @app.route("/<int:number>")
    @breaker
    def view(number: int) -> str:
        return str(number)

    @app.route("/stream")
    @breaker
    def stream() -> Any:
        yield "a"
        yield "b"

    @app.errorhandler(404)
    @breaker
    def missing(error: Any) -> Any:
        return "missing", 404

    client = app.test_client()
    assert app.view_functions["view"] is view
    assert (client.get("/5").text, client.get("/stream").text, client.get("/no").text) == ("5", "ab", "missing")
    assert counts(breaker) == {"successes": 3}


def test_django_views_of_all_kinds(breaker: Breaker) -> None:
    @csrf_exempt
    @require_GET
    @breaker
    def plain(request: Any) -> Any:
        return HttpResponse("plain")

    @csrf_exempt
    @breaker
    async def later(request: Any) -> Any:
        return HttpResponse("later")

    class Methods(View):
        @breaker
        def get(self, request: Any) -> Any:
            return HttpResponse("methods")

    @method_decorator(breaker, name="dispatch")
    class Dispatched(View):
        def get(self, request: Any) -> Any:
            return HttpResponse("dispatched")

    class Asynchronous(View):
        @breaker
        async def get(self, request: Any) -> Any:
            return HttpResponse("asynchronous")

    views = {"plain": plain, "later": later, "methods": Methods.as_view(), "dispatched": Dispatched.as_view()}
    views["asynchronous"] = Asynchronous.as_view()
    urlpatterns[:] = [path(name, view) for name, view in views.items()]

    async def main() -> None:
        for name in views:
            assert (await AsyncClient().get(f"/{name}")).content.decode() == name

    for name in views:
        assert Client().get(f"/{name}").content.decode() == name
    asyncio.run(main())
    assert counts(breaker) == {"successes": 2 * len(views)}


def test_litestar_handlers(breaker: Breaker) -> None:
    @get("/5")
    @breaker
    async def handler() -> str:
        return "five"

    with LitestarClient(Litestar([handler])) as client:
        assert client.get("/5").text == "five"
    assert counts(breaker) == {"successes": 1}
