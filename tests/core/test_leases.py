"""A probe's slot is a lease: how long, who takes it back, and what a lost probe may still say."""

from typing import Any

import pytest

from breaker import Policy, State
from breaker.events import ProbeLost, StateChanged
from breaker.testing import ManualClock
from support.drive import NAME, Make, cooled, rejected, succeed
from support.reading import counts, of_type, probing


def test_a_lost_probe_gives_its_slot_to_the_next_call_at_the_end_of_its_lease(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S62: opened at 0, probing at 60, the lease is the open timeout
    breaker = cooled(make_breaker, clock, Policy(5, 1, 60))
    lost = breaker.acquire()
    clock.advance(59.999)
    rejected(breaker)
    clock.advance(0.001)
    assert counts(breaker).get("lost") is None
    probe = breaker.acquire()
    assert counts(breaker) == {"failures": 5, "rejected": 1, "lost": 1}
    assert of_type(events, ProbeLost) == [ProbeLost(NAME)]
    assert probing(breaker) == (State.HALF_OPEN, 0, 1)
    del lost
    probe.success()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("verdict", ["success", "failure", "ignore"])
def test_what_a_lost_probe_says_later_changes_nothing(make_breaker: Make, clock: ManualClock, verdict: str) -> None:
    # S63
    breaker = cooled(make_breaker, clock, Policy(5, 2, 60))
    lost = breaker.acquire()
    clock.advance(60)
    probe = breaker.acquire()
    clock.advance(10)
    before = breaker.snapshot()
    getattr(lost, verdict)()
    assert breaker.snapshot() == before
    probe.success()
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert counts(breaker) == {"successes": 1, "failures": 5, "lost": 1}


def test_a_probe_that_reports_after_its_lease_but_before_anyone_asks_still_counts(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S64
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    probe = breaker.acquire()
    clock.advance(500)
    assert (breaker.retry_after, probing(breaker)) == (0, (State.HALF_OPEN, 0, 1))
    probe.success()
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"successes": 1, "failures": 1}


def test_probe_timeout_is_the_length_of_the_lease(make_breaker: Make, clock: ManualClock) -> None:
    # S62
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60, probe_timeout=5))
    lost = breaker.acquire()
    assert rejected(breaker).retry_after == 5
    clock.advance(4.75)
    assert rejected(breaker).retry_after == breaker.retry_after == 0.25
    clock.advance(0.25)
    succeed(breaker)
    lost.failure()
    assert breaker.state is State.CLOSED


def test_retry_after_is_what_is_left_of_the_earliest_lease(make_breaker: Make, clock: ManualClock) -> None:
    # S72
    breaker = cooled(make_breaker, clock, Policy(1, 5, 60, half_open_max_calls=2, probe_timeout=10))
    first = breaker.acquire()
    clock.advance(4)
    assert breaker.retry_after == 0, "one slot is free"
    second = breaker.acquire()
    assert breaker.retry_after == rejected(breaker).retry_after == 6
    first.ignore()
    assert breaker.retry_after == 0
    third = breaker.acquire()
    assert breaker.retry_after == rejected(breaker).retry_after == 10
    second.ignore()
    third.ignore()


def test_one_call_reclaims_every_lease_that_has_ended(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S62
    breaker = cooled(make_breaker, clock, Policy(1, 9, 60, half_open_max_calls=3, probe_timeout=10))
    old = [breaker.acquire() for _ in range(3)]
    old.pop().ignore()
    clock.advance(5)
    young = breaker.acquire()
    clock.advance(5)
    probe = breaker.acquire()
    assert of_type(events, ProbeLost) == [ProbeLost(NAME)] * 2
    assert probing(breaker) == (State.HALF_OPEN, 0, 2)
    assert counts(breaker)["lost"] == 2
    for permit in (young, probe, *old):
        permit.ignore()
    assert counts(breaker)["ignored"] == 3


def test_a_probe_left_behind_by_a_verdict_is_late_not_lost(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S64
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60, half_open_max_calls=2))
    hung, bad = breaker.acquire(), breaker.acquire()
    bad.failure()
    clock.advance(600)
    succeed(breaker)
    hung.success()
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert counts(breaker) == {"successes": 1, "failures": 2, "late": 1}
    assert of_type(events, ProbeLost) == []


def test_a_dependency_that_hangs_for_ever_never_wedges_the_breaker(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S65: after each lease there is another probe, and the first healthy one closes
    breaker = cooled(make_breaker, clock, Policy(1, 1, 30))
    hung = []
    for _ in range(20):
        hung.append(breaker.acquire())
        assert rejected(breaker).retry_after == 30
        clock.advance(30)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    assert counts(breaker)["lost"] == 20
    assert len(of_type(events, StateChanged)) == 3


def test_permits_that_are_left_behind_for_long_are_counted_as_late_once(make_breaker: Make, clock: ManualClock) -> None:
    # S64: more of them than the breaker remembers
    breaker = cooled(make_breaker, clock, Policy(1, 1000, 60, half_open_max_calls=1000))
    left = []
    for _ in range(4):
        left += [breaker.acquire() for _ in range(999)]
        breaker.acquire().failure()
        clock.advance(60)
    assert counts(breaker)["failures"] == 1 + 4
    for permit in left:
        permit.success()
    assert counts(breaker) == {"failures": 5, "late": 4 * 999}
