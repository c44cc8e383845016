"""The OPEN state: who is rejected, until when, and what cannot move the deadline."""

from datetime import timedelta
from typing import Any

import pytest

from breaker import Policy, PolicyError, State
from breaker.testing import ManualClock
from support.drive import Make, cool, drive_to, fail, ignored, recovers_after, rejected, succeed, trip
from support.reading import OPENED, PROBING, counts, transitions


def test_rejected_one_millisecond_before_and_admitted_at_the_deadline(make_breaker: Make, clock: ManualClock) -> None:
    # S21
    breaker = make_breaker(Policy(5, 2, 60))
    trip(breaker)
    clock.advance(59.999)
    assert rejected(breaker).retry_after == pytest.approx(0.001)
    assert breaker.state is State.OPEN
    clock.advance(0.001)
    assert breaker.state is State.OPEN
    succeed(breaker)
    assert breaker.state is State.HALF_OPEN


def test_the_deadline_is_exact_to_the_nanosecond(make_breaker: Make, clock: ManualClock) -> None:
    # S21
    breaker = make_breaker(Policy(1, 1, 0.25))
    trip(breaker)
    clock.advance(0.249_999_999)
    assert rejected(breaker).retry_after == pytest.approx(1e-9)
    clock.advance(0.000_000_001)
    breaker.acquire()


def test_an_open_timeout_of_hours(make_breaker: Make, clock: ManualClock) -> None:
    # S21
    breaker = make_breaker(Policy(1, 1, timedelta(hours=2)))
    trip(breaker)
    clock.advance(3600)
    rejected(breaker)
    clock.advance(3601)
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_the_deadline_counts_from_the_opening_not_from_the_start(make_breaker: Make, clock: ManualClock) -> None:
    # S21
    breaker = make_breaker(Policy(2, 1, 60))
    clock.advance(1000)
    fail(breaker)
    clock.advance(10)
    fail(breaker)
    clock.advance(59)
    assert rejected(breaker).retry_after == 1
    clock.advance(1)
    succeed(breaker)


