"""What is aiohttp's own: middlewares, the session's time-outs, its pool, its second try, ways to read a body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer

from breaker import Provider, State
from breaker.integrations.aiohttp import BreakerOpenClientError, breaker_middleware
from support.drive import cool
from support.http.server import BODY, Server
from support.reading import counts

Session = aiohttp.ClientSession


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def run(use: Callable[[Session], Coroutine[Any, Any, None]], *middlewares: Any, **settings: Any) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=middlewares, **settings) as session:
            await use(session)

    asyncio.run(main())


def test_two_breakers_around_a_request_are_an_error(provider: Provider, server: Server) -> None:
    async def twice(session: Session) -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="a request has two breaker middlewares; each of them would count it"):
                await session.get(f"{server.url}/status/200")

    run(twice, breaker_middleware(provider), breaker_middleware(provider, name="http:other"))
    assert server.requests == []
    assert counts(provider.breakers[server.name]) == {"ignored": 2}


def test_one_middleware_serves_many_sessions(provider: Provider, server: Server) -> None:
    middleware = breaker_middleware(provider)

    async def once(session: Session) -> None:
        async with session.get(f"{server.url}/status/200") as response:
            assert response.status == 200

    run(once, middleware)
    run(once, middleware)
    assert counts(provider.breakers[server.name]) == {"successes": 2}


def test_middlewares_of_a_request_take_the_place_of_the_sessions(patient: Provider, server: Server) -> None:
    async def each(session: Session) -> None:
        async with session.get(f"{server.url}/status/200", middlewares=()):
            pass
        assert list(patient.breakers) == []
        async with session.get(f"{server.url}/status/200"):
            pass

    run(each, breaker_middleware(patient))
    assert counts(patient.breakers[server.name]) == {"successes": 1}


@pytest.mark.parametrize(
    "timeout",
    [
        aiohttp.ClientTimeout(total=0.05),
        aiohttp.ClientTimeout(sock_read=0.05),
    ],
    ids=["total", "sock_read"],
)
@pytest.mark.parametrize("settle", ["headers", "body"])
def test_a_time_out_of_the_session_is_a_failure(patient: Provider, server: Server, timeout: Any, settle: Any) -> None:
    async def late(session: Session) -> None:
        with pytest.raises(TimeoutError):
            await session.get(f"{server.url}/hang")
        assert counts(patient.breakers[server.name]) == {"failures": 1}
        async with session.get(f"{server.url}/stall") as response:
            with pytest.raises(TimeoutError):
                await response.read()

    run(late, breaker_middleware(patient, settle=settle), timeout=timeout)
    expected = {"failures": 2} if settle == "body" else {"failures": 1, "successes": 1}
    assert counts(patient.breakers[server.name]) == expected


class Slow(AbstractResolver):
    """A resolver that never answers: what ends a request comes before there is a connection."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        self.asked.set()
        await asyncio.sleep(30)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("which", ["total", "connect"])
def test_a_time_out_while_connecting_is_a_failure(patient: Provider, which: str) -> None:
    async def connecting() -> None:
        connector = aiohttp.TCPConnector(resolver=Slow())
        timeout = aiohttp.ClientTimeout(**{which: 0.05})
        middlewares = [breaker_middleware(patient)]
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, middlewares=middlewares) as session:
            with pytest.raises(TimeoutError):
                await session.get("http://slow.example/")

    asyncio.run(connecting())
    assert counts(patient.breakers["http:slow.example"]) == {"failures": 1}


def test_a_task_that_is_cancelled_while_connecting_is_ignored(patient: Provider) -> None:
    async def connecting() -> None:
        resolver = Slow()
        connector = aiohttp.TCPConnector(resolver=resolver)
        middlewares = [breaker_middleware(patient)]
        async with aiohttp.ClientSession(connector=connector, middlewares=middlewares) as session:

            async def get() -> None:
                await session.get("http://slow.example/")

            task = asyncio.create_task(get())
            await resolver.asked.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(connecting())
    assert counts(patient.breakers["http:slow.example"]) == {"ignored": 1}


@pytest.mark.parametrize("which", ["total", "connect"])
def test_a_pool_without_a_free_connection_is_the_callers(patient: Provider, server: Server, which: str) -> None:
    async def full() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with (
            aiohttp.ClientSession(connector=connector, middlewares=[breaker_middleware(patient)]) as session,
            session.get(f"{server.url}/stall"),
        ):
            with pytest.raises(TimeoutError):
                await session.get(f"{server.url}/status/200", timeout=aiohttp.ClientTimeout(**{which: 0.05}))

    asyncio.run(full())
    assert counts(patient.breakers[server.name]) == {"successes": 1, "ignored": 1}


def test_each_try_of_aiohttp_asks(provider: Provider, server: Server) -> None:
    """aiohttp asks once more where the connection of an idempotent request breaks; a POST it does not repeat."""

    async def broken(session: Session) -> None:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(f"{server.url}/drop")
        assert counts(provider.breakers[server.name]) == {"failures": 1}
        provider.breakers[server.name].reset()
        with pytest.raises(BreakerOpenClientError, match="ServerDisconnectedError"):
            await session.get(f"{server.url}/drop")

    run(broken, breaker_middleware(provider))
    assert server.requests == ["POST /drop", "GET /drop"]


