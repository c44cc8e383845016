"""The shadow mode: judged, reported, and never rejected."""

from typing import Any

import pytest

from breaker import Mode, Policy, State
from breaker.events import ModeChanged, StateChanged, WouldHaveOpened
from breaker.testing import ManualClock
from support.drive import NAME, Make, cool, drive_to, fail, ignored, rejected, succeed, trip
from support.reading import counts, of_type


def warnings(events: list[Any]) -> list[int]:
    """The streak of each WouldHaveOpened."""
    assert all(warning.name == NAME for warning in of_type(events, WouldHaveOpened))
    return [warning.consecutive_failures for warning in of_type(events, WouldHaveOpened)]


def test_crossing_the_threshold_warns_once_and_lets_calls_pass(make_breaker: Make, events: list[Any]) -> None:
    # S95
    breaker = make_breaker(Policy(3))
    breaker.shadow()
    fail(breaker, 2)
    assert warnings(events) == []
    fail(breaker)
    assert warnings(events) == [3]
    fail(breaker, 50)
    ignored(breaker)
    assert warnings(events) == [3]
    assert breaker.snapshot().consecutive_failures == 53
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"failures": 53, "ignored": 1}
    assert of_type(events, StateChanged) == []


def test_each_episode_has_its_own_warning(make_breaker: Make, events: list[Any]) -> None:
    # S96: a success ends the episode
    breaker = make_breaker(Policy(2))
    breaker.shadow()
    for _ in range(3):
        fail(breaker, 4)
        succeed(breaker)
        fail(breaker)
        succeed(breaker)
    assert warnings(events) == [2, 2, 2]
    assert breaker.snapshot().shadow_openings == 3  # S166
    breaker.clear_override()
    trip(breaker)
    assert breaker.snapshot().shadow_openings == 3


def test_the_streak_from_before_goes_on_in_shadow(make_breaker: Make, events: list[Any]) -> None:
    # S95
    breaker = make_breaker(Policy(3))
    fail(breaker, 2)
    breaker.shadow()
    assert warnings(events) == []
    fail(breaker)
    assert warnings(events) == [3]


def test_lifted_with_the_streak_over_the_threshold_the_next_failure_opens(
    make_breaker: Make, events: list[Any]
) -> None:
    # S95
    breaker = make_breaker(Policy(3))
    breaker.shadow()
    fail(breaker, 4)
    breaker.clear_override()
    assert (breaker.state, breaker.snapshot().consecutive_failures) == (State.CLOSED, 4)
    assert of_type(events, StateChanged) == []
    fail(breaker)
    assert breaker.state is State.OPEN
    assert of_type(events, StateChanged)[0].consecutive_failures == 5


def test_lifted_with_the_streak_over_the_threshold_a_success_clears(make_breaker: Make) -> None:
    # S95
    breaker = make_breaker(Policy(3))
    breaker.shadow()
    fail(breaker, 4)
    breaker.clear_override()
    succeed(breaker)
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


def test_leaving_and_coming_back_is_a_new_episode(make_breaker: Make, events: list[Any]) -> None:
    # S96
    breaker = make_breaker(Policy(2))
    breaker.shadow()
    fail(breaker, 2)
    breaker.disable()
    fail(breaker)
    breaker.shadow()
    assert warnings(events) == [2]
    fail(breaker)
    assert warnings(events) == [2, 3]


def test_a_reset_ends_the_episode_and_the_mode(make_breaker: Make, events: list[Any]) -> None:
    # S96, S99
    breaker = make_breaker(Policy(2, mode=Mode.SHADOW))
    fail(breaker, 3)
    breaker.reset()
    assert breaker.mode is Mode.SHADOW
    fail(breaker)
    assert warnings(events) == [2]
    fail(breaker)
    assert warnings(events) == [2, 2]


@pytest.mark.parametrize("state", [State.OPEN, State.HALF_OPEN])
def test_calls_pass_and_are_judged_while_the_state_underneath_stands_still(
    make_breaker: Make, clock: ManualClock, events: list[Any], state: State
) -> None:
    # S95, S97
    breaker = drive_to(make_breaker(Policy(2, 1, 60)), clock, state)
    breaker.shadow()
    changes = of_type(events, StateChanged)
    fail(breaker, 2)
    assert warnings(events) == [2]
    succeed(breaker)
    fail(breaker, 3)
    assert warnings(events) == [2, 2]
    assert breaker.state is state
    assert of_type(events, StateChanged) == changes
    assert breaker.snapshot().half_open_successes == 0


def test_shadow_neither_moves_nor_stops_the_deadline_underneath(make_breaker: Make, clock: ManualClock) -> None:
    # S90
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    clock.advance(20)
    breaker.shadow()
    assert breaker.retry_after == 0
    fail(breaker)
    clock.advance(20)
    breaker.clear_override()
    assert breaker.retry_after == rejected(breaker).retry_after == 20
    cool(breaker, clock)
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_a_probe_that_reports_in_shadow_is_judged_as_if_closed(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S98
    breaker = drive_to(make_breaker(Policy(1, 1, 60, half_open_max_calls=1)), clock, State.HALF_OPEN)
    probe = breaker.acquire()
    breaker.shadow()
    probe.failure()
    assert warnings(events) == [1]
    assert (breaker.state, breaker.snapshot().half_open_in_flight) == (State.HALF_OPEN, 0)
    assert breaker.snapshot().consecutive_failures == 1
    breaker.clear_override()
    succeed(breaker)
    assert (breaker.state, breaker.snapshot().consecutive_failures) == (State.CLOSED, 0)


def test_the_mode_comes_with_the_policy_too(make_breaker: Make, events: list[Any]) -> None:
    # S95
    breaker = make_breaker(Policy(1, mode=Mode.SHADOW))
    fail(breaker, 3)
    assert (breaker.mode, warnings(events)) == (Mode.SHADOW, [1])
    assert of_type(events, ModeChanged) == []
