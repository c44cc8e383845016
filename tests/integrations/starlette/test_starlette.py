"""Starlette: middlewares, handlers, mounted applications, background tasks, WebSockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from breaker import BreakerOpenError, Provider
from breaker.integrations.starlette import install
from support.drive import Boom
from support.web.client import HANDSHAKE, Seen, ask, status_of
from support.web.servers import logged, shared_uvicorn, uvicorn_server
from support.web.sites import refused

NAME = "http:internal.example"


@pytest.fixture
def shop(provider: Provider) -> Route:
    """A route that is rejected."""

    async def endpoint(request: Request) -> Response:
        raise refused(provider, NAME)

    return Route("/shop", endpoint)


def seen_of(app: Any, path: str = "/shop", **headers: str) -> Seen:
    with shared_uvicorn(app) as address:
        return ask(address, path, **headers)


# Middlewares.

CORS: Any = {"allow_origins": ["https://shop.example"]}
ORIGIN = {"Origin": "https://shop.example"}


@pytest.mark.parametrize("when", ["before", "after", "made"])
def test_middlewares_see_a_response(provider: Provider, shop: Route, when: str) -> None:
    app = Starlette(routes=[shop], middleware=[Middleware(CORSMiddleware, **CORS)] if when == "made" else [])
    if when == "before":
        app.add_middleware(CORSMiddleware, **CORS)
    install(app, provider)
    if when == "after":
        app.add_middleware(CORSMiddleware, **CORS)
    seen = seen_of(app, **ORIGIN)
    assert seen.status == 503
    assert seen.headers["access-control-allow-origin"] == "https://shop.example"


def test_a_rejection_of_a_middleware_is_answered(provider: Provider) -> None:
    class Login:
        def __init__(self, app: Any) -> None: ...

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise refused(provider, NAME)

    async def dispatch(request: Request, call_next: Any) -> Response:
        raise refused(provider, NAME)

    for entry in (Middleware(Login), Middleware(BaseHTTPMiddleware, dispatch=dispatch)):
        seen = seen_of(install(Starlette(middleware=[entry]), provider))
        assert (seen.status, seen.headers["retry-after"]) == (503, "60")


def test_a_middleware_with_a_task_group_sees_a_response(provider: Provider, shop: Route) -> None:
    statuses: list[int] = []

    async def dispatch(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        statuses.append(response.status_code)
        return response

    app = Starlette(routes=[shop], middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    assert seen_of(install(app, provider)).status == 503
    assert statuses == [503]


def test_a_stream_that_a_middleware_holds_back_is_answered(provider: Provider) -> None:
    async def endpoint(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            raise refused(provider, NAME)
            yield b"never"

        return StreamingResponse(parts())

    routes = [Route("/shop", endpoint)]
    zipped = Starlette(routes=routes, middleware=[Middleware(GZipMiddleware, minimum_size=1)])
    assert seen_of(install(zipped, provider), Accept_Encoding="gzip").status == 503
    assert seen_of(install(Starlette(routes=routes), provider)).status == 200


# Handlers.


@pytest.mark.parametrize("key", [Exception, 500])
@pytest.mark.parametrize("debug", [False, True])
def test_a_handler_of_everything_does_not_get_rejections(
    provider: Provider, shop: Route, key: Any, debug: bool
) -> None:
    async def everything(request: Request, error: Exception) -> Response:
        return PlainTextResponse("everything", 500)

    async def bug(request: Request) -> Response:
        raise Boom("a bug")

    app = Starlette(debug=debug, routes=[shop, Route("/bug", bug)], exception_handlers={key: everything})
    install(app, provider)
    assert seen_of(app).status == 503
    seen = seen_of(app, "/bug")
    assert seen.status == 500
    assert debug or seen.body == b"everything"


def test_a_handler_that_raises_a_rejection_is_answered(provider: Provider) -> None:
    async def handler(request: Request, error: Exception) -> Response:
        raise refused(provider, NAME)

    async def endpoint(request: Request) -> Response:
        raise Boom("down")

    app = Starlette(routes=[Route("/shop", endpoint)], exception_handlers={Boom: handler})
    assert seen_of(install(app, provider)).status == 503


# Applications inside applications.


def test_a_mounted_application_needs_its_own(provider: Provider, shop: Route) -> None:
    bare, protected = Starlette(routes=[shop]), install(Starlette(routes=[shop]), provider)
    router = Router([shop])
    mounts = [Mount("/bare", bare), Mount("/protected", protected), Mount("/router", router)]
    app = install(Starlette(routes=[*mounts, Mount("/routes", routes=[shop])]), provider)
    found = {path: seen_of(app, f"{path}/shop").status for path in ("/bare", "/protected", "/router", "/routes")}
    assert found == {"/bare": 500, "/protected": 503, "/router": 503, "/routes": 503}


# What ends after the response.


def test_a_background_task_has_no_answer(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    def task() -> None:
        ran.append("task")
        raise refused(provider, NAME)

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("done", background=BackgroundTask(task))

    seen = seen_of(install(Starlette(routes=[Route("/shop", endpoint)]), provider))
    assert (seen.status, seen.body, seen.whole) == (200, b"done", True)
    assert logged(caplog) is BreakerOpenError  # what the server logs is the rejection itself
    assert ran == ["task"]


def test_a_plain_function_is_an_endpoint_too(provider: Provider) -> None:
    def endpoint(request: Request) -> Response:
        raise refused(provider, NAME)

    assert seen_of(install(Starlette(routes=[Route("/shop", endpoint)]), provider)).status == 503


# WebSockets.


def websocket_app(provider: Provider, endpoint: Callable[[WebSocket], Any]) -> Starlette:
    return install(Starlette(routes=[WebSocketRoute("/talk", endpoint)]), provider)


def test_a_websocket_is_denied_before_it_is_accepted(provider: Provider) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        raise refused(provider, NAME)

    seen = seen_of(websocket_app(provider, endpoint), "/talk", **HANDSHAKE)
    assert (seen.status, seen.headers["retry-after"]) == (503, "60")


def test_an_accepted_websocket_is_the_server_s_affair(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        raise refused(provider, NAME)

    with shared_uvicorn(websocket_app(provider, endpoint)) as address:
        assert status_of(address, "/talk", **HANDSHAKE) == 101
        assert logged(caplog) is BreakerOpenError


# The lifespan, and bad input.


def test_the_lifespan_runs_and_its_errors_go_on(provider: Provider) -> None:
    ran: list[str] = []

    class Lifespan:
        def __init__(self, app: Any) -> None: ...

        async def __aenter__(self) -> None:
            ran.append("up")

        async def __aexit__(self, *error: object) -> None:
            ran.append("down")

    with uvicorn_server(install(Starlette(lifespan=Lifespan), provider)):
        assert ran == ["up"]
    assert ran == ["up", "down"]


def test_releases_that_name_every_argument_can_make_the_middlewares(provider: Provider) -> None:
    app = install(Starlette(), provider)
    for entry in app.user_middleware:
        make: Any = entry.cls
        assert make(*entry.args, **entry.kwargs, app=app.router) is not None  # as Starlette 0.40 has it
    assert len(app.user_middleware) == 2


def test_install_gives_the_application_back(provider: Provider) -> None:
    app = Starlette()
    assert install(app, provider) is app


def test_twice_is_once_too_often(provider: Provider) -> None:
    app = install(Starlette(), provider)
    before = list(app.user_middleware)
    with pytest.raises(ValueError, match="an application that has it already"):
        install(app, provider)
    assert app.user_middleware == before


def test_an_application_that_runs_is_refused(provider: Provider, shop: Route) -> None:
    app = Starlette(routes=[shop])
    assert seen_of(app).status == 500
    with pytest.raises(RuntimeError, match="after an application has started"):
        install(app, provider)
    assert app.user_middleware == []


def test_what_is_no_application_is_refused(provider: Provider) -> None:
    wrong: Any
    for wrong, got in ((Starlette, "the class Starlette"), (Router(), "Router"), (None, "NoneType")):
        with pytest.raises(TypeError, match=rf"install takes an instance of starlette\.Starlette, got {got}"):
            install(wrong, provider)
