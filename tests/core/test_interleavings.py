"""Interleavings, forced: the clock runs the other thread in the middle of a decision."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from support.drive import NAME, Boom, raiser, rejected, succeed, trip
from support.reading import OPENED, counts, transitions
from support.threads import HookClock, eager_switching, in_another_thread


@pytest.fixture
def hooked(provider_of: Callable[..., Provider], events: list[Any]) -> Iterator[tuple[Breaker, HookClock]]:
    clock = HookClock()
    with eager_switching():
        yield provider_of(Policy(1, 1, 60), clock=clock).get_breaker(NAME), clock


def test_a_failure_overtaken_by_another_opens_once(hooked: tuple[Breaker, HookClock], events: list[Any]) -> None:
    # S22, S51
    breaker, clock = hooked
    first, second = breaker.acquire(), breaker.acquire()
    clock.hook = lambda: in_another_thread(second.failure)
    first.failure()
    assert clock.hook is None, "a failure reads the clock"
    assert transitions(events) == [OPENED]
    assert counts(breaker) == {"failures": 1, "late": 1}


def test_a_caller_that_sees_open_and_is_overtaken_by_the_probe_is_rejected(
    hooked: tuple[Breaker, HookClock], events: list[Any]
) -> None:
    # S23
    breaker, clock = hooked
    trip(breaker)
    clock.advance(60)
    probes: list[Any] = []
    clock.hook = lambda: in_another_thread(lambda: probes.append(breaker.acquire()))
    error = rejected(breaker)
    assert (error.state, error.reason) == (State.HALF_OPEN, "half_open")
    assert len(probes) == 1
    assert len(transitions(events)) == 2
    probes[0].success()
    assert breaker.state is State.CLOSED


def test_a_caller_that_sees_open_and_is_overtaken_by_a_reset_runs(hooked: tuple[Breaker, HookClock]) -> None:
    # S20
    breaker, clock = hooked
    trip(breaker)
    clock.hook = lambda: in_another_thread(breaker.reset)
    succeed(breaker)
    assert counts(breaker) == {"failures": 1, "successes": 1}


def test_a_probe_overtaken_by_a_reset_is_late(hooked: tuple[Breaker, HookClock]) -> None:
    # S60
    breaker, clock = hooked
    trip(breaker)
    clock.advance(60)
    probe = breaker.acquire()
    clock.hook = lambda: in_another_thread(breaker.reset)
    probe.failure()
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"failures": 1, "late": 1}


def test_a_lease_that_two_callers_find_ended_is_overdue_once(hooked: tuple[Breaker, HookClock]) -> None:
    # S66
    breaker, clock = hooked
    trip(breaker)
    clock.advance(60)
    hung = breaker.acquire()
    clock.advance(60)
    probes: list[Any] = []
    clock.hook = lambda: in_another_thread(lambda: probes.append(breaker.acquire()))
    rejected(breaker)
    assert counts(breaker)["overdue"] == 1
    assert breaker.snapshot().half_open_in_flight == 1
    hung.ignore()
    probes[0].success()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    "overtaken",
    [lambda breaker: breaker.reset(), lambda breaker: breaker.snapshot(), lambda breaker: breaker.acquire().failure()],
    ids=["reset", "snapshot", "failure"],
)
def test_a_reading_of_the_clock_that_was_overtaken_makes_no_negative_time(
    hooked: tuple[Breaker, HookClock], overtaken: Callable[[Breaker], Any]
) -> None:
    # S71: one thread looks at the clock at 0, another opens at 10 s, and then the first goes on with its 0
    breaker, clock = hooked

    def open_later() -> None:
        clock.advance(10)
        with suppress(Boom, BreakerOpenError):
            breaker.do(raiser(Boom()))

    clock.hook = lambda: in_another_thread(open_later)
    with suppress(BreakerOpenError):
        overtaken(breaker)
    clock.hook = None
    assert 0 <= breaker.retry_after <= 60
    clock.advance(5)
    spent = breaker.snapshot().state_seconds
    assert min(spent.values()) >= 0
    assert sum(spent.values()) == 15
