"""Slow calls: what is slow, and what a probe that is slow means. Those in flight: test_calls_in_flight.py."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Provider, State, Window
from breaker.events import StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, HangUp, Make, Providers, cool, fail, rejected, succeed
from support.reading import of_type
from support.slow import SLOW, seen, slow_rule


@pytest.fixture
def lasting(clock: ManualClock) -> Callable[..., Callable[[], str]]:
    """A function that lasts some seconds and then returns, or raises."""

    def make(seconds: float, error: BaseException | None = None) -> Callable[[], str]:
        def fn() -> str:
            clock.advance(seconds)
            if error is not None:
                raise error
            return "value"

        return fn

    return make


Lasting = Callable[..., Callable[[], str]]


# -- calls that have ended --


def test_a_call_is_slow_from_the_duration_on(make_breaker: Make, lasting: Lasting) -> None:
    # S206: to the nanosecond
    breaker = make_breaker(slow_rule(1.0))
    breaker.do(lasting(SLOW - 1e-9))
    assert seen(breaker) == (1, 0, 0, 0)
    breaker.do(lasting(SLOW))
    assert seen(breaker) == (2, 0, 1, 0)


def test_slow_successes_open_and_their_value_is_returned(
    make_breaker: Make, lasting: Lasting, events: list[Any]
) -> None:
    # S205, S209, S219
    breaker = make_breaker(slow_rule())
    succeed(breaker, 2)
    breaker.do(lasting(SLOW))
    assert breaker.state is State.CLOSED
    assert breaker.do(lasting(SLOW)) == "value"
    (opened,) = of_type(events, StateChanged)
    assert (opened.to_state, opened.reason, opened.slow_call_rate) == (State.OPEN, "slow_call_rate", 0.5)
    assert (opened.failure_rate, opened.window_calls, opened.last_error) == (None, 4, "slow call")
    assert rejected(breaker).last_error == "slow call"
    assert breaker.snapshot().successes == 4


def test_a_slow_failure_is_both_and_keeps_its_own_error(make_breaker: Make, lasting: Lasting) -> None:
    # S206, S209
    breaker = make_breaker(slow_rule(1.0, 2))
    for _ in range(2):
        with pytest.raises(Boom, match="down"):
            breaker.do(lasting(SLOW, Boom("down")))
    assert breaker.state is State.OPEN
    assert breaker.snapshot().last_error == "Boom: down"


def test_a_slow_success_ends_the_streak(make_breaker: Make, lasting: Lasting) -> None:
    # S206
    breaker = make_breaker(slow_rule(1.0, failure_threshold=3))
    fail(breaker, 2)
    breaker.do(lasting(SLOW))
    assert breaker.snapshot().consecutive_failures == 0


def test_a_cancelled_slow_call_is_slow_and_no_failure(make_breaker: Make, lasting: Lasting, events: list[Any]) -> None:
    # S208
    breaker = make_breaker(slow_rule(1.0, 3, failure_threshold=5))
    fail(breaker)
    for _ in range(2):
        with pytest.raises(HangUp):
            breaker.do(lasting(SLOW, HangUp()))
    assert seen(breaker) == (3, 1, 2, 0)
    assert breaker.snapshot().consecutive_failures == 1, "neither counted nor cleared"
    with pytest.raises(HangUp):
        breaker.do(lasting(SLOW - 1, HangUp()))
    assert seen(breaker) == (3, 1, 2, 0)


def test_cancelled_slow_calls_open(make_breaker: Make, lasting: Lasting, events: list[Any]) -> None:
    # S208
    breaker = make_breaker(slow_rule(0.5, 2))
    for _ in range(2):
        with pytest.raises(HangUp):
            breaker.do(lasting(SLOW, HangUp()))
    assert (breaker.state, breaker.snapshot().last_error) == (State.OPEN, "slow call")
    assert breaker.snapshot().ignored == 2


@pytest.mark.parametrize("error", [None, HangUp(), Boom("down")], ids=["success", "ignored", "failure"])
def test_a_slow_probe_fails_its_visit(
    make_breaker: Make, clock: ManualClock, lasting: Lasting, error: BaseException | None, events: list[Any]
) -> None:
    # S210
    breaker = make_breaker(slow_rule(1.0, failure_threshold=1, probe_timeout=60))
    fail(breaker)
    cool(breaker, clock)
    before = breaker.snapshot()
    with suppress(HangUp, Boom):
        breaker.do(lasting(SLOW, error))
    assert breaker.state is State.OPEN
    last = of_type(events, StateChanged)[-1]
    expected = "Boom: down" if isinstance(error, Boom) else "slow call"
    assert (last.reason, last.last_error, last.consecutive_failures) == ("probe_failed", expected, 1)
    end = {type(None): "success", HangUp: "ignored", Boom: "failure"}[type(error)]
    assert breaker.snapshot().probes[end] == before.probes[end] + 1


def test_a_quick_probe_closes(make_breaker: Make, clock: ManualClock, lasting: Lasting) -> None:
    # S210
    breaker = make_breaker(slow_rule(1.0, failure_threshold=1))
    fail(breaker)
    cool(breaker, clock)
    breaker.do(lasting(SLOW - 0.001))
    assert breaker.state is State.CLOSED


# -- forms of calls --


def test_coroutines_are_measured(make_breaker: Make, clock: ManualClock) -> None:
    # S206
    breaker = make_breaker(slow_rule(1.0))

    async def fetch() -> None:
        clock.advance(SLOW)
        await asyncio.sleep(0)

    async def program() -> None:
        await breaker.do(fetch)
        async with breaker.acquire():
            clock.advance(SLOW)

    asyncio.run(program())
    assert seen(breaker) == (2, 0, 2, 0)


def test_generators_are_not_measured(make_breaker: Make, clock: ManualClock) -> None:
    # S206: however they begin, their consumer decides how long they take
    breaker = make_breaker(slow_rule(1.0))

    def numbers() -> Iterator[int]:
        yield 1
        clock.advance(SLOW)

    async def numbers_later() -> AsyncIterator[int]:
        yield 1
        clock.advance(SLOW)

    for _ in breaker.do(numbers):
        clock.advance(SLOW)
    for _ in breaker.do(lambda: numbers()):
        clock.advance(SLOW)

    async def program() -> None:
        async for _ in breaker.do(numbers_later):
            clock.advance(SLOW)
        async for _ in breaker.do(lambda: numbers_later()):
            clock.advance(SLOW)

    asyncio.run(program())
    assert seen(breaker) == (4, 0, 0, 0)
    held = breaker.do(numbers)
    next(held)
    clock.advance(9)
    succeed(breaker)
    assert seen(breaker) == (5, 0, 0, 0)
    del held


# -- the system's clock --


@pytest.mark.parametrize("duration", [0.02, 0.4], ids=["precise", "coarse"])
def test_the_systems_clock_measures_too(provider_of: Providers, duration: float) -> None:
    # S206, S207: a busy machine makes calls slow that would not be, so how long they took is looked at here too
    policy = slow_rule(0.5, 53, slow_call_duration=duration, window=Window(time=5))
    breaker = provider_of(policy, clock=None).get_breaker(NAME)
    tick = 0.01
    surely, perhaps = [], []

    def call(seconds: float) -> None:
        inside: list[float] = []

        def work() -> None:
            inside.append(time.monotonic())
            time.sleep(seconds)
            inside.append(time.monotonic())

        began = time.monotonic()
        breaker.do(work)
        ended = time.monotonic()
        surely.append(inside[1] - inside[0] >= duration + tick)
        perhaps.append(ended - began >= duration - tick)

    for _ in range(50):
        call(0)
    call(duration + 0.03)
    call(duration / 4)
    breaker.acquire().success()
    calls, failures, slow, late = seen(breaker)
    assert (calls, failures, late) == (53, 0, 0)
    assert 1 <= sum(surely) <= slow <= sum(perhaps) + 1  # the permit
    breaker.reset()
    started = time.monotonic()
    held = [breaker.acquire() for _ in range(60)]
    while breaker.state is State.CLOSED:
        time.sleep(duration / 40)
        with suppress(BreakerOpenError):
            breaker.do(int)
        assert time.monotonic() - started < 20, "nobody has noticed"
    assert time.monotonic() - started >= duration - tick
    for permit in held:
        permit.success()
    assert breaker.snapshot().late == 60


# -- another policy --


def test_another_duration_is_for_the_end_of_calls_in_flight(
    followed: tuple[Provider, Breaker], source: MemorySource, clock: ManualClock
) -> None:
    # S214
    breaker = followed[1]
    calls = [breaker.acquire() for _ in range(2)]
    clock.advance(1)
    source.put(NAME, {"slowCallDuration": "1s"})
    calls[0].success()
    assert seen(breaker) == (1, 0, 1, 0)
    clock.advance(5)
    succeed(breaker)
    assert seen(breaker)[3] == 0, "it is followed no more"
    source.put(NAME, {"slowCallDuration": "7s"})
    calls[1].success()
    assert seen(breaker) == (3, 0, 1, 0)


def test_calls_of_before_the_rule_are_not_slow(
    followed: tuple[Provider, Breaker], source: MemorySource, lasting: Lasting
) -> None:
    # S214
    breaker = followed[1]
    source.put(NAME, {"slowCallRateThreshold": None, "slowCallDuration": None, "failureRateThreshold": 1.0})
    breaker.do(lasting(SLOW))
    before = breaker.acquire()
    source.delete(NAME)
    before.success()
    assert seen(breaker) == (2, 0, 0, 0)


def test_a_permit_of_a_stream_is_never_slow(make_breaker: Make, clock: ManualClock) -> None:
    # S206: what integrations say of a stream
    breaker = make_breaker(slow_rule(1.0, 1))
    with breaker.acquire()._unmeasured():
        clock.advance(SLOW * 3)
        succeed(breaker)
    assert seen(breaker) == (2, 0, 0, 0)