def test_what_is_left_of_the_timeout_is_reported_on_breaker_error_and_snapshot(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S72
    breaker = make_breaker(Policy(1, 1, 1))
    assert breaker.retry_after == breaker.snapshot().retry_after == 0
    trip(breaker)
    assert breaker.retry_after == 1
    clock.advance(0.11)
    left = breaker.retry_after
    assert left == pytest.approx(0.89)
    assert left == rejected(breaker).retry_after == breaker.snapshot().retry_after
    clock.advance(500)
    assert breaker.retry_after == breaker.snapshot().retry_after == 0
    succeed(breaker)
    assert breaker.retry_after == 0


def test_a_thousand_reads_after_the_timeout_change_nothing(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S21, S160
    breaker = make_breaker(Policy(5, 2, 60))
    trip(breaker)
    clock.advance(61)
    del events[:]
    before = breaker.snapshot()
    for _ in range(1000):
        assert (breaker.state, breaker.retry_after) == (State.OPEN, 0)
        assert breaker.snapshot() == before
    assert events == []
    assert before.half_open_in_flight == 0
    probe = breaker.acquire()
    assert transitions(events) == [PROBING]
    assert breaker.snapshot().half_open_in_flight == 1
    rejected(breaker)
    probe.success()


@pytest.mark.parametrize("verdict", ["success", "failure", "ignore"])
def test_a_result_that_arrives_while_open_changes_nothing(
    make_breaker: Make, clock: ManualClock, events: list[Any], verdict: str
) -> None:
    # S22, S60
    breaker = make_breaker(Policy(2, 1, 60))
    slow = breaker.acquire()
    trip(breaker)
    clock.advance(30)
    getattr(slow, verdict)()
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 30)
    assert transitions(events) == [OPENED]
    assert counts(breaker) == {"failures": 2, "late": 1}


@pytest.mark.parametrize("timeout", [0, 0.0, -1, float("nan"), float("inf"), timedelta(0)])
def test_an_open_timeout_that_is_no_positive_time_is_refused(timeout: Any) -> None:
    # S126
    with pytest.raises(PolicyError, match="open_state_timeout"):
        Policy(1, 1, timeout)


def test_the_shortest_open_timeout_still_rejects_at_once(make_breaker: Make, clock: ManualClock) -> None:
    # S21
    breaker = make_breaker(Policy(1, 1, 1e-9))
    trip(breaker)
    rejected(breaker)
    clock.advance(1e-9)
    succeed(breaker)


def test_the_longest_open_timeout_does_not_wrap_round(make_breaker: Make, clock: ManualClock) -> None:
    # S75: a deadline beyond the largest 64-bit nanosecond is far away, not past
    breaker = make_breaker(Policy(1, 1, (2**63 - 2**20) / 1e9))
    clock.advance(1e9)
    trip(breaker)
    assert rejected(breaker).retry_after > 9e9
    clock.advance(1e9)
    assert rejected(breaker, 2).retry_after > 8e9


def test_a_sixth_failure_after_five_opened_does_not_disturb_the_opening(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S22, S60
    breaker = make_breaker(Policy(5, 1, 60))
    permits = [breaker.acquire() for _ in range(6)]
    for permit in permits[:5]:
        permit.failure()
    assert breaker.state is State.OPEN
    clock.advance(10)
    permits[5].failure()
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 50)
    clock.advance(50)
    succeed(breaker)
    assert transitions(events) == [OPENED, PROBING, (State.HALF_OPEN, State.CLOSED, "recovered")]
    assert counts(breaker) == {"successes": 1, "failures": 5, "late": 1}


def test_a_failed_probe_opens_with_a_deadline_from_its_own_failure(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S51
    breaker = make_breaker(Policy(1, 1, 5))
    trip(breaker)
    clock.advance(5)
    probe = breaker.acquire()
    clock.advance(2)
    probe.failure()
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 5)
    recovers_after(breaker, clock, 5)
    assert transitions(events) == [
        OPENED,
        PROBING,
        (State.HALF_OPEN, State.OPEN, "probe_failed"),
        PROBING,
        (State.HALF_OPEN, State.CLOSED, "recovered"),
    ]


def test_an_outage_of_many_probes_opens_again_each_time(make_breaker: Make, clock: ManualClock) -> None:
    # S51
    breaker = make_breaker(Policy(3, 2, 5))
    trip(breaker)
    for _ in range(50):
        clock.advance(4.999)
        rejected(breaker)
        clock.advance(0.001)
        fail(breaker)
        assert (breaker.state, breaker.retry_after) == (State.OPEN, 5)
    assert counts(breaker) == {"failures": 53, "rejected": 50}


def test_rejections_neither_extend_the_deadline_nor_tell_anybody(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S2, S22
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    del events[:]
    for second in range(60):
        assert rejected(breaker, 2).retry_after == 60 - second
        clock.advance(1)
    assert events == []
    assert counts(breaker) == {"failures": 1, "rejected": 120}
    succeed(breaker)


def test_half_open_begins_at_the_call_not_at_the_deadline(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S21: nothing happens by time alone
    breaker = make_breaker(Policy(1, 1, 10))
    trip(breaker)
    clock.advance(86_400)
    assert (breaker.state, transitions(events)) == (State.OPEN, [OPENED])
    ignored(breaker)
    assert breaker.state is State.HALF_OPEN


def test_time_in_each_state_adds_up_to_the_age(make_breaker: Make, clock: ManualClock) -> None:
    # S76
    breaker = make_breaker(Policy(1, 1, 60))
    assert breaker.snapshot().state_seconds == dict.fromkeys(State, 0)
    clock.advance(7)
    trip(breaker)
    clock.advance(60)
    assert breaker.snapshot().state_seconds == {State.CLOSED: 7, State.OPEN: 60, State.HALF_OPEN: 0}
    probe = breaker.acquire()
    clock.advance(2)
    probe.success()
    clock.advance(31)
    spent = breaker.snapshot().state_seconds
    assert spent == {State.CLOSED: 38, State.OPEN: 60, State.HALF_OPEN: 2}
    assert sum(spent.values()) == 100


def test_time_is_counted_while_it_passes_and_over_several_visits(make_breaker: Make, clock: ManualClock) -> None:
    # S76
    breaker = make_breaker(Policy(1, 1, 10))
    for _ in range(3):
        drive_to(breaker, clock, State.OPEN)
        cool(breaker, clock)
        clock.advance(5)
        succeed(breaker)
        clock.advance(1)
    assert breaker.snapshot().state_seconds == {State.CLOSED: 3, State.OPEN: 45, State.HALF_OPEN: 0}
