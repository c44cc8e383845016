"""`reset()`: closed at once, counts cleared, a new epoch, the local override lifted."""

from typing import Any

import pytest

from breaker import Mode, Policy, State
from breaker.events import ModeChanged, StateChanged
from breaker.testing import ManualClock
from support.drive import NAME, Make, cool, drive_to, fail, rejected, succeed, trip
from support.reading import counts, transitions


def test_reset_in_closed_clears_the_streak_and_tells_nobody(make_breaker: Make, events: list[Any]) -> None:
    # S99
    breaker = make_breaker(Policy(3))
    fail(breaker, 2)
    del events[:]
    epoch = breaker.snapshot().epoch
    breaker.reset()
    assert events == []
    snapshot = breaker.snapshot()
    assert (snapshot.state, snapshot.epoch) == (State.CLOSED, epoch + 1)
    assert snapshot.consecutive_failures == 0
    assert counts(breaker) == {"failures": 2}
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("state", [State.OPEN, State.HALF_OPEN])
def test_reset_closes_at_once(make_breaker: Make, clock: ManualClock, events: list[Any], state: State) -> None:
    # S99
    breaker = drive_to(make_breaker(Policy(3, 2, 60)), clock, state)
    totals = counts(breaker)
    breaker.reset()
    assert (breaker.state, breaker.retry_after, counts(breaker)) == (State.CLOSED, 0, totals)
    assert transitions(events)[-1] == (state, State.CLOSED, "reset")
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_reset_lifts_an_override_and_the_rule_holds_again(make_breaker: Make, events: list[Any]) -> None:
    # S99
    breaker = make_breaker(Policy(3))
    breaker.force_open()
    rejected(breaker)
    breaker.reset()
    assert breaker.mode is Mode.AUTO
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN
    assert transitions(events) == [(State.CLOSED, State.OPEN, "tripped")]


def test_reset_of_an_open_breaker_that_is_forced_tells_the_state_then_the_mode(
    make_breaker: Make, events: list[Any]
) -> None:
    # S86, S99
    breaker = make_breaker(Policy(1))
    trip(breaker)
    breaker.force_open()
    del events[:]
    breaker.reset()
    assert [type(event) for event in events] == [StateChanged, ModeChanged]
    assert events[1] == ModeChanged(NAME, Mode.FORCED_OPEN, Mode.AUTO)


def test_reset_does_not_lift_the_mode_of_the_policy(make_breaker: Make) -> None:
    # S99
    breaker = make_breaker(Policy(1, mode=Mode.FORCED_OPEN))
    assert breaker.mode is Mode.FORCED_OPEN
    breaker.disable()
    fail(breaker)
    breaker.reset()
    assert breaker.mode is Mode.FORCED_OPEN
    rejected(breaker)


def test_a_local_auto_overrules_the_mode_of_the_policy(make_breaker: Make, clock: ManualClock) -> None:
    # S91
    breaker = make_breaker(Policy(1, 1, 60, mode=Mode.DISABLED))
    fail(breaker, 3)
    assert breaker.state is State.CLOSED
    breaker.override(Mode.AUTO)
    assert breaker.mode is Mode.AUTO
    fail(breaker)
    assert breaker.state is State.OPEN
    breaker.clear_override()
    assert (breaker.state, breaker.mode) == (State.OPEN, Mode.DISABLED)
    succeed(breaker)
    breaker.override(Mode.AUTO)
    rejected(breaker)
    cool(breaker, clock)
    succeed(breaker)
    assert breaker.state is State.CLOSED
