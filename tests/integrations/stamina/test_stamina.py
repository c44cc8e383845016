"""Retries of stamina outside, the breaker inside: what reaches the server, the waits, who gets the rejection."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import stamina
import trio
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.httpx import BreakerTransport
from breaker.integrations.stamina import retry_unless_open, wait_breaker
from support.drive import Boom, Providers, fail, raiser
from support.http.server import Server

SPAN = 0.3  # an open breaker's, in seconds of the real clock, by which stamina sleeps
QUICK: dict[str, Any] = {"wait_initial": 0.001, "wait_max": 0.002, "wait_jitter": 0}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def three(provider_of: Providers) -> Provider:
    return provider_of(Policy(3, 1, SPAN), clock=None)


@pytest.fixture
def client(three: Provider) -> Iterator[httpx.Client]:
    with httpx.Client(transport=BreakerTransport(three, httpx.HTTPTransport(verify=False))) as made:
        yield made


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """How long stamina said that it would wait, before each retry."""
    seen: list[float] = []

    def note(details: RetryDetails) -> None:
        seen.append(details.wait_for)

    before = get_on_retry_hooks()
    set_on_retry_hooks([note])
    yield seen
    set_on_retry_hooks(before)


def getting(client: httpx.Client, url: str) -> Callable[[], httpx.Response]:
    return lambda: client.get(url).raise_for_status()


def test_an_open_breaker_is_asked_once_its_time_is_over(
    client: httpx.Client, server: Server, waits: list[float]
) -> None:
    get = stamina.retry(on=wait_breaker(httpx.HTTPError), attempts=6, **QUICK)(
        getting(client, f"{server.url}/status/503")
    )
    with pytest.raises(BreakerOpenError):
        get()
    # Three failures open it, a rejection waits, a probe fails, a rejection is the last attempt.
    assert len(server.requests) == 4
    assert waits[:3] == [0.001, 0.002, 0.002]
    assert 0.003 < waits[3] <= SPAN


def test_the_bare_library_uses_up_its_attempts(client: httpx.Client, server: Server, waits: list[float]) -> None:
    get = stamina.retry(on=httpx.HTTPError, attempts=6, **QUICK)(getting(client, f"{server.url}/status/503"))
    with pytest.raises(BreakerOpenError):
        get()
    assert len(waits) == 5
    assert max(waits) < 0.003


def test_it_recovers_at_the_first_attempt_after_the_wait(client: httpx.Client, server: Server, three: Provider) -> None:
    breaker = three.get_breaker(server.name)
    fail(breaker, 3)
    stamina.retry(on=wait_breaker(httpx.HTTPError), attempts=2)(getting(client, f"{server.url}/status/200"))()
    assert server.requests == ["GET /status/200"]
    assert breaker.state is State.CLOSED


def test_a_rejection_reaches_the_caller_at_once(
    client: httpx.Client, server: Server, three: Provider, waits: list[float]
) -> None:
    get = stamina.retry(on=retry_unless_open(httpx.HTTPError), attempts=9, **QUICK)(
        getting(client, f"{server.url}/status/503")
    )
    with pytest.raises(httpx.TransportError) as caught:
        get()
    assert isinstance(caught.value, BreakerOpenError)
    assert len(server.requests) == 3
    assert len(waits) == 3


@pytest.mark.parametrize("longest", [0.05, 0])
def test_a_rejection_that_asks_for_too_much_is_not_retried(longest: float, waits: list[float]) -> None:
    with pytest.raises(BreakerOpenError):
        stamina.retry(on=wait_breaker(Boom, longest=longest))(raiser(BreakerOpenError("a", "OPEN", 0.06)))()
    assert waits == []


def test_a_rejection_within_the_limit_is(waits: list[float]) -> None:
    with pytest.raises(BreakerOpenError):
        stamina.retry(on=wait_breaker(Boom, longest=0.05), attempts=2)(raiser(BreakerOpenError("a", "OPEN", 0.05)))()
    assert waits == [0.05]


@pytest.mark.parametrize("make", [wait_breaker, retry_unless_open])
@pytest.mark.parametrize(
    ("on", "boom", "os"),
    [
        (Boom, True, False),
        ((Boom, OSError), True, True),
        (Exception, True, True),
        (lambda error: 0.5 if isinstance(error, Boom) else False, 0.5, False),
        (lambda error: datetime.timedelta(seconds=2), datetime.timedelta(seconds=2), datetime.timedelta(seconds=2)),
    ],
    ids=["type", "types", "every exception", "seconds", "timedelta"],
)
def test_others_are_retried_as_stamina_does(make: Any, on: Any, boom: Any, os: Any) -> None:
    hook = make(on)
    assert hook(Boom()) == boom
    assert hook(OSError()) == os
    rejected = BreakerOpenError("a", "OPEN", 7.0)
    group = ExceptionGroup("both", [rejected, ExceptionGroup("more", [BreakerOpenError("b", "OPEN", 3.0)])])
    for error in (rejected, group):
        assert hook(error) == (7.0 if make is wait_breaker else False)


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_coroutines(run: Any, three: Provider, waits: list[float]) -> None:
    breaker = three.get_breaker("db:orders")
    calls: list[int] = []

    @stamina.retry(on=wait_breaker(Boom), attempts=6, **QUICK)
    @breaker
    async def load(number: int) -> int:
        calls.append(number)
        if len(calls) < 4:
            raise Boom("down")
        return number

    async def main() -> int:
        return await load(7)

    assert run(main()) == 7
    assert calls == [7] * 4
    assert 0.003 < waits[3] <= SPAN


def test_the_context_and_the_caller(three: Provider, waits: list[float]) -> None:
    breaker = three.get_breaker("db:orders")
    for attempt in stamina.retry_context(on=wait_breaker(Boom), attempts=6, **QUICK):
        with attempt, breaker.acquire():
            if attempt.num < 4:
                raise Boom("down")
    assert len(waits) == 4
    fail(breaker, 3)
    caller = stamina.RetryingCaller(attempts=5).on(retry_unless_open(Exception))
    with pytest.raises(BreakerOpenError):
        caller(breaker.do, raiser(Boom()))
    assert len(waits) == 4


# Bad input.


async def later(error: Exception) -> bool:
    return True


@pytest.mark.parametrize("make", [wait_breaker, retry_unless_open])
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (None, "got NoneType"),
        (5, "got int"),
        ((), "got tuple"),
        ((Boom, 5), "got tuple"),
        (int, "got the class int; pass an instance"),
        (later, "got a coroutine function, which would answer later"),
    ],
)
def test_what_is_neither_a_type_nor_a_hook_is_refused(make: Callable[[Any], object], wrong: Any, got: str) -> None:
    with pytest.raises(TypeError, match=f"on= of {make.__name__} must be a type of exceptions, .*{got}"):
        make(wrong)


@pytest.mark.parametrize(("wrong", "kind"), [("5", TypeError), (True, TypeError), (-1, ValueError)])
def test_a_limit_that_is_none_is_refused(wrong: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="longest= of wait_breaker must be"):
        wait_breaker(Boom, longest=wrong)
    with pytest.raises(ValueError, match="0 seconds or more, got nan"):
        wait_breaker(Boom, longest=float("nan"))
