"""Calls in flight that are slow already: who notices, and who is forgotten."""

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Mode, Provider, State, Window
from breaker.events import StateChanged, WouldHaveOpened
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Make, Providers, fail, rejected, succeed
from support.reading import of_type
from support.slow import SLOW, seen, slow_rule


def test_calls_that_hang_open_within_an_eighth_of_the_duration(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S207
    breaker = make_breaker(slow_rule(0.5, 10))
    hanging = [breaker.acquire() for _ in range(10)]
    while breaker.state is State.CLOSED:
        clock.advance(0.05)
        with suppress(BreakerOpenError):
            breaker.acquire().ignore()
    assert SLOW <= clock.seconds <= SLOW * 1.125 + 0.05
    (opened,) = of_type(events, StateChanged)
    assert (opened.reason, opened.slow_call_rate, opened.window_calls) == ("slow_call_rate", 1.0, 10)
    for permit in hanging:
        permit.success()
    assert breaker.snapshot().late == 10


def test_a_call_in_flight_counts_by_its_end_once_it_has_ended(make_breaker: Make, clock: ManualClock) -> None:
    # S207
    breaker = make_breaker(slow_rule(0.9, 10))
    permits = [breaker.acquire() for _ in range(3)]
    clock.advance(2.3)
    succeed(breaker, 2)
    assert seen(breaker) == (2, 0, 0, 3)
    permits[0].success()
    permits[1].ignore()
    permits[2].failure()
    assert seen(breaker) == (5, 1, 3, 0)


def test_reading_does_not_look_in_place_of_a_call(make_breaker: Make, clock: ManualClock) -> None:
    # S207, S219
    breaker = make_breaker(slow_rule(0.5, 3))
    held = [breaker.acquire() for _ in range(3)]
    clock.advance(2.5)
    assert (seen(breaker), breaker.state) == ((0, 0, 0, 3), State.CLOSED)
    assert breaker.snapshot().slow_call_rate == 1.0
    rejected(breaker)
    assert breaker.state is State.OPEN
    del held


def test_the_failure_rate_does_not_know_calls_in_flight(make_breaker: Make, clock: ManualClock) -> None:
    # S207
    breaker = make_breaker(slow_rule(1.0, 4, failure_rate_threshold=1.0))
    held = [breaker.acquire() for _ in range(3)]
    clock.advance(5)
    fail(breaker, 3)
    assert breaker.snapshot().failure_rate is None
    fail(breaker)
    assert breaker.state is State.OPEN
    del held


def test_who_waits_under_an_overlay_is_not_judged(make_breaker: Make, clock: ManualClock) -> None:
    # S203, S207
    breaker = make_breaker(slow_rule(0.5, 2, mode=Mode.DISABLED))
    held = [breaker.acquire() for _ in range(5)]
    clock.advance(9)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    for permit in held:
        permit.ignore()
    assert seen(breaker) == (0, 0, 0, 0)


def test_shadow_tells_of_calls_that_hang(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S216
    breaker = make_breaker(slow_rule(0.5, 2, mode=Mode.SHADOW))
    held = [breaker.acquire() for _ in range(5)]
    clock.advance(3)
    succeed(breaker, 2)
    (told,) = of_type(events, WouldHaveOpened)
    assert (told.reason, told.slow_call_rate, told.window_calls) == ("slow_call_rate", 1.0, 5)
    del held


def test_who_hangs_behind_a_time_limit_is_noticed(provider_of: Providers) -> None:
    # S207, S208: callers that give up are ignored, and their calls are slow all the same
    policy = slow_rule(0.5, 20, slow_call_duration=0.3, window=Window(calls=100))
    breaker = provider_of(policy, clock=None).get_breaker(NAME)

    async def outage() -> None:
        async def hang() -> None:
            await asyncio.sleep(60)

        async def caller() -> None:
            with suppress(TimeoutError, BreakerOpenError):
                await asyncio.wait_for(breaker.do(hang), 0.5)

        callers: list[asyncio.Task[None]] = []
        while breaker.state is State.CLOSED and len(callers) < 1000:
            callers.append(asyncio.create_task(caller()))
            await asyncio.sleep(0.005)
        await asyncio.gather(*callers)

    asyncio.run(outage())
    assert breaker.state is State.OPEN


def test_nobody_is_missing_in_flight_with_threads(provider_of: Providers) -> None:
    # S207: plain calls, permits and failures of four threads, each of which takes itself off again
    policy = slow_rule(1.0, 10**6, slow_call_duration=0.3, window=Window(calls=10**6))
    breaker = provider_of(policy, clock=None).get_breaker(NAME)

    def work() -> None:
        for turn in range(3000):
            if turn % 3 == 0:
                breaker.do(int)
            elif turn % 3 == 1:
                breaker.acquire().success()
            else:
                breaker.acquire().failure()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.4)
    succeed(breaker)
    assert (breaker.snapshot().slow_calls_in_flight, breaker.snapshot().window_calls) == (0, 12001)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_forgets_who_is_in_flight(provider_of: Providers, clock: ManualClock) -> None:
    # S220
    breaker = provider_of(slow_rule(0.5, 2)).get_breaker(NAME)
    held = [breaker.acquire() for _ in range(5)]
    clock.advance(3)
    child = os.fork()
    if child == 0:
        breaker.do(int)
        os._exit(0 if breaker.state is State.CLOSED and seen(breaker)[3] == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert seen(breaker)[3] == 5, "the parent's go on"
    del held


def test_a_call_that_outlives_the_rule_is_not_counted_in_flight_for_ever(
    followed: tuple[Provider, Breaker], source: MemorySource, clock: ManualClock
) -> None:
    # S214: it ends without the rule, and takes the way of a call that was never measured
    breaker = followed[1]
    call = breaker.acquire()
    source.put(NAME, {"slowCallRateThreshold": None, "slowCallDuration": None, "failureRateThreshold": 1.0})
    call.success()
    source.put(NAME, {"slowCallRateThreshold": 1.0, "slowCallDuration": "2s"})
    clock.advance(10)
    succeed(breaker)
    assert seen(breaker)[3] == 0