def test_raise_for_status_changes_nothing(patient: Provider, server: Server) -> None:
    async def raising(session: Session) -> None:
        for status in (404, 503):
            with pytest.raises(aiohttp.ClientResponseError):
                await session.get(f"{server.url}/status/{status}")

    run(raising, breaker_middleware(patient), raise_for_status=True)
    assert counts(patient.breakers[server.name]) == {"successes": 1, "failures": 1}


def test_retries_outside_ask_each_time_and_inside_once(patient: Provider, server: Server) -> None:
    async def retrying(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        for _ in range(2):
            (await handler(request)).release()
        return await handler(request)

    async def once(session: Session) -> None:
        async with session.get(f"{server.url}/status/503") as response:
            assert response.status == 503

    run(once, retrying, breaker_middleware(patient, name="outside"))
    run(once, breaker_middleware(patient, name="inside"), retrying)
    assert counts(patient.breakers["outside"]) == {"failures": 3}
    assert counts(patient.breakers["inside"]) == {"failures": 1}
    assert len(server.requests) == 6


@pytest.mark.parametrize("settle", ["headers", "body"])
@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_web_socket_ends_with_its_handshake(provider: Provider, scheme: str, settle: Any) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def answered(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]))

    async def main() -> None:
        application = web.Application()
        application.add_routes([web.get("/echo", echo), web.get("/status/{status}", answered)])
        middlewares = [breaker_middleware(provider, settle=settle)]
        async with TestServer(application) as server, Session(middlewares=middlewares) as session:
            url = f"{scheme}://127.0.0.1:{server.port}"
            breaker = provider.get_breaker(f"http:127.0.0.1:{server.port}")
            async with session.ws_connect(f"{url}/echo") as socket:
                assert counts(breaker) == {"successes": 1}
                await socket.send_str("hello")
                assert await socket.receive_str() == "hello"
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(f"{url}/status/404")
            assert counts(breaker) == {"successes": 2}
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(f"{url}/status/503")
            with pytest.raises(BreakerOpenClientError):
                await session.ws_connect(f"{url}/echo")
            assert counts(breaker) == {"successes": 2, "failures": 1, "rejected": 1}

    asyncio.run(main())


# Bodies.


async def _chunks(response: aiohttp.ClientResponse) -> list[bytes]:
    return [data async for data, _ in response.content.iter_chunks()]


async def _all(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


async def _exactly(response: aiohttp.ClientResponse) -> bytes:
    return await response.content.readexactly(len(BODY))


WAYS: dict[str, Callable[[aiohttp.ClientResponse], Coroutine[Any, Any, Any]]] = {
    "read": lambda response: response.read(),
    "text": lambda response: response.text(),
    "content.read": lambda response: response.content.read(),
    "content": lambda response: _all(response.content.__aiter__()),
    "iter_any": lambda response: _all(response.content.iter_any()),
    "iter_chunked": lambda response: _all(response.content.iter_chunked(1000)),
    "iter_chunks": _chunks,
    "readexactly": _exactly,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_body_counts_once_however_it_is_read(patient: Provider, server: Server, way: str) -> None:
    async def each(session: Session) -> None:
        breaker = patient.get_breaker(server.name)
        async with session.get(f"{server.url}/body") as response:
            assert isinstance(response.content, aiohttp.StreamReader)
            await WAYS[way](response)
            assert counts(breaker) == {"successes": 1}
        opened: list[bool] = []
        server.gate = lambda: opened
        async with session.get(f"{server.url}/half-reset") as response:
            opened.append(True)
            with pytest.raises(aiohttp.ClientError):
                await WAYS[way](response)
            assert counts(breaker) == {"successes": 1, "failures": 1}

    run(each, breaker_middleware(patient, settle="body"))
    assert counts(patient.breakers[server.name]) == {"successes": 1, "failures": 1}


def test_a_body_that_has_come_whole_is_a_success_unread(patient: Provider, server: Server) -> None:
    async def unread(session: Session) -> None:
        async with session.get(f"{server.url}/body") as response:
            await response.content.wait_eof()

    run(unread, breaker_middleware(patient, settle="body"))
    assert counts(patient.breakers[server.name]) == {"successes": 1}


def test_a_probe_whose_body_is_read(provider: Provider, server: Server, clock: Any) -> None:
    async def probing(session: Session) -> None:
        async with session.get(f"{server.url}/status/503"):
            pass
        breaker = provider.breakers[server.name]
        cool(breaker, clock)
        async with session.get(f"{server.url}/stall") as response:
            assert breaker.snapshot().half_open_in_flight == 1
            with pytest.raises(BreakerOpenClientError):
                await session.get(f"{server.url}/status/200")
            assert await response.content.readany()
        assert breaker.state is State.CLOSED

    run(probing, breaker_middleware(provider, settle="body"))
