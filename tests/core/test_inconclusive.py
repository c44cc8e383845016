"""A visit to HALF_OPEN whose probes are all ignored: it may not let all traffic pass for ever."""

from typing import Any

import pytest

from breaker import Breaker, Policy, State
from breaker.events import CallFailed, StateChanged
from breaker.testing import ManualClock
from support.drive import NAME, HangUp, Make, Put, cool, cooled, drive_to, fail, ignored, rejected, succeed
from support.reading import counts, of_type, probing

TEXT = "inconclusive: no probe of the visit succeeded or failed"


@pytest.mark.parametrize("slots", [1, 3])
def test_ten_ignored_probes_for_each_slot_are_allowed_and_the_next_one_reopens(
    make_breaker: Make, clock: ManualClock, events: list[Any], slots: int
) -> None:
    # S57, S85
    breaker = cooled(make_breaker, clock, Policy(1, 5, 60, half_open_max_calls=slots))
    ignored(breaker, 10 * slots)
    assert probing(breaker) == (State.HALF_OPEN, 0, 0)
    ignored(breaker)
    assert probing(breaker) == (State.OPEN, 0, 0)
    error = rejected(breaker)
    assert (error.reason, error.retry_after, error.last_error) == ("open", 60, TEXT)
    assert events[-1] == StateChanged(
        NAME, State.HALF_OPEN, State.OPEN, "inconclusive", breaker.snapshot().epoch, 0, 60, TEXT
    )
    assert len(of_type(events, CallFailed)) == 1
    assert counts(breaker) == {"failures": 1, "ignored": 10 * slots + 1, "rejected": 1}


def test_one_success_makes_the_visit_prove_something(make_breaker: Make, clock: ManualClock) -> None:
    # S57
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60))
    ignored(breaker, 10)
    succeed(breaker)
    ignored(breaker, 100)
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_each_visit_counts_for_itself(make_breaker: Make, clock: ManualClock) -> None:
    # S57
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    for _ in range(3):
        ignored(breaker, 10)
        fail(breaker)
        cool(breaker, clock)
    assert breaker.snapshot().ignored == 30


def test_the_slots_of_the_policy_in_force_count(breaker: Breaker, put: Put, clock: ManualClock) -> None:
    # S57
    put(halfOpenMaxCalls=3)
    drive_to(breaker, clock, State.HALF_OPEN)  # has ignored one
    ignored(breaker, 14)
    assert breaker.state is State.HALF_OPEN
    put(halfOpenMaxCalls=1)
    assert breaker.state is State.HALF_OPEN
    ignored(breaker)
    assert breaker.state is State.OPEN


def test_an_overdue_probe_that_is_ignored_counts_and_a_call_inside_a_probe_does_not(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S55, S57, S67
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    hung = breaker.acquire()
    clock.advance(60)

    def gives_up() -> None:
        ignored(breaker, 50)
        raise HangUp

    with pytest.raises(HangUp):
        breaker.do(gives_up)
    ignored(breaker, 9)
    assert breaker.state is State.HALF_OPEN
    hung.ignore()
    assert breaker.state is State.OPEN
