"""The clock: injected, monotonic, read at most once per decision; and what happens when it is interrupted."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from breaker import Breaker, Policy, Provider, State
from support.drive import NAME, Boom, HangUp, cool, drive_to, fail, raiser, rejected, succeed, trip
from support.reading import counts
from support.threads import HookClock

Build = Callable[..., tuple[Breaker, HookClock]]


@pytest.fixture
def build(provider_of: Callable[..., Provider]) -> Build:
    """``build(policy)``: a breaker and its clock, which counts its readings."""

    def make(policy: Policy, start: int = 0) -> tuple[Breaker, HookClock]:
        clock = HookClock(start)
        return provider_of(policy, clock=clock).get_breaker(NAME), clock

    return make


# (state to start from, what is done, decisions in it): each may look at the clock once, no more.
DECISIONS: list[tuple[State, Callable[[Breaker], Any], int]] = [
    (State.CLOSED, succeed, 2),
    (State.CLOSED, fail, 2),
    (State.CLOSED, lambda breaker: breaker.acquire().ignore(), 2),
    (State.OPEN, rejected, 1),
    (State.HALF_OPEN, succeed, 2),
    (State.HALF_OPEN, fail, 2),
    (State.HALF_OPEN, lambda breaker: breaker.snapshot(), 1),
    (State.OPEN, lambda breaker: breaker.retry_after, 1),
    (State.OPEN, lambda breaker: breaker.reset(), 1),
    (State.OPEN, lambda breaker: breaker.state, 0),
    (State.OPEN, lambda breaker: (breaker.name, breaker.mode, breaker.policy), 0),
]


@pytest.mark.parametrize(("state", "act", "decisions"), DECISIONS)
def test_the_clock_is_read_at_most_once_per_decision(
    build: Build, state: State, act: Callable[[Breaker], Any], decisions: int
) -> None:
    # S70
    breaker, clock = build(Policy(3, 2, 60))
    drive_to(breaker, clock, state)
    before = clock.readings
    act(breaker)
    assert clock.readings - before <= decisions


def test_a_success_of_a_healthy_closed_breaker_does_not_look_at_the_clock(build: Build) -> None:
    # S70
    breaker, clock = build(Policy())
    before = clock.readings
    succeed(breaker, 100)
    assert clock.readings == before


def test_one_reading_decides_the_whole_admission(build: Build) -> None:
    # S70: a clock that runs between two readings would find the timeout over in one and not in the other
    breaker, clock = build(Policy(1, 1, 60))
    trip(breaker)
    clock.advance(59.5)
    clock.hook = lambda: clock.advance(1)
    assert rejected(breaker).retry_after == 0.5
    clock.hook = lambda: clock.advance(1)
    succeed(breaker)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit()])
def test_an_interrupt_in_the_clock_at_admission_takes_no_slot(build: Build, interrupt: BaseException) -> None:
    breaker, clock = build(Policy(1, 1, 60))
    trip(breaker)
    cool(breaker, clock)
    clock.hook = raiser(interrupt)
    with pytest.raises(type(interrupt)):
        breaker.do(int)
    assert breaker.snapshot().half_open_in_flight == 0
    succeed(breaker)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("ends", [int, raiser(Boom()), raiser(HangUp())])
def test_an_interrupt_in_the_clock_at_the_end_keeps_no_slot(build: Build, ends: Callable[[], Any]) -> None:
    # S48: Ctrl-C reaches the caller, and no probe is left hanging until its lease ends
    breaker, clock = build(Policy(1, 2, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    before = sum(counts(breaker).values())

    def call() -> Any:
        clock.hook = raiser(KeyboardInterrupt())
        return ends()

    with suppress(KeyboardInterrupt, HangUp, Boom):
        breaker.do(call)
    clock.hook = None  # an ignored end need not look at the clock
    assert breaker.snapshot().half_open_in_flight == 0
    assert sum(counts(breaker).values()) == before + 1


def test_without_a_clock_time_passes_by_itself(provider_of: Callable[..., Provider]) -> None:
    # S70
    breaker = provider_of(Policy(1, 1, 0.05), clock=None).get_breaker(NAME)
    begun = time.monotonic()
    trip(breaker)
    rejected(breaker)
    while breaker.retry_after:
        assert time.monotonic() - begun < 20
    succeed(breaker)
    assert time.monotonic() - begun >= 0.05
    assert breaker.snapshot().state_seconds[State.OPEN] >= 0.05


def test_a_clock_that_does_not_start_at_nothing(build: Build) -> None:
    # S70: a monotonic clock may show any time, before its own zero too
    for start in (-(10**18), -1, 2**62):
        breaker, clock = build(Policy(1, 1, 60), start)
        trip(breaker)
        clock.advance(59.5)
        assert rejected(breaker).retry_after == 0.5
        clock.advance(0.5)
        succeed(breaker)
        assert breaker.state is State.CLOSED
