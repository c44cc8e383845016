"""The HALF_OPEN state: who may probe, and what the probes decide. Leases have a file of their own."""

from typing import Any

import pytest

from breaker import Breaker, Permit, Policy, State
from breaker.testing import ManualClock
from support.drive import Make, cool, cooled, drive_to, fail, ignored, rejected, succeed
from support.reading import OPENED, PROBING, RECOVERED, REOPENED, counts, probing, transitions


def fill(breaker: Breaker, slots: int) -> list[Permit]:
    """Take this many probe slots, and see that there is not one more."""
    permits = [breaker.acquire() for _ in range(slots)]
    assert breaker.snapshot().half_open_in_flight == slots
    error = rejected(breaker, 2)
    assert (error.state, error.reason) == (State.HALF_OPEN, "half_open")
    return permits


# Admission


def test_two_successes_and_one_in_flight_leave_no_room_for_a_fourth(make_breaker: Make, clock: ManualClock) -> None:
    # S23
    breaker = cooled(make_breaker, clock, Policy(1, 3, 60, half_open_max_calls=3))
    succeed(breaker, 2)
    (last,) = fill(breaker, 1)
    last.success()
    assert breaker.state is State.CLOSED


def test_four_slots_six_askers_and_one_slot_given_back(make_breaker: Make, clock: ManualClock) -> None:
    # S23, S24
    breaker = cooled(make_breaker, clock, Policy(1, 10, 60, half_open_max_calls=4))
    permits = fill(breaker, 4)
    assert counts(breaker)["rejected"] == 2
    permits[0].success()
    permits[0] = breaker.acquire()
    rejected(breaker)
    permits[1].ignore()
    permits[1] = breaker.acquire()
    rejected(breaker)
    assert probing(breaker) == (State.HALF_OPEN, 1, 4)


def test_one_probe_at_a_time_and_two_successes_close(make_breaker: Make, clock: ManualClock) -> None:
    # S23, S50
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60))
    fill(breaker, 1)[0].success()
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"successes": 2, "failures": 1, "rejected": 2}


@pytest.mark.parametrize("cap", [1, 2, 3, 10, 1000])
def test_the_call_that_ends_open_counts_against_the_cap(make_breaker: Make, clock: ManualClock, cap: int) -> None:
    # S23
    breaker = cooled(make_breaker, clock, Policy(1, 2000, 60, half_open_max_calls=cap))
    fill(breaker, cap)


@pytest.mark.parametrize(("cap", "wanted"), [(3, 2), (10, 1), (5, 4), (2, 5)])
def test_no_more_probes_than_the_verdict_needs(make_breaker: Make, clock: ManualClock, cap: int, wanted: int) -> None:
    # S23: in flight <= cap, and in flight + successes <= success_threshold
    breaker = cooled(make_breaker, clock, Policy(1, wanted, 60, half_open_max_calls=cap))
    for done in range(wanted):
        permits = fill(breaker, min(cap, wanted - done))
        for permit in permits[1:]:
            permit.ignore()
        permits[0].success()
    assert breaker.state is State.CLOSED


def test_rejections_have_no_part_in_the_verdict(make_breaker: Make, clock: ManualClock) -> None:
    # S23
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60))
    succeed(breaker)
    (probe,) = fill(breaker, 1)
    before = probing(breaker)
    rejected(breaker, 98)
    assert probing(breaker) == before == (State.HALF_OPEN, 1, 1)
    probe.success()
    assert breaker.state is State.CLOSED
    assert counts(breaker)["rejected"] == 100


def test_an_ignored_probe_gives_its_slot_back(make_breaker: Make, clock: ManualClock) -> None:
    # S52
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    for _ in range(10):
        fill(breaker, 1)[0].ignore()
        assert probing(breaker) == (State.HALF_OPEN, 0, 0)
    assert counts(breaker) == {"failures": 1, "ignored": 10, "rejected": 20}
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_four_slots_survive_four_ignored_calls(make_breaker: Make, clock: ManualClock) -> None:
    # S52
    breaker = cooled(make_breaker, clock, Policy(1, 4, 60, half_open_max_calls=4))
    for permit in fill(breaker, 4):
        permit.ignore()
    for permit in fill(breaker, 4):
        permit.success()
    assert breaker.state is State.CLOSED


def test_ignored_keeps_probing_then_a_failure_reopens_or_a_success_closes(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S52
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    ignored(breaker, 2)
    assert breaker.state is State.HALF_OPEN
    fail(breaker)
    assert breaker.state is State.OPEN
    cool(breaker, clock)
    ignored(breaker, 2)
    succeed(breaker)
    assert transitions(events) == [OPENED, PROBING, REOPENED, PROBING, RECOVERED]


# Verdict


@pytest.mark.parametrize("wanted", [1, 2, 3, 7])
def test_as_many_successes_as_wanted_close(make_breaker: Make, clock: ManualClock, wanted: int) -> None:
    # S50
    breaker = cooled(make_breaker, clock, Policy(5, wanted, 60))
    for done in range(wanted):
        assert done == 0 or probing(breaker) == (State.HALF_OPEN, done, 0)
        succeed(breaker)
    assert probing(breaker) == (State.CLOSED, 0, 0)


@pytest.mark.parametrize(("threshold", "wanted", "before"), [(1, 1, 0), (5, 3, 0), (5, 3, 2), (1000, 2, 1)])
def test_one_failed_probe_reopens_whatever_the_failure_threshold(
    make_breaker: Make, clock: ManualClock, threshold: int, wanted: int, before: int
) -> None:
    # S51
    breaker = cooled(make_breaker, clock, Policy(threshold, wanted, 60))
    succeed(breaker, before)
    fail(breaker)
    assert probing(breaker) == (State.OPEN, 0, 0)
    assert breaker.retry_after == 60


def test_successes_of_an_earlier_visit_do_not_carry_over(make_breaker: Make, clock: ManualClock) -> None:
    # S50
    breaker = cooled(make_breaker, clock, Policy(1, 3, 60))
    succeed(breaker, 2)
    fail(breaker)
    cool(breaker, clock)
    succeed(breaker, 2)
    assert probing(breaker) == (State.HALF_OPEN, 2, 0)
    succeed(breaker)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("order", ["success first", "failure first"])
def test_a_success_and_a_failure_of_two_probes_reopen_in_either_order(
    make_breaker: Make, clock: ManualClock, order: str
) -> None:
    # S51, S60
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60, half_open_max_calls=2))
    good, bad = fill(breaker, 2)
    if order == "success first":
        good.success()
    bad.failure()
    good.success()
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 60)
    assert counts(breaker).get("late", 0) == (order == "failure first")


def test_two_failed_probes_reopen_once(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S22, S51
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60, half_open_max_calls=2))
    first, second = fill(breaker, 2)
    first.failure()
    clock.advance(20)
    second.failure()
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 40)
    assert transitions(events) == [OPENED, PROBING, REOPENED]


def test_successes_do_not_expire(make_breaker: Make, clock: ManualClock) -> None:
    # S50
    breaker = cooled(make_breaker, clock, Policy(5, 2, 60))
    succeed(breaker)
    clock.advance(10 * 3600)
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_closed_open_half_open_open_half_open_closed(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S11
    breaker = drive_to(make_breaker(Policy(3, 2, 60)), clock, State.HALF_OPEN)
    drive_to(breaker, clock, State.OPEN)
    drive_to(breaker, clock, State.HALF_OPEN)
    drive_to(breaker, clock, State.CLOSED)
    assert transitions(events) == [OPENED, PROBING, REOPENED, PROBING, RECOVERED]
