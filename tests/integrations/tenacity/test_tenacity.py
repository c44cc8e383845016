"""Retries of tenacity outside, the breaker inside: what reaches the server, the waits, who gets the rejection."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tenacity

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.tenacity import retry_unless_open, wait_breaker
from breaker.testing import ManualClock
from support.drive import Boom, Providers, fail, raiser
from support.http.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def three(provider_of: Providers) -> Provider:
    """Opens on three failures for a minute, and closes on the first success."""
    return provider_of(Policy(3, 1, 60.0))


def fetch(server: Server, path: str) -> int:
    """One request; a status of 500 or more is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status >= 500:
        raise Boom(status)
    return status


@pytest.fixture
def guarded(three: Provider, server: Server) -> Callable[[str], int]:
    return lambda path: three.get_breaker(server.name).do(fetch, server, path)


class Sleeps:
    """What tenacity sleeps with: the clock moves instead."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(float(seconds))
        self.clock.advance(seconds)

    async def later(self, seconds: float) -> None:
        self(seconds)


@pytest.fixture
def sleeps(clock: ManualClock) -> Sleeps:
    return Sleeps(clock)


# wait_breaker.


def test_an_open_breaker_is_asked_once_its_time_is_over(
    guarded: Callable[[str], int], server: Server, sleeps: Sleeps
) -> None:
    retrying = tenacity.Retrying(
        wait=wait_breaker(tenacity.wait_fixed(0.5)),
        stop=tenacity.stop_after_attempt(8),
        retry_error_callback=lambda state: state.outcome and state.outcome.exception(),
        sleep=sleeps,
    )
    error = retrying(guarded, "/status/503")
    # Three failures open it; a rejection, a probe that fails, and so on: of eight attempts five are sent.
    assert sleeps.slept == [0.5, 0.5, 0.5, 59.5, 0.5, 59.5, 0.5]
    assert len(server.requests) == 5
    assert isinstance(error, BreakerOpenError)


def test_the_bare_library_asks_without_end_and_reaches_no_server(
    guarded: Callable[[str], int], server: Server, three: Provider, sleeps: Sleeps
) -> None:
    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(50), sleep=sleeps)
    with pytest.raises(tenacity.RetryError):
        retrying(guarded, "/status/503")
    assert len(server.requests) == 3
    assert three.breakers[server.name].snapshot().rejected == 47


def test_it_recovers_at_the_first_attempt_after_the_wait(
    guarded: Callable[[str], int], server: Server, three: Provider, sleeps: Sleeps
) -> None:
    breaker = three.get_breaker(server.name)
    fail(breaker, 3)
    retrying = tenacity.Retrying(wait=wait_breaker(), sleep=sleeps)
    assert retrying(guarded, "/status/200") == 200
    assert sleeps.slept == [60.0]
    assert server.requests == ["GET /status/200"]
    assert breaker.state is State.CLOSED


def test_the_decorator_around_a_guarded_function(three: Provider, sleeps: Sleeps) -> None:
    breaker = three.get_breaker("db:orders")
    calls: list[int] = []

    @tenacity.retry(wait=wait_breaker(), stop=tenacity.stop_after_attempt(6), sleep=sleeps, reraise=True)
    @breaker
    def load(number: int) -> int:
        calls.append(number)
        raise Boom("down")

    with pytest.raises(BreakerOpenError):
        load(7)
    assert calls == [7] * 4
    assert sleeps.slept == [0, 0, 0, 60.0, 0]


@pytest.mark.parametrize(
    ("drive", "seconds"),
    [
        (lambda breaker, clock: breaker.force_open(), 60.0),  # an operator's: nobody knows, so the open timeout
        (lambda breaker, clock: (fail(breaker, 3), clock.advance(20)), 40.0),
        (lambda breaker, clock: (fail(breaker, 3), clock.advance(60), breaker.acquire()), 1.0),  # a probe is on its way
    ],
    ids=["operator", "open", "half-open"],
)
def test_every_rejection_says_when(three: Provider, clock: ManualClock, drive: Any, seconds: float) -> None:
    breaker = three.get_breaker("db:orders")
    held = drive(breaker, clock)
    waited: list[float] = []
    retrying = tenacity.Retrying(
        wait=wait_breaker(tenacity.wait_fixed(9)),
        stop=tenacity.stop_after_attempt(2),
        sleep=lambda s: waited.append(float(s)),
    )
    with pytest.raises(tenacity.RetryError):
        retrying(breaker.do, raiser(Boom()))
    assert waited == [pytest.approx(seconds, abs=1e-6)]
    del held


def test_the_time_can_be_limited(three: Provider, sleeps: Sleeps) -> None:
    breaker = three.get_breaker("db:orders")
    breaker.force_open()
    retrying = tenacity.Retrying(wait=wait_breaker(), stop=tenacity.stop_before_delay(10), sleep=sleeps, reraise=True)
    with pytest.raises(BreakerOpenError):
        retrying(breaker.do, raiser(Boom()))
    assert sleeps.slept == []


def test_it_adds_up_with_other_waits(three: Provider, sleeps: Sleeps) -> None:
    breaker = three.get_breaker("db:orders")
    breaker.force_open()
    retrying = tenacity.Retrying(
        wait=wait_breaker() + tenacity.wait_fixed(2), stop=tenacity.stop_after_attempt(2), sleep=sleeps
    )
    with pytest.raises(tenacity.RetryError):
        retrying(breaker.do, raiser(Boom()))
    assert sleeps.slept == [62.0]


def test_a_rejection_that_does_not_know_waits_as_other_failures(sleeps: Sleeps) -> None:
    retrying = tenacity.Retrying(
        wait=wait_breaker(lambda state: state.attempt_number), stop=tenacity.stop_after_attempt(3), sleep=sleeps
    )
    with pytest.raises(tenacity.RetryError):
        retrying(raiser(BreakerOpenError("db:orders", "OPEN", 0.0)))
    assert sleeps.slept == [1.0, 2.0]


def test_a_group_of_rejections_waits_for_the_longest(sleeps: Sleeps) -> None:
    rejections = [BreakerOpenError("a", "OPEN", 2.0), BreakerOpenError("b", "OPEN", 5.0)]
    retrying = tenacity.Retrying(wait=wait_breaker(), stop=tenacity.stop_after_attempt(2), sleep=sleeps)
    with pytest.raises(tenacity.RetryError):
        retrying(raiser(ExceptionGroup("both", rejections)))
    with pytest.raises(tenacity.RetryError):
        retrying(raiser(ExceptionGroup("one", [rejections[0], Boom()])))
    assert sleeps.slept == [5.0, 0]
    with pytest.raises(ExceptionGroup):
        tenacity.Retrying(retry=retry_unless_open(), sleep=sleeps)(raiser(ExceptionGroup("both", rejections)))


# retry_unless_open.


def test_a_rejection_reaches_the_caller_at_once(
    guarded: Callable[[str], int], server: Server, three: Provider, sleeps: Sleeps
) -> None:
    retrying = tenacity.Retrying(
        retry=retry_unless_open(tenacity.retry_if_exception_type((OSError, Boom))),
        wait=tenacity.wait_fixed(1),
        stop=tenacity.stop_after_attempt(9),
        sleep=sleeps,
    )
    with pytest.raises(BreakerOpenError):
        retrying(guarded, "/status/503")
    assert len(server.requests) == 3
    assert sleeps.slept == [1, 1, 1]
    assert three.breakers[server.name].snapshot().rejected == 1


@pytest.mark.parametrize("error", [Boom(), OSError()])
def test_without_an_argument_it_retries_every_exception(error: Exception, sleeps: Sleeps) -> None:
    retrying = tenacity.Retrying(retry=retry_unless_open(), stop=tenacity.stop_after_attempt(3), sleep=sleeps)
    with pytest.raises(tenacity.RetryError):
        retrying(raiser(error))
    assert len(sleeps.slept) == 2


def test_what_the_other_strategy_leaves_is_left(sleeps: Sleeps) -> None:
    only_boom = retry_unless_open(tenacity.retry_if_exception_type(Boom))
    retrying = tenacity.Retrying(retry=only_boom, sleep=sleeps)
    with pytest.raises(OSError, match="mine"):
        retrying(raiser(OSError("mine")))
    assert retrying(lambda: 7) == 7
    assert sleeps.slept == []


@pytest.mark.parametrize("combine", [lambda one, other: one & other, lambda one, other: other & one])
def test_it_goes_together_with_others(combine: Any, sleeps: Sleeps) -> None:
    both = combine(retry_unless_open(tenacity.retry_always), tenacity.retry_if_result(lambda value: value < 3))
    values = iter([1, 2, 3])
    assert tenacity.Retrying(retry=both, sleep=sleeps)(lambda: next(values)) == 3
    with pytest.raises(BreakerOpenError):
        tenacity.Retrying(retry=both, sleep=sleeps)(raiser(BreakerOpenError("a", "OPEN", 1.0)))


# Coroutines.


def test_coroutines(three: Provider, server: Server, sleeps: Sleeps) -> None:
    retrying = tenacity.AsyncRetrying(
        wait=wait_breaker(tenacity.wait_fixed(0.5)),
        stop=tenacity.stop_after_attempt(6),
        sleep=sleeps.later,
        reraise=True,
    )

    breaker = three.get_breaker(server.name)

    @breaker
    async def get(path: str) -> int:
        return await asyncio.to_thread(fetch, server, path)

    async def main() -> None:
        with pytest.raises(BreakerOpenError):
            await retrying(get, "/status/503")
        async for attempt in tenacity.AsyncRetrying(
            retry=retry_unless_open(), sleep=sleeps.later, before_sleep=lambda state: pytest.fail("retried")
        ):
            with attempt, pytest.raises(BreakerOpenError):
                await get("/status/503")

    asyncio.run(main())
    assert sleeps.slept == [0.5, 0.5, 0.5, 59.5, 0.5]
    assert len(server.requests) == 4


def test_a_coroutine_function_decides_beside_it(sleeps: Sleeps) -> None:
    async def below_three(state: tenacity.RetryCallState) -> bool:
        return state.outcome is not None and not state.outcome.failed and state.outcome.result() < 3

    both = retry_unless_open(tenacity.retry_always) & tenacity.asyncio.retry_any(below_three)  # type: ignore[arg-type]
    values = iter([1, 2, 3])

    async def load() -> int:
        return next(values)

    retrying = tenacity.AsyncRetrying(retry=both, sleep=sleeps.later)
    assert asyncio.run(retrying(load)) == 3


# Bad input.


async def later(state: object) -> bool:
    return True


class AsyncObject:
    async def __call__(self, state: object) -> bool:
        return True


@pytest.mark.parametrize("make", [wait_breaker, retry_unless_open])
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (5, "got int"),
        ("5", "got str"),
        (tenacity.wait_none, "got the class wait_none; pass an instance"),
        (later, "got a coroutine function, which would answer later"),
        (AsyncObject(), "got a coroutine function, which would answer later"),
    ],
)
def test_what_is_no_strategy_is_refused(make: Callable[[Any], object], wrong: Any, got: str) -> None:
    argument = "fallback" if make is wait_breaker else "retry"
    with pytest.raises(TypeError, match=f"{argument}= of {make.__name__} must be a strategy .*{got}"):
        make(wrong)
