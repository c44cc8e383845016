"""Gradual recovery: after probes have closed the breaker, a part of the calls is admitted, and it grows."""

from itertools import pairwise
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Mode, Policy, State
from breaker.events import StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Make, Providers, cool, fail, succeed
from support.reading import of_type

RECOVERY = 90.0  # seconds: the part of the calls grows by 1 % in each


def policy(**fields: Any) -> Policy:
    given: dict[str, Any] = {"failure_threshold": 1, "success_threshold": 1, "open_state_timeout": 10, **fields}
    return Policy(**given)


def recovered(breaker: Breaker, clock: ManualClock) -> Breaker:
    """Closed by a probe at this moment."""
    fail(breaker)
    cool(breaker, clock)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    return breaker


def admitted(breaker: Breaker, calls: int) -> list[bool]:
    """Which of so many calls run."""
    ran: list[bool] = []
    for _ in range(calls):
        try:
            breaker.do(int)
            ran.append(True)
        except BreakerOpenError as error:
            ran.append((error.state, error.reason) != (State.CLOSED, "recovering"))
    return ran


@pytest.mark.parametrize(("after", "every"), [(0, 10), (10, 5), (40, 2), (90, 1), (1000, 1)])
def test_the_part_grows_from_a_tenth_to_all(make_breaker: Make, clock: ManualClock, after: float, every: int) -> None:
    # S221: evenly, the first one at once
    breaker = recovered(make_breaker(policy(recovery_time=RECOVERY)), clock)
    admitted(breaker, 1)
    clock.advance(after)
    ran = admitted(breaker, 100)
    assert sum(ran) == 100 // every
    if every > 1:
        gaps = [index for index, was in enumerate(ran) if was]
        assert {later - sooner for sooner, later in pairwise(gaps)} == {every}


def test_a_snapshot_tells_the_part(make_breaker: Make, clock: ManualClock) -> None:
    # S164, S221
    breaker = make_breaker(policy(recovery_time=RECOVERY))
    assert breaker.snapshot().recovery_share is None
    recovered(breaker, clock)
    for after, part in ((0, 0.1), (10, 0.2), (30, 0.5), (49.5, 0.995)):
        clock.advance(after)
        assert breaker.snapshot().recovery_share == pytest.approx(part)
    assert breaker.snapshot().as_dict()["recovery_share"] == pytest.approx(0.995)
    clock.advance(0.5)
    assert breaker.snapshot().recovery_share is None
    clock.advance(1000)
    fail(breaker)
    assert breaker.snapshot().recovery_share is None  # open: none is admitted by it


def test_a_part_ends_with_a_reset(make_breaker: Make, clock: ManualClock) -> None:
    # S164, S221
    breaker = recovered(make_breaker(policy(recovery_time=RECOVERY)), clock)
    breaker.reset()
    assert breaker.snapshot().recovery_share is None


def test_the_first_call_runs_and_the_state_is_closed(make_breaker: Make, clock: ManualClock) -> None:
    # S221
    breaker = recovered(make_breaker(policy(recovery_time=RECOVERY)), clock)
    assert admitted(breaker, 11) == [True, *[False] * 9, True]
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().rejected_by_reason["recovering"] == 9
    assert breaker.snapshot().rejected == 9


def test_retry_after_is_small_and_true(make_breaker: Make, clock: ManualClock) -> None:
    # S222
    breaker = recovered(make_breaker(policy(recovery_time=1.8)), clock)
    assert breaker.retry_after == 0
    admitted(breaker, 1)
    assert breaker.retry_after == 1.0
    with pytest.raises(BreakerOpenError) as rejected:
        breaker.do(int)
    assert rejected.value.retry_after == breaker.retry_after == 1.0
    clock.advance(1.0)
    assert 0 < breaker.retry_after < 1
    clock.advance(breaker.retry_after)
    assert breaker.retry_after == 0
    assert admitted(breaker, 1) == [True]


def test_it_ends(make_breaker: Make, clock: ManualClock) -> None:
    # S221: to the nanosecond
    breaker = recovered(make_breaker(policy(recovery_time=RECOVERY)), clock)
    admitted(breaker, 1)
    clock.advance(RECOVERY - 1e-9)
    assert admitted(breaker, 2) == [False, True]
    clock.advance(1e-9)
    assert all(admitted(breaker, 50))
    assert breaker.retry_after == 0


def test_a_new_breaker_a_reset_and_a_policy_without_it_admit_all(make_breaker: Make, clock: ManualClock) -> None:
    # S221
    breaker = make_breaker(policy(recovery_time=RECOVERY))
    assert all(admitted(breaker, 20))
    fail(breaker)
    breaker.reset()
    assert all(admitted(breaker, 20))
    assert all(admitted(recovered(make_breaker(policy()), clock), 20))


def test_every_trip_rule_is_in_force_and_an_opening_is_a_reopening(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S223: long after the last span
    breaker = recovered(make_breaker(policy(recovery_time=RECOVERY, open_timeout_multiplier=2.0)), clock)
    clock.advance(50)
    while breaker.state is State.CLOSED:
        try:
            breaker.acquire().failure()
        except BreakerOpenError:
            continue
    assert of_type(events, StateChanged)[-1].retry_after == 20
    cool(breaker, clock)
    succeed(breaker)
    clock.advance(RECOVERY)
    fail(breaker)
    assert of_type(events, StateChanged)[-1].retry_after == 10


@pytest.mark.parametrize("mode", [Mode.DISABLED, Mode.SHADOW])
def test_overlays_admit_all(make_breaker: Make, clock: ManualClock, mode: Mode) -> None:
    # S224
    breaker = recovered(make_breaker(policy(recovery_time=RECOVERY)), clock)
    breaker.override(mode)
    assert all(admitted(breaker, 20))
    breaker.clear_override()
    assert not all(admitted(breaker, 20))


def test_another_time_counts_from_the_closing(provider_of: Providers, source: MemorySource, clock: ManualClock) -> None:
    # S224
    breaker = recovered(provider_of(policy(recovery_time=RECOVERY), policy_source=source).get_breaker(NAME), clock)
    clock.advance(50)
    source.put(NAME, {"recoveryTime": "100s"})
    assert sum(admitted(breaker, 100)) == 55
    source.put(NAME, {"recoveryTime": "40s"})
    assert all(admitted(breaker, 10))
    source.put(NAME, {"recoveryTime": None})
    assert all(admitted(breaker, 10))


@pytest.mark.parametrize("calls", [0, 1], ids=["unused since", "used since"])
def test_a_longer_time_does_not_bring_a_recovery_back(
    provider_of: Providers, source: MemorySource, clock: ManualClock, calls: int
) -> None:
    # S224
    breaker = recovered(provider_of(policy(recovery_time=RECOVERY), policy_source=source).get_breaker(NAME), clock)
    clock.advance(RECOVERY)
    assert all(admitted(breaker, calls))
    source.put(NAME, {"recoveryTime": "10m"})
    assert breaker.snapshot().recovery_share is None
    assert all(admitted(breaker, 10))


def test_with_the_systems_clock(provider_of: Providers) -> None:
    # S221
    breaker = provider_of(policy(recovery_time=3600, open_state_timeout=1e-6), clock=None).get_breaker(NAME)
    fail(breaker)
    while breaker.state is not State.CLOSED:
        try:
            breaker.do(int)
        except BreakerOpenError:
            continue
    guarded = breaker(int)
    ran = 0
    for _ in range(200):
        try:
            guarded()
            ran += 1
        except BreakerOpenError:
            continue
    assert 20 <= ran <= 23
