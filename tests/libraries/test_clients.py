"""What clients return: requests of aiohttp, streams of httpx, pools of asyncpg, Deferreds of Twisted."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import aiohttp.web
import asyncpg
import httpx
import pytest
import trio
from twisted.internet import defer

from breaker import Breaker, BreakerOpenError, Policy
from support.drive import Boom, Make
from support.reading import counts


@pytest.fixture
def breaker(make_breaker: Make) -> Breaker:
    return make_breaker(Policy(3))


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[str]:
    async def answer(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(text="hello")

    async def hang(request: aiohttp.web.Request) -> aiohttp.web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    async def echo(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        talk = aiohttp.web.WebSocketResponse()
        await talk.prepare(request)
        async for message in talk:
            await talk.send_str(message.data)
        return talk

    app = aiohttp.web.Application()
    app.router.add_get("/", answer)
    app.router.add_get("/hang", hang)
    app.router.add_get("/echo", echo)
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def free_port() -> int:
    """Where nobody answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_a_request_of_aiohttp_is_entered_or_awaited(breaker: Breaker) -> None:
    # S33
    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            async with breaker.do(session.get, url) as response:
                assert await response.text() == "hello"
            assert counts(breaker) == {"successes": 1}
            (await breaker.do(session.get, url)).release()
            (await asyncio.create_task(breaker.do(session.get, url))).release()
            async with breaker.do(session.ws_connect, f"{url}/echo") as talk:
                await talk.send_str("x")
                assert (await talk.receive()).data == "x"
            with pytest.raises(KeyError):
                async with breaker.do(session.get, url):
                    raise KeyError  # the body is the caller's
            assert counts(breaker) == {"successes": 5}
            hanging = asyncio.create_task(breaker.do(session.get, f"{url}/hang"))
            await asyncio.sleep(0.05)
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            assert counts(breaker) == {"successes": 5, "ignored": 1}
            with pytest.raises(asyncio.TimeoutError):
                await breaker.do(session.get, f"{url}/hang", timeout=aiohttp.ClientTimeout(total=0.05))
            for _ in range(2):
                with pytest.raises(aiohttp.ClientConnectorError):
                    async with breaker.do(session.get, nowhere()):
                        raise AssertionError
            with pytest.raises(BreakerOpenError):
                await breaker.do(session.get, url)

    asyncio.run(main())


def test_a_stream_of_httpx_is_judged_when_it_is_entered(breaker: Breaker) -> None:
    # S33
    async def main() -> None:
        async with server() as url, httpx.AsyncClient() as client:
            async with breaker.do(client.stream, "GET", url) as response:
                assert await response.aread() == b"hello"
            assert (await breaker.do(client.get, url)).text == "hello"
            for _ in range(3):
                with pytest.raises(httpx.ConnectError):
                    async with breaker.do(client.stream, "GET", nowhere()):
                        raise AssertionError
            with pytest.raises(BreakerOpenError):
                breaker.do(client.stream, "GET", url)

    asyncio.run(main())
    assert counts(breaker) == {"successes": 2, "failures": 3, "rejected": 1}


def test_a_pool_of_asyncpg_that_finds_no_server_opens_the_breaker(breaker: Breaker) -> None:
    # S33
    async def entered(acquire: Callable[[], Any]) -> None:
        async with acquire():
            raise AssertionError

    async def awaited(acquire: Callable[[], Any]) -> None:
        await acquire()

    async def main() -> None:
        pool = await asyncpg.create_pool(host="127.0.0.1", port=free_port(), user="x", database="x", min_size=0)
        for use in (entered, awaited, entered):
            with pytest.raises(OSError, match="Connect call failed"):
                await use(lambda: breaker.do(pool.acquire))
        with pytest.raises(BreakerOpenError):
            breaker.do(pool.acquire)
        await pool.close()

    asyncio.run(main())
    assert counts(breaker) == {"failures": 3, "rejected": 1}


def test_a_deferred_is_judged_when_it_is_called_back(breaker: Breaker) -> None:
    # S33
    deferred = breaker.do(defer.Deferred)
    assert type(deferred) is defer.Deferred
    assert counts(breaker) == {}
    deferred.callback(5)
    assert deferred.result == 5
    caught: list[Any] = []
    failing = breaker.do(defer.fail, Boom("x"))
    failing.addErrback(caught.append)
    breaker.do(defer.Deferred).addErrback(caught.append).cancel()
    assert [type(failure.value) for failure in caught] == [Boom, defer.CancelledError]
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1}


def test_twisted_drives_decorated_functions(breaker: Breaker) -> None:
    got: list[Any] = []

    @defer.inlineCallbacks
    @breaker
    def inside(x: int) -> Any:
        y = yield defer.succeed(x)
        return y + 1

    @breaker
    @defer.inlineCallbacks
    def outside(x: int) -> Any:
        y = yield defer.succeed(x)
        return y + 2

    @breaker
    async def later(x: int) -> int:
        return x + 3

    inside(0).addCallback(got.append)
    outside(0).addCallback(got.append)
    defer.ensureDeferred(later(0)).addCallback(got.append)
    assert got == [1, 2, 3]
    assert counts(breaker) == {"successes": 3}


def test_trio_runs_decorated_functions(breaker: Breaker) -> None:
    @breaker
    async def later(x: int) -> int:
        await trio.lowlevel.checkpoint()
        return x

    async def main() -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(later, 1)
        return await later(2)

    assert trio.run(main) == 2
    assert counts(breaker) == {"successes": 2}
