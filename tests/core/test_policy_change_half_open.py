"""A policy replaced while the breaker probes: thresholds, slots and leases."""

from typing import Any

import pytest

from breaker import Breaker, Permit, State
from breaker.events import PolicyUpdated, StateChanged
from breaker.testing import ManualClock
from support.drive import Put, drive_to, fail, rejected, succeed
from support.reading import counts, transitions


def test_a_success_threshold_met_already_closes_at_once(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any]
) -> None:
    # S113
    put(successThreshold=3)
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker, 2)
    put(successThreshold=1)
    assert breaker.state is State.CLOSED
    assert transitions(events)[-1] == (State.HALF_OPEN, State.CLOSED, "policy")
    assert [type(event) for event in events[-2:]] == [PolicyUpdated, StateChanged]
    succeed(breaker)


def half_open_with_one_in_flight(breaker: Breaker, put: Put, clock: ManualClock) -> Permit:
    """One success seen, one probe in flight, and a new success_threshold that the one success meets."""
    put(successThreshold=3)
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)
    probe = breaker.acquire()
    put(successThreshold=1)
    assert breaker.state is State.HALF_OPEN
    error = rejected(breaker)
    assert (error.reason, error.retry_after) == ("half_open", 1)
    return probe


@pytest.mark.parametrize(("verdict", "reason"), [("success", "recovered"), ("ignore", "policy")])
def test_a_success_threshold_met_already_closes_when_the_last_probe_ends(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any], verdict: str, reason: str
) -> None:
    # S113
    probe = half_open_with_one_in_flight(breaker, put, clock)
    getattr(probe, verdict)()
    assert transitions(events)[-1] == (State.HALF_OPEN, State.CLOSED, reason)


def test_a_success_threshold_met_already_closes_when_the_last_probe_is_overdue(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any]
) -> None:
    # S113: the call that finds it overdue runs as a closed call
    probe = half_open_with_one_in_flight(breaker, put, clock)
    clock.advance(60)
    assert breaker.state is State.HALF_OPEN
    fail(breaker)
    assert transitions(events)[-1] == (State.HALF_OPEN, State.CLOSED, "policy")
    assert breaker.snapshot().consecutive_failures == 1
    probe.failure()
    assert (counts(breaker)["overdue"], counts(breaker)["late"]) == (1, 1)


def test_a_success_threshold_met_already_does_not_save_from_a_failed_probe(
    breaker: Breaker, put: Put, clock: ManualClock
) -> None:
    # S113
    half_open_with_one_in_flight(breaker, put, clock).failure()
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 60)


def test_a_success_threshold_raised_keeps_the_successes_seen(breaker: Breaker, put: Put, clock: ManualClock) -> None:
    # S113
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)
    put(successThreshold=4)
    succeed(breaker, 2)
    assert (breaker.state, breaker.snapshot().half_open_successes) == (State.HALF_OPEN, 3)
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_a_success_threshold_lowered_under_an_overlay_waits_for_the_first_call(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any]
) -> None:
    # S114
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)
    breaker.force_open()
    put(successThreshold=1)
    assert breaker.state is State.HALF_OPEN
    breaker.clear_override()
    assert (breaker.state, breaker.retry_after) == (State.HALF_OPEN, 0)
    fail(breaker)
    assert transitions(events)[-1] == (State.HALF_OPEN, State.CLOSED, "policy")
    assert (breaker.state, breaker.snapshot().consecutive_failures) == (State.CLOSED, 1)


def test_more_and_fewer_slots_from_the_next_admission_on(breaker: Breaker, put: Put, clock: ManualClock) -> None:
    # S115
    put(successThreshold=9)
    drive_to(breaker, clock, State.HALF_OPEN)
    probes = [breaker.acquire()]
    rejected(breaker)
    put(successThreshold=9, halfOpenMaxCalls=3)
    probes += [breaker.acquire(), breaker.acquire()]
    rejected(breaker)
    put(successThreshold=9, halfOpenMaxCalls=1)
    assert breaker.snapshot().half_open_in_flight == 3
    probes.pop().success()
    rejected(breaker)
    probes.pop().success()
    rejected(breaker)
    probes.pop().success()
    succeed(breaker)
    assert breaker.snapshot().half_open_successes == 4


def test_a_lease_keeps_the_length_of_its_admission(breaker: Breaker, put: Put, clock: ManualClock) -> None:
    # S115
    put(probeTimeout="10s")
    drive_to(breaker, clock, State.HALF_OPEN)
    first = breaker.acquire()
    put(probeTimeout="30s", openStateTimeout="1s")
    clock.advance(9.5)
    assert breaker.retry_after == rejected(breaker).retry_after == 0.5
    clock.advance(0.5)
    second = breaker.acquire()
    assert counts(breaker)["overdue"] == 1
    clock.advance(59.5)  # twice 30 s: a probe was overdue
    assert breaker.retry_after == rejected(breaker).retry_after == 0.5
    del first, second
