"""What `breaker.testing` gives to the tests of other programs."""

import os
import threading
from typing import Any

import pytest

from breaker import Policy, Provider, State, Window, get_default_config
from breaker.events import BreakerCreated, StateChanged
from breaker.testing import ManualClock, recorded, recover, trip
from support.drive import Providers
from support.processes import fork_and_check


def test_a_manual_clock_moves_when_advanced_and_never_back() -> None:
    clock = ManualClock(start=5.0)
    assert (clock(), clock.seconds) == (5_000_000_000, 5.0)
    for _ in range(10):
        clock.advance(0.1)
    assert clock() == 6_000_000_000
    clock.advance(0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    assert clock.seconds == 6.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_moves_a_clock_that_another_thread_was_moving() -> None:
    clock = ManualClock()
    stopped = threading.Event()

    def move() -> None:
        while not stopped.is_set():
            clock.advance(0)

    threads = [threading.Thread(target=move) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            fork_and_check(lambda: clock.advance(1))
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_trip_recover_and_recorded_drive_a_breaker_through_its_states() -> None:
    clock = ManualClock()
    provider = Provider(get_default_config("svc", "dev"), default_policy=Policy(3, 2, 60), clock=clock)
    with recorded(provider) as events:
        b = provider.get_breaker("http:payment-api")
        trip(b, ConnectionError("refused"))
        assert b.state is State.OPEN
        recover(b, clock)
        assert b.state is State.CLOSED
    b.reset()
    trip(b)
    moves = [(event.from_state, event.to_state) for event in events if isinstance(event, StateChanged)]
    assert moves == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]
    assert isinstance(events[0], BreakerCreated)
    opened = next(event for event in events if isinstance(event, StateChanged))
    assert opened.last_error == "ConnectionError: refused"


def test_recover_by_another_clock_says_so() -> None:
    provider = Provider(get_default_config("svc", "dev"), default_policy=Policy(1, 1, 60))
    breaker = provider.get_breaker("http:payment-api")
    trip(breaker)
    with pytest.raises(ValueError, match=r"has another clock than the one that was advanced by 5\d\.\d+ s"):
        recover(breaker, ManualClock())
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(
    "policy",
    [
        Policy(3),
        Policy(None, failure_rate_threshold=0.5),
        Policy(None, failure_rate_threshold=1.0),
        Policy(None, failure_rate_threshold=1.0, window=Window(time=60)),
        Policy(None, failure_rate_threshold=0.07, minimum_calls=100),
        Policy(None, failure_rate_threshold=0.9, window=Window(time=1), minimum_calls=1),
        Policy(50, failure_rate_threshold=0.5, window=Window(calls=10)),
        Policy(None, slow_call_rate_threshold=0.5, slow_call_duration=2),
        Policy(None, slow_call_rate_threshold=1.0, slow_call_duration=2, window=Window(time=10)),
        Policy(4, slow_call_rate_threshold=1.0, slow_call_duration=2),
    ],
    ids=repr,
)
@pytest.mark.parametrize("successes", [0, 1, 35])
def test_trip_opens_by_any_policy(provider_of: Providers, clock: ManualClock, policy: Policy, successes: int) -> None:
    # S13, S205
    breaker = provider_of(policy).get_breaker("x")
    for _ in range(successes):
        breaker.do(int)
    trip(breaker, ConnectionError("refused"), clock=clock)
    assert (breaker.state, breaker.snapshot().last_error) == (State.OPEN, "ConnectionError: refused")
    recover(breaker, clock)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    "policy",
    [
        Policy(None, slow_call_rate_threshold=0.5, slow_call_duration=2),
        Policy(None, failure_rate_threshold=1.0, window=Window(time=60)),
    ],
    ids=repr,
)
def test_trip_says_where_it_needs_the_clock(provider_of: Providers, policy: Policy) -> None:
    # S205
    breaker = provider_of(policy).get_breaker("x")
    breaker.do(int)
    with pytest.raises(ValueError, match=r"failures alone do not open breaker 'x' .* pass clock="):
        trip(breaker)
    assert breaker.state is State.CLOSED


SLOW: dict[str, Any] = {"failure_threshold": None, "slow_call_rate_threshold": 0.5, "slow_call_duration": 2}


@pytest.mark.parametrize(
    "rules",
    [
        {"failure_threshold": 3},
        {"failure_threshold": None, "failure_rate_threshold": 0.5},
        SLOW,
        {**SLOW, "window": Window(time=1)},
        {**SLOW, "failure_rate_threshold": 1.0},
    ],
    ids=["streak", "failure rate", "slow", "slow in a short time", "both rates"],
)
@pytest.mark.parametrize("recovery_time", [1, 60])
def test_trip_opens_a_breaker_that_recovers(
    provider_of: Providers, clock: ManualClock, rules: dict[str, Any], recovery_time: float
) -> None:
    # S221
    breaker = provider_of(Policy(**rules, recovery_time=recovery_time)).get_breaker("x")
    for _ in range(3):
        trip(breaker, clock=clock)
        assert breaker.state is State.OPEN
        recover(breaker, clock)
        assert breaker.state is State.CLOSED
    assert breaker.snapshot().openings == 3


def test_trip_of_a_breaker_whose_calls_hang_is_content_with_that(provider_of: Providers, clock: ManualClock) -> None:
    # S207: they open it when the first of its own calls asks
    breaker = provider_of(Policy(**SLOW, failure_rate_threshold=0.5)).get_breaker("x")
    held = [breaker.acquire() for _ in range(10)]
    clock.advance(5)
    trip(breaker, ConnectionError("refused"))
    assert (breaker.state, breaker.snapshot().last_error) == (State.OPEN, "slow call")
    del held


def test_a_breaker_that_recovers_fails_no_more_often_than_it_has_to(provider_of: Providers, clock: ManualClock) -> None:
    # S221: calls that it rejects meanwhile are no failures
    breaker = provider_of(Policy(3, 1, 5, recovery_time=60)).get_breaker("x")
    trip(breaker)
    recover(breaker, clock)
    trip(breaker)
    assert breaker.state is State.OPEN
    assert breaker.snapshot().failures == 6
