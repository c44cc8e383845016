"""ASGI without a framework: WebSockets, lifespans, what is no response yet, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from breaker import BreakerOpenError, Provider
from breaker.integrations import asgi
from support.drive import Boom
from support.web.client import HANDSHAKE, ask, status_of
from support.web.servers import shared_uvicorn, uvicorn_server
from support.web.sites import refused

NAME = "http:internal.example"


def run(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """What an application sends for a scope, without a server."""
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def rejecting(provider: Provider, *messages: dict[str, Any]) -> Any:
    """An application that sends these messages and is rejected."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        raise refused(provider, NAME)

    return asgi.install(app, provider)


def test_the_response_by_messages(provider: Provider) -> None:
    start, body = run(rejecting(provider), {"type": "http", "method": "GET"})
    assert start["type"] == "http.response.start"
    assert start["status"] == 503
    headers = dict(start["headers"])
    assert headers[b"retry-after"] == b"60"
    assert all(name == name.lower() for name in headers)
    assert body["type"] == "http.response.body"
    assert len(body["body"]) == int(headers[b"content-length"])


def test_a_request_for_the_head_gets_the_length_alone(provider: Provider) -> None:
    start, body = run(rejecting(provider), {"type": "http", "method": "HEAD"})  # servers that strip bodies hide it
    assert int(dict(start["headers"])[b"content-length"]) > 100
    assert body == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize("first", ["http.response.push", "http.response.debug", "http.response.early_hint"])
def test_what_is_sent_before_a_response_does_not_begin_it(provider: Provider, first: str) -> None:
    sent = run(rejecting(provider, {"type": first}), {"type": "http", "method": "GET"})
    assert [message["type"] for message in sent] == [first, "http.response.start", "http.response.body"]


def test_a_response_that_has_begun_is_not_touched(provider: Provider) -> None:
    with pytest.raises(BreakerOpenError) as caught:
        run(rejecting(provider, {"type": "http.response.start", "status": 200}), {"type": "http", "method": "GET"})
    assert caught.value.name == NAME


def test_the_application_gets_what_the_server_gave(provider: Provider) -> None:
    given: list[Any] = []

    async def app(*arguments: Any) -> None:
        given.extend(arguments)

    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    for kind in ("http", "websocket", "lifespan", "something.new"):
        given.clear()
        scope = {"type": kind, "method": "GET"}
        asyncio.run(asgi.install(app, provider)(scope, receive, send))  # type: ignore[arg-type]
        assert given[0] is scope
        assert given[1] is receive
        assert (given[2] is send) == (kind not in ("http", "websocket"))


@pytest.mark.parametrize("kind", ["lifespan", "something.new"])
def test_rejections_of_other_scopes_go_on(provider: Provider, kind: str) -> None:
    with pytest.raises(BreakerOpenError):
        run(rejecting(provider), {"type": kind})


def test_a_cancelled_request_stays_cancelled(provider: Provider) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.ensure_future(asgi.install(app, provider)({"type": "http"}, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_client_that_is_gone_is_the_server_s_affair(provider: Provider) -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    async def main() -> None:
        await rejecting(provider)({"type": "http", "method": "GET"}, None, send)

    with pytest.raises(OSError, match="gone"):
        asyncio.run(main())


# WebSockets.

ACCEPTED = {"type": "websocket.accept"}


def test_a_handshake_is_denied_with_the_same_response(provider: Provider) -> None:
    with shared_uvicorn(rejecting(provider)) as address:
        seen = ask(address, "/", **HANDSHAKE)
    assert seen.status == 503
    assert seen.headers["retry-after"] == "60"
    assert seen.document["title"] == "Service Unavailable"


def test_a_handshake_that_works_is_not_touched(provider: Provider) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send(ACCEPTED)
        await send({"type": "websocket.close", "code": 1000})

    with shared_uvicorn(asgi.install(app, provider)) as address:
        assert status_of(address, "/", **HANDSHAKE) == 101


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
def test_without_the_extension_it_is_closed_for_the_time_being(provider: Provider, extensions: dict[str, Any]) -> None:
    sent = run(rejecting(provider), {"type": "websocket"} | extensions)
    assert sent == [{"type": "websocket.close", "code": 1013, "reason": ""}]


@pytest.mark.parametrize(
    "first", [ACCEPTED, {"type": "websocket.close"}, {"type": "websocket.http.response.start", "status": 403}]
)
def test_a_websocket_that_was_answered_is_not_touched(provider: Provider, first: dict[str, Any]) -> None:
    with pytest.raises(BreakerOpenError):
        run(rejecting(provider, first), {"type": "websocket", "extensions": {"websocket.http.response": {}}})


# The lifespan, and what is refused.


def test_the_lifespan_runs(provider: Provider) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for _ in range(2):
            message = await receive()
            seen.append(message["type"])
            await send({"type": f"{message['type']}.complete"})

    with uvicorn_server(asgi.install(app, provider)):
        assert seen == ["lifespan.startup"]
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


async def fine(scope: Any, receive: Any, send: Any) -> None: ...


def test_twice_is_once_too_often(provider: Provider) -> None:
    with pytest.raises(ValueError, match="an application that has it already"):
        asgi.install(asgi.install(fine, provider), provider)


def wsgi_application(environ: Any, start_response: Any) -> Any: ...


def double_callable(scope: Any) -> Any: ...  # ASGI 2


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (None, "NoneType"),
        ("shop:app", "str"),
        (wsgi_application, r"wsgi_application\(environ: .*"),
        (double_callable, r"double_callable\(scope: .*"),
    ],
)
def test_what_is_no_application_is_refused(provider: Provider, wrong: Any, got: str) -> None:
    wanted = r"install takes an ASGI application, called with \(scope, receive, send\); got "
    with pytest.raises(TypeError, match=wanted + got):
        asgi.install(wrong, provider)


def test_every_form_of_an_application_is_taken(provider: Provider) -> None:
    class Instance:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise refused(provider, NAME)

        async def method(self, scope: Any, receive: Any, send: Any) -> None:
            raise refused(provider, NAME)

    class Awaited:
        def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

        def __await__(self) -> Any:
            raise refused(provider, NAME)

    application: Any
    for application in (Instance(), Instance().method, Awaited):
        start, _ = run(asgi.install(application, provider), {"type": "http", "method": "GET"})
        assert start["status"] == 503


def test_an_application_whose_arguments_cannot_be_known_is_taken(provider: Provider) -> None:
    assert callable(asgi.install(max, provider))  # type: ignore[arg-type]  # in C, without a signature


def test_other_errors_go_on(provider: Provider) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    error = Boom("down")
    with pytest.raises(Boom) as caught:
        run(asgi.install(app, provider), {"type": "http", "method": "GET"})
    assert caught.value is error


def test_an_application_that_answers_its_errors_itself_is_refused(provider: Provider) -> None:
    found: list[tuple[Any, str]] = []
    starlette = pytest.importorskip("starlette.applications", exc_type=ImportError)
    found += [(starlette.Starlette(), "Starlette answers .*integrations.starlette.install")]
    fastapi = pytest.importorskip("fastapi", exc_type=ImportError)
    found += [
        (fastapi.FastAPI(), "FastAPI answers .*integrations.fastapi.install"),
        (fastapi.FastAPI, "FastAPI answers"),
    ]
    django = pytest.importorskip("support.web.django_kinds", exc_type=ImportError)
    found += [(django.ASGIHandler(), "ASGIHandler answers .*integrations.django.BreakerMiddleware")]
    for application, what in found:
        with pytest.raises(TypeError, match=what):
            asgi.install(application, provider)
