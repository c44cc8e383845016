"""What is httpx's own, and httpx2's: transports, mounts, pools, authentication, applications in this process."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from support.collector import no_collector
from support.drive import Providers, cool
from support.http.server import Server
from support.reading import counts


@dataclass
class Library:
    """The library, what we have for it, and the other one of the two."""

    theirs: Any
    ours: Any
    other: Any


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Library:
    other = {"httpx": "httpx2", "httpx2": "httpx"}[request.param]
    ours = importlib.import_module(f"breaker.integrations.{request.param}")
    return Library(importlib.import_module(request.param), ours, importlib.import_module(other))


@pytest.fixture
def server() -> Any:
    with Server() as running:
        yield running


# Arguments.


def test_what_is_no_client_is_refused(library: Library, provider: Provider) -> None:
    name = library.theirs.__name__
    for wrong, got in (
        (library.theirs.Client, "the class Client"),
        (library.other.Client(verify=False), "Client"),
        (library.theirs, "module"),
        (None, "NoneType"),
    ):
        with pytest.raises(TypeError, match=f"takes an instance of {name}.Client or {name}.AsyncClient, got {got}"):
            library.ours.protect(wrong, provider)


def test_a_client_is_protected_once(library: Library, provider: Provider, server: Server) -> None:
    with library.theirs.Client(verify=False) as client:
        library.ours.protect(client, provider)
        with pytest.raises(ValueError, match="protected already; each request would count twice"):
            library.ours.protect(client, provider)
        client.get(f"{server.url}/status/200")
    transport = library.ours.BreakerTransport(provider, library.theirs.HTTPTransport(verify=False))
    with (
        library.theirs.Client(transport=transport) as client,
        pytest.raises(ValueError, match="protected already"),
    ):
        library.ours.protect(client, provider)
    with (
        library.theirs.Client(verify=False, mounts={"http://a": transport}) as client,
        pytest.raises(ValueError, match="protected already"),
    ):
        library.ours.protect(client, provider)
    with pytest.raises(ValueError, match="BreakerTransport got a transport that is protected already"):
        library.ours.BreakerTransport(provider, transport)
    assert counts(provider.breakers[server.name]) == {"successes": 1}


def test_a_client_that_is_closed_is_refused(library: Library, provider: Provider) -> None:
    client = library.theirs.Client(verify=False)
    client.close()
    with pytest.raises(ValueError, match="protect got a client that is closed"):
        library.ours.protect(client, provider)


def test_a_transport_of_another_kind_is_refused(library: Library, provider: Provider) -> None:
    theirs, ours = library.theirs, library.ours
    for kind, wrong, expected in (
        (ours.BreakerTransport, theirs.HTTPTransport, "BaseTransport, got the class HTTPTransport"),
        (ours.BreakerTransport, theirs.AsyncHTTPTransport(verify=False), "BaseTransport, got AsyncHTTPTransport"),
        (ours.AsyncBreakerTransport, theirs.HTTPTransport(verify=False), "AsyncBaseTransport, got HTTPTransport"),
        (ours.BreakerTransport, library.other.HTTPTransport(verify=False), "BaseTransport, got HTTPTransport"),
        (ours.BreakerTransport, "http://a", "BaseTransport, got str"),
    ):
        with pytest.raises(TypeError, match=f"{kind.__name__} wraps a {theirs.__name__}.{expected}"):
            kind(provider, wrong)


# The client goes on as it was.


def test_transports_and_mounts_stay_what_they_are(library: Library, provider: Provider, server: Server) -> None:
    theirs = library.theirs
    mounted, shared = theirs.MockTransport(lambda request: theirs.Response(503)), theirs.HTTPTransport(verify=False)
    mounts = {"http://mock.example": mounted, "all://direct.example": None, "http://one": shared, "http://two": shared}
    with theirs.Client(verify=False, http2=True, mounts=mounts) as client:
        before = {url: client._transport_for_url(theirs.URL(url)) for url in _URLS}
        library.ours.protect(client, provider)
        after = {url: client._transport_for_url(theirs.URL(url)) for url in _URLS}
        assert {url: guard._transport for url, guard in after.items()} == before
        assert after["http://one/"] is after["http://two/"]
        assert client.get("http://mock.example/").status_code == 503
        with pytest.raises(BreakerOpenError):
            client.get("http://mock.example/")
        assert client.get(f"{server.url}/status/200").status_code == 200
    assert counts(provider.breakers["http:mock.example"]) == {"failures": 1, "rejected": 1}


_URLS = ("http://mock.example/", "https://direct.example/", "http://one/", "http://two/", "https://else.example/")


def test_closing_closes_what_is_inside(library: Library, provider: Provider) -> None:
    said: list[str] = []

    class Inside(library.theirs.BaseTransport):  # type: ignore[misc, name-defined]
        def __enter__(self) -> Any:
            said.append("enter")
            return super().__enter__()

        def close(self) -> None:
            said.append("close")

    class AsyncInside(library.theirs.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def __aenter__(self) -> Any:
            said.append("enter")
            return await super().__aenter__()

        async def aclose(self) -> None:
            said.append("close")

    with library.theirs.Client(transport=library.ours.BreakerTransport(provider, Inside())):
        assert said == ["enter"]
    assert said == ["enter", "close"]
    library.theirs.Client(transport=library.ours.BreakerTransport(provider, Inside())).close()
    assert said == ["enter", "close", "close"]

    async def asynchronous() -> None:
        transport = library.ours.AsyncBreakerTransport(provider, AsyncInside())
        async with library.theirs.AsyncClient(transport=transport):
            assert said == ["enter"]

    said.clear()
    asyncio.run(asynchronous())
    assert said == ["enter", "close"]


def test_without_a_transport_it_has_one(library: Library, patient: Provider, server: Server) -> None:
    with library.theirs.Client(transport=library.ours.BreakerTransport(patient)) as client:
        assert client.get(f"{server.url}/status/200").status_code == 200

    async def asynchronous() -> int:
        async with library.theirs.AsyncClient(transport=library.ours.AsyncBreakerTransport(patient)) as client:
            return int((await client.get(f"{server.url}/status/200")).status_code)

    assert asyncio.run(asynchronous()) == 200
    assert counts(patient.breakers[server.name]) == {"successes": 2}


# What counts.


def test_a_pool_that_is_full_is_the_callers(library: Library, patient: Provider, server: Server) -> None:
    limits = library.theirs.Limits(max_connections=1)
    timeout = library.theirs.Timeout(5, pool=0.02)
    with library.theirs.Client(verify=False, limits=limits, timeout=timeout) as client:
        library.ours.protect(client, patient)
        with client.stream("GET", f"{server.url}/stall"), pytest.raises(library.theirs.PoolTimeout):
            client.get(f"{server.url}/status/200")
    assert counts(patient.breakers[server.name]) == {"successes": 1, "ignored": 1}


def test_each_step_of_an_authentication_is_a_request(library: Library, patient: Provider, server: Server) -> None:
    class Stepping(library.theirs.Auth):  # type: ignore[misc, name-defined]
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            answer = yield library.theirs.Request("GET", f"{server.url}/status/401")
            assert answer.status_code == 401
            yield request

    with library.theirs.Client(verify=False, auth=Stepping()) as client:
        library.ours.protect(client, patient)
        assert client.get(f"{server.url}/status/200").status_code == 200
    assert counts(patient.breakers[server.name]) == {"successes": 2}


@pytest.mark.parametrize("settle", ["headers", "body"])
def test_an_application_in_this_process(library: Library, patient: Provider, settle: str) -> None:
    theirs, ours = library.theirs, library.ours

    def answer(request: Any) -> Any:
        return theirs.Response(int(request.url.path[1:]), content=b"x")

    with theirs.Client(transport=ours.BreakerTransport(patient, theirs.MockTransport(answer), settle=settle)) as client:
        with client.stream("GET", "http://app/200"):
            pass
        client.get("http://app/500")
        client.get("http://app/404")
    assert counts(patient.breakers["http:app"]) == {"successes": 2, "failures": 1}


def test_a_request_inside_the_probe_of_its_host(library: Library, provider: Provider, clock: Any) -> None:
    theirs, ours = library.theirs, library.ours
    status = [503]

    def answer(request: Any) -> Any:
        if request.url.path == "/outer":  # the token of the outer request comes from the same host
            assert outer.get("http://app/token").status_code == 200
        return theirs.Response(status[0])

    with theirs.Client(transport=ours.BreakerTransport(provider, theirs.MockTransport(answer))) as outer:
        outer.get("http://app/token")
        breaker = provider.breakers["http:app"]
        cool(breaker, clock)
        status[0] = 200
        assert outer.get("http://app/outer").status_code == 200
    assert breaker.state is State.CLOSED


def test_the_error_of_a_rejection_has_its_request(library: Library, provider: Provider, server: Server) -> None:
    provider.get_breaker(server.name).force_open()
    with (
        library.theirs.Client(transport=library.ours.BreakerTransport(provider)) as client,
        pytest.raises(library.ours.BreakerOpenTransportError) as caught,
    ):
        client.post(f"{server.url}/status/200?x=1")
    assert (caught.value.request.method, str(caught.value.request.url)) == ("POST", f"{server.url}/status/200?x=1")


def test_the_rejection_of_a_breaker_inside_is_ignored_outside(
    library: Library, patient: Provider, server: Server
) -> None:
    inner = patient.get_breaker("inner")
    inner.force_open()

    class Inside(library.theirs.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            with inner.acquire():
                raise AssertionError("not reached")

    with (
        library.theirs.Client(transport=library.ours.BreakerTransport(patient, Inside())) as client,
        pytest.raises(BreakerOpenError) as caught,
    ):
        client.get("http://app/")
    assert caught.value.name == "inner"
    assert counts(patient.breakers["http:app"]) == {"ignored": 1}


def test_a_hook_that_raises_changes_nothing(library: Library, patient: Provider, server: Server) -> None:
    def refuse(response: Any) -> None:
        response.raise_for_status()

    with library.theirs.Client(verify=False, event_hooks={"response": [refuse]}) as client:
        library.ours.protect(client, patient)
        for status in (404, 503):
            with pytest.raises(library.theirs.HTTPStatusError):
                client.get(f"{server.url}/status/{status}")
    assert counts(patient.breakers[server.name]) == {"successes": 1, "failures": 1}


def test_the_proxy_of_the_environment_is_kept(
    library: Library, patient: Provider, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with library.theirs.Client(verify=False) as client:
        library.ours.protect(client, patient)
        assert client.get("http://shop.example/status/200").status_code == 200
    assert server.requests == ["GET http://shop.example/status/200"]
    assert counts(patient.breakers["http:shop.example"]) == {"successes": 1}


@pytest.mark.parametrize("settle", ["headers", "body"])
@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_a_scope_that_is_cancelled_is_ignored_and_a_time_out_is_not(
    library: Library, patient: Provider, server: Server, loop: str, settle: str
) -> None:
    async def cancelled(client: Any, path: str, when: Callable[[], object]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(functools.partial(client.get, timeout=30), f"{server.url}/{path}")
            while not when():
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()

    async def asked() -> None:
        transport = library.ours.AsyncBreakerTransport(patient, settle=settle)
        async with library.theirs.AsyncClient(transport=transport) as client:
            breaker = patient.get_breaker(server.name)
            await cancelled(client, "hang", lambda: len(server.requests) == 1)
            assert counts(breaker) == {"ignored": 1}
            at_headers = settle == "headers"
            await cancelled(
                client, "stall", lambda: breaker.snapshot().successes if at_headers else len(server.requests) == 2
            )
            assert counts(breaker) == ({"ignored": 1, "successes": 1} if at_headers else {"ignored": 2})
            with pytest.raises(library.theirs.ReadTimeout):
                await client.get(f"{server.url}/hang", timeout=library.theirs.Timeout(30, read=0.05))
            assert counts(breaker)["failures"] == 1

    anyio.run(asked, backend=loop)


# Streams.


def stalled(library: Library, provider: Provider, server: Server) -> Breaker:
    """A probe whose response is dropped unread."""
    with library.theirs.Client(transport=library.ours.BreakerTransport(provider, settle="body")) as client:
        response = client.send(client.build_request("GET", f"{server.url}/stall"), stream=True)
        breaker = provider.breakers[server.name]
        assert breaker.snapshot().half_open_in_flight == 1
        del response
    return breaker


def test_a_stream_that_is_dropped_gives_its_slot_back(
    library: Library, provider_of: Providers, server: Server, clock: Any
) -> None:
    provider = provider_of(Policy(1, 1, 60.0))
    provider.get_breaker(server.name).acquire().failure()
    cool(provider.breakers[server.name], clock)
    with no_collector():
        breaker = stalled(library, provider, server)
    gc.collect()
    assert breaker.snapshot().half_open_in_flight == 0
    assert counts(breaker) == {"failures": 1, "ignored": 1}


def test_a_stream_counts_once_however_it_is_read(library: Library, patient: Provider, server: Server) -> None:
    with library.theirs.Client(transport=library.ours.BreakerTransport(patient, settle="body")) as client:
        with client.stream("GET", f"{server.url}/body") as response:
            assert sum(len(part) for part in response.iter_bytes(100)) == 20_000
        with client.stream("GET", f"{server.url}/body") as response:
            assert response.read() == b"0123456789" * 2000
            assert response.read() == b"0123456789" * 2000
        with client.stream("GET", f"{server.url}/body") as response:
            assert len(list(response.iter_lines())) == 1
    assert counts(patient.breakers[server.name]) == {"successes": 3}
