"""A dependency that hangs: who notices, when, and what the patience of its callers has to do with it."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from breaker import BreakerOpenError, Permit, Policy, State, Window
from breaker.testing import ManualClock
from support.drive import Make

SLOW = 2.0  # seconds


def half_slow(minimum: int, **fields: Any) -> Policy:
    """Opens when half the calls are slow."""
    given: dict[str, Any] = {"slow_call_rate_threshold": 0.5, "slow_call_duration": SLOW, "minimum_calls": minimum}
    return Policy(**{"failure_threshold": None, **given, **fields})


@pytest.mark.parametrize("window", [Window(calls=100), Window(time=10)], ids=str)
@pytest.mark.parametrize("gives_up_after", [None, 2.5], ids=["waits", "gives up"])
@pytest.mark.parametrize("minimum", [1, 10, 50])
def test_a_hang_is_noticed_a_fifth_after_the_duration_and_the_minimum(
    make_breaker: Make, clock: ManualClock, window: Window, gives_up_after: float | None, minimum: int
) -> None:
    # S207, S208: 100 calls a second that hang from the beginning, whether their callers wait or give up
    breaker = make_breaker(half_slow(minimum, window=window))
    waiting: list[tuple[float, Permit]] = []
    while breaker.state is State.CLOSED:
        with suppress(BreakerOpenError):
            waiting.append((clock.seconds, breaker.acquire()))
        clock.advance(0.01)
        if gives_up_after is not None and clock.seconds - waiting[0][0] >= gives_up_after:
            waiting.pop(0)[1].ignore()
        assert clock.seconds < 20, "nobody has noticed"
    assert SLOW <= clock.seconds <= 1.2 * SLOW + minimum * 0.01
    assert breaker.snapshot().last_error == "slow call"


@pytest.mark.parametrize("patience", [1.5, 2.0], ids=["before it is slow", "when it is slow"])
def test_a_hang_that_callers_give_up_is_noticed_once_it_is_slow(
    make_breaker: Make, clock: ManualClock, patience: float
) -> None:
    # S208: callers that wait less than the duration are never noticed, and others whose calls have all ended are
    breaker = make_breaker(half_slow(10))
    for _ in range(12):
        with suppress(BreakerOpenError):
            permit = breaker.acquire()
            clock.advance(patience)
            permit.ignore()
    assert breaker.state is (State.OPEN if patience >= SLOW else State.CLOSED)


def test_a_limit_around_do_opens_where_calls_last_the_duration(make_breaker: Make, clock: ManualClock) -> None:
    # S40, S208: `asyncio.timeout` around the call cancels it, which alone is ignored
    breaker = make_breaker(half_slow(10, failure_rate_threshold=0.1, failure_threshold=1))

    async def hang() -> None:
        clock.advance(SLOW)
        await asyncio.sleep(60)

    async def caller() -> None:
        async with asyncio.timeout(0):
            await breaker.do(hang)

    async def outage() -> None:
        for number in range(10):
            assert breaker.state is State.CLOSED, number
            with pytest.raises(TimeoutError):
                await caller()

    asyncio.run(outage())
    snapshot = breaker.snapshot()
    assert (snapshot.state, snapshot.ignored, snapshot.failures) == (State.OPEN, 10, 0)
    assert snapshot.last_error == "slow call"
