"""FastAPI: dependencies, background tasks, sub-applications, errors that are answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import PlainTextResponse
from starlette.applications import Starlette

from breaker import BreakerOpenError, Provider, State
from breaker.integrations.fastapi import install
from support.drive import Boom
from support.reading import counts
from support.web.client import HANDSHAKE, Seen, ask
from support.web.servers import logged, shared_uvicorn
from support.web.sites import refused

NAME = "http:internal.example"


def seen_of(app: Any, path: str = "/shop", method: str = "GET", **headers: str) -> Seen:
    with shared_uvicorn(app) as address:
        return ask(address, path, method, **headers)


@pytest.fixture
def app(provider: Provider) -> FastAPI:
    return install(FastAPI(), provider)


@pytest.mark.parametrize("later", [False, True])
def test_an_endpoint_is_rejected(provider: Provider, app: FastAPI, later: bool) -> None:
    def plain() -> None:
        raise refused(provider, NAME)

    async def coroutine() -> None:
        raise refused(provider, NAME)

    app.get("/shop")(coroutine if later else plain)
    seen = seen_of(app)
    assert (seen.status, seen.headers["retry-after"]) == (503, "60")
    assert seen.document["status"] == 503


def dependencies(provider: Provider) -> dict[str, Any]:
    def plain() -> None:
        raise refused(provider, NAME)

    async def coroutine() -> None:
        raise refused(provider, NAME)

    def before() -> Iterator[None]:
        raise refused(provider, NAME)
        yield

    async def before_later() -> AsyncIterator[None]:
        raise refused(provider, NAME)
        yield

    return {"plain": plain, "coroutine": coroutine, "before": before, "before_later": before_later}


@pytest.mark.parametrize("kind", ["plain", "coroutine", "before", "before_later"])
def test_a_dependency_is_rejected(provider: Provider, app: FastAPI, kind: str) -> None:
    @app.get("/shop", dependencies=[Depends(dependencies(provider)[kind])])
    async def endpoint() -> str:
        return "never"

    assert seen_of(app).status == 503


def test_a_dependency_sees_the_rejection_of_its_endpoint_and_cleans_up(provider: Provider, app: FastAPI) -> None:
    seen: list[str] = []

    async def session() -> AsyncIterator[None]:
        try:
            yield
        except BreakerOpenError as error:
            seen.append(error.name)
            raise
        finally:
            seen.append("closed")

    @app.get("/shop", dependencies=[Depends(session)])
    async def endpoint() -> str:
        raise refused(provider, NAME)

    assert seen_of(app).status == 503
    assert seen == [NAME, "closed"]


def test_what_runs_after_the_response_has_no_answer(
    provider: Provider, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    async def session() -> AsyncIterator[None]:
        yield
        ran.append("session")
        raise refused(provider, NAME)

    def task() -> None:
        ran.append("task")
        raise refused(provider, NAME)

    @app.get("/session", dependencies=[Depends(session)])
    async def with_session() -> str:
        return "done"

    @app.get("/task")
    async def with_task(tasks: BackgroundTasks) -> str:
        tasks.add_task(task)
        return "done"

    for path in ("/session", "/task"):
        caplog.clear()
        seen = seen_of(app, path)
        assert (seen.status, seen.body, seen.whole) == (200, b'"done"', True)
        assert logged(caplog) is BreakerOpenError
        assert ran.pop() == path[1:]


def test_an_error_that_is_an_answer_opens_nothing_if_it_is_outside(provider: Provider, app: FastAPI) -> None:
    stock = provider.get_breaker("http:stock")

    @app.get("/items/{number}")
    def endpoint(number: int) -> int:
        found = stock.do({7: 3}.get, number)
        if found is None:
            raise HTTPException(404)
        return found

    assert [seen_of(app, f"/items/{number}").status for number in (7, 8, 8)] == [200, 404, 404]
    assert stock.state is State.CLOSED
    assert counts(stock) == {"successes": 3}


def test_a_handler_of_everything_does_not_get_rejections(provider: Provider, app: FastAPI) -> None:
    @app.exception_handler(Exception)
    async def everything(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(type(error).__name__, 500)

    @app.get("/shop")
    def shop() -> None:
        raise refused(provider, NAME)

    @app.get("/bug")
    def bug() -> None:
        raise Boom("a bug")

    assert seen_of(app).status == 503
    assert seen_of(app, "/bug").body == b"Boom"


def test_a_sub_application_needs_its_own(provider: Provider, app: FastAPI) -> None:
    def endpoint() -> None:
        raise refused(provider, NAME)

    for path, made in (("/bare", FastAPI()), ("/protected", install(FastAPI(), provider, show_name=True))):
        made.get("/shop")(endpoint)
        app.mount(path, made)
    router = APIRouter(prefix="/router")
    router.get("/shop")(endpoint)
    app.include_router(router)
    found = {path: seen_of(app, f"{path}/shop") for path in ("/bare", "/protected", "/router")}
    assert {path: seen.status for path, seen in found.items()} == {"/bare": 500, "/protected": 503, "/router": 503}
    assert found["/protected"].document["breaker"] == NAME
    assert "breaker" not in found["/router"].document


def test_a_websocket_is_denied_before_it_is_accepted(provider: Provider, app: FastAPI) -> None:
    def dependency() -> None:
        raise refused(provider, NAME)

    @app.websocket("/talk", dependencies=[Depends(dependency)])
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()

    seen = seen_of(app, "/talk", **HANDSHAKE)
    assert (seen.status, seen.headers["retry-after"]) == (503, "60")


def test_the_document_of_the_interface_stays_what_it_is(provider: Provider) -> None:
    def described(app: FastAPI) -> dict[str, Any]:
        @app.get("/shop")
        def shop() -> int:
            return 1

        return app.openapi()

    assert described(install(FastAPI(), provider)) == described(FastAPI())


def test_twice_is_once_too_often(provider: Provider, app: FastAPI) -> None:
    with pytest.raises(ValueError, match="an application that has it already"):
        install(app, provider)


def test_an_application_that_runs_is_refused(provider: Provider) -> None:
    app = FastAPI()
    assert seen_of(app).status == 404
    with pytest.raises(RuntimeError, match="after an application has started"):
        install(app, provider)


def test_what_is_no_application_is_refused(provider: Provider) -> None:
    wrong: Any
    for wrong, got in ((FastAPI, "the class FastAPI"), (APIRouter(), "APIRouter"), (Starlette(), "Starlette")):
        with pytest.raises(TypeError, match=rf"install takes an instance of fastapi\.FastAPI, got {got}"):
            install(wrong, provider)
