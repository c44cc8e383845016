"""GET requests over loopback through clients that differ in one thing: whether they have a breaker.

``bare`` is the client without one, the floor. ``breaker`` has one, closed; ``rejected`` has one, open. aiohttp has a
``passing-on`` too, with a middleware that does nothing: what of the cost is aiohttp's own way of having any.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import requests
import urllib3

import breaker
from benchmarks.measure import Loop
from benchmarks.subjects import CLOSED, provider
from breaker.integrations.aiohttp import breaker_middleware
from breaker.integrations.httpx import protect as protect_httpx
from breaker.integrations.httpx2 import protect as protect_httpx2
from breaker.integrations.requests import protect as protect_requests
from breaker.integrations.urllib3 import protect as protect_urllib3

Call = Callable[[], Any]


@dataclass(frozen=True)
class Subjects:
    """``loops`` by kind, and the breakers that must have counted their requests."""

    loops: dict[str, Loop]
    closed: breaker.Breaker
    opened: breaker.Breaker

    def counted(self) -> dict[str, int]:
        return {"breaker": self.closed.snapshot().successes, "rejected": self.opened.snapshot().rejected}


@contextmanager
def server() -> Iterator[str]:
    program = Path(__file__).parent / "http_server.py"
    # Leaving the block closes its input, which is its end.
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"


@contextmanager
def _setting() -> Iterator[tuple[str, breaker.Provider, breaker.Provider]]:
    with server() as address, provider(CLOSED) as closed, provider(CLOSED) as opened:
        closed.get_breaker(f"http:{address}")
        opened.get_breaker(f"http:{address}").force_open()
        yield address, closed, opened


def calling(call: Call) -> Callable[[int], None]:
    def run(n: int) -> None:
        for _ in range(n):
            try:  # noqa: SIM105 - a context manager would be measured too
                call()
            except breaker.BreakerOpenError:
                pass

    return run


@contextmanager
def _sync(make: Callable[[], Any], protect: Callable[..., Any], get: Callable[[Any, str], Call]) -> Iterator[Subjects]:
    with _setting() as (address, closed, opened), ExitStack() as clients:
        made = {
            "bare": clients.enter_context(make()),
            "breaker": clients.enter_context(protect(make(), closed)),
            "rejected": clients.enter_context(protect(make(), opened)),
        }
        url = f"http://{address}/"
        loops = {kind: Loop(calling(get(client, url)), kind) for kind, client in made.items()}
        name = f"http:{address}"
        yield Subjects(loops, closed.breakers[name], opened.breakers[name])


def awaiting(runner: asyncio.Runner, call: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[int], None]:
    async def many(n: int) -> None:
        for _ in range(n):
            try:  # noqa: SIM105 - as above
                await call()
            except breaker.BreakerOpenError:
                pass

    return lambda n: runner.run(many(n))


@contextmanager
def _async(
    make: Callable[[breaker.Provider, breaker.Provider], dict[str, Any]], get: Callable[[Any, str], Any]
) -> Iterator[Subjects]:
    with _setting() as (address, closed, opened), asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def enter() -> dict[str, Any]:
            return {kind: await stack.enter_async_context(client) for kind, client in make(closed, opened).items()}

        url = f"http://{address}/"
        loops = {kind: Loop(awaiting(runner, get(client, url)), kind) for kind, client in runner.run(enter()).items()}
        name = f"http:{address}"
        yield Subjects(loops, closed.breakers[name], opened.breakers[name])
        runner.run(stack.aclose())


def _httpx_async(library: Any, protect: Callable[..., Any]) -> Any:
    def make(closed: breaker.Provider, opened: breaker.Provider) -> dict[str, Any]:
        return {
            "bare": library.AsyncClient(verify=False),
            "breaker": protect(library.AsyncClient(verify=False), closed),
            "rejected": protect(library.AsyncClient(verify=False), opened),
        }

    return _async(make, lambda client, url: lambda: client.get(url))


async def _passing_on(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    return await handler(request)


def _aiohttp(closed: breaker.Provider, opened: breaker.Provider) -> dict[str, Any]:
    return {
        "bare": aiohttp.ClientSession(),
        "passing-on": aiohttp.ClientSession(middlewares=[_passing_on]),
        "breaker": aiohttp.ClientSession(middlewares=[breaker_middleware(closed)]),
        "rejected": aiohttp.ClientSession(middlewares=[breaker_middleware(opened)]),
    }


def _aiohttp_get(session: aiohttp.ClientSession, url: str) -> Callable[[], Coroutine[Any, Any, bytes]]:
    async def get() -> bytes:
        async with session.get(url) as response:
            return await response.read()

    return get


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # otherwise the environment and a .netrc are read for each request
    return session


CLIENTS: dict[str, Callable[[], Any]] = {
    "httpx": lambda: _sync(lambda: httpx.Client(verify=False), protect_httpx, lambda c, url: lambda: c.get(url)),
    "httpx, async": lambda: _httpx_async(httpx, protect_httpx),
    "httpx2": lambda: _sync(lambda: httpx2.Client(verify=False), protect_httpx2, lambda c, url: lambda: c.get(url)),
    "httpx2, async": lambda: _httpx_async(httpx2, protect_httpx2),
    "requests": lambda: _sync(_session, protect_requests, lambda c, url: lambda: c.get(url)),
    "urllib3": lambda: _sync(urllib3.PoolManager, protect_urllib3, lambda c, url: lambda: c.request("GET", url)),
    "aiohttp": lambda: _async(_aiohttp, _aiohttp_get),
}
