"""Operator control: forced_open, disabled, and what lies underneath. Shadow and reset have files of their own."""

from itertools import pairwise
from typing import Any

import pytest

from breaker import Mode, Policy, State
from breaker.events import ModeChanged, ProbeOverdue, StateChanged
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, drive_to, fail, ignored, rejected, succeed, trip
from support.reading import counts, of_type, standing, transitions

OVERLAYS = [Mode.FORCED_OPEN, Mode.DISABLED, Mode.SHADOW]


def test_forced_open_rejects_and_says_who_did_it(make_breaker: Make) -> None:
    # S72, S93
    breaker = make_breaker(Policy(5, 2, 60))
    breaker.force_open()
    assert (breaker.state, breaker.mode) == (State.CLOSED, Mode.FORCED_OPEN)
    error = rejected(breaker, 2)
    assert (error.name, error.state, error.reason) == (NAME, State.OPEN, "operator")
    assert error.retry_after == breaker.retry_after == breaker.snapshot().retry_after == 60
    assert error.last_error is None
    assert counts(breaker) == {"rejected": 2}


def test_forced_open_still_rejects_after_ten_timeouts(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S93: no probe, whatever is underneath
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    breaker.force_open()
    for _ in range(10):
        clock.advance(60)
        assert rejected(breaker, 2).retry_after == 60
    assert breaker.state is State.OPEN
    assert transitions(events) == [(State.CLOSED, State.OPEN, "tripped")]


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("overlay", [Mode.FORCED_OPEN, Mode.DISABLED])
def test_results_of_older_calls_count_and_change_nothing_else(
    make_breaker: Make, clock: ManualClock, events: list[Any], overlay: Mode, state: State
) -> None:
    # S97
    breaker = drive_to(make_breaker(Policy(2, 3, 60)), clock, state)
    if state is State.OPEN:
        breaker.disable()  # the only way to be admitted by an open breaker
    calls = [breaker.acquire(), breaker.acquire()] if state is not State.HALF_OPEN else [breaker.acquire()]
    before, totals = standing(breaker), counts(breaker)
    breaker.override(overlay)
    del events[:]
    for call in calls:
        call.failure(Boom())
    assert standing(breaker) == (*before[:4], 0)
    assert counts(breaker).get("failures", 0) == totals.get("failures", 0) + len(calls)
    assert of_type(events, StateChanged) == []


@pytest.mark.parametrize("verdict", ["success", "failure", "ignore"])
def test_a_probe_that_ends_under_forced_open_frees_its_slot_and_has_no_vote(
    make_breaker: Make, clock: ManualClock, verdict: str
) -> None:
    # S97
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    probe = breaker.acquire()
    breaker.force_open()
    getattr(probe, verdict)()
    breaker.clear_override()
    assert standing(breaker)[::3] == (State.HALF_OPEN, 0)
    assert breaker.snapshot().half_open_in_flight == 0
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_lifting_shows_the_streak_that_was_there(make_breaker: Make, events: list[Any]) -> None:
    # S90, S92
    breaker = make_breaker(Policy(5, 2, 60))
    fail(breaker, 3)
    breaker.force_open()
    rejected(breaker, 10)
    breaker.clear_override()
    assert (breaker.state, breaker.mode) == (State.CLOSED, Mode.AUTO)
    assert breaker.snapshot().consecutive_failures == 3
    fail(breaker, 2)
    assert breaker.state is State.OPEN
    assert of_type(events, ModeChanged) == [
        ModeChanged(NAME, Mode.AUTO, Mode.FORCED_OPEN),
        ModeChanged(NAME, Mode.FORCED_OPEN, Mode.AUTO),
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("state", list(State))
def test_an_overlay_that_comes_and_goes_leaves_no_trace(
    make_breaker: Make, clock: ManualClock, overlay: Mode, state: State
) -> None:
    # S90, S92
    breaker = drive_to(make_breaker(Policy(2, 3, 60)), clock, state)
    before = breaker.snapshot()
    breaker.override(overlay)
    assert (breaker.state, breaker.mode, standing(breaker)[1]) == (state, overlay, before.epoch)
    breaker.override(None)
    assert breaker.snapshot() == before


def test_time_goes_on_underneath(make_breaker: Make, clock: ManualClock) -> None:
    # S90
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    breaker.force_open()
    clock.advance(61)
    breaker.clear_override()
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 0)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().state_seconds[State.OPEN] == 61


def test_disabled_runs_everything_and_never_trips(make_breaker: Make, events: list[Any]) -> None:
    # S94
    breaker = make_breaker(Policy(2))
    fail(breaker)
    breaker.disable()
    del events[:]
    fail(breaker, 100)
    succeed(breaker, 10)
    ignored(breaker, 5)
    assert (breaker.mode, standing(breaker)[::2]) == (Mode.DISABLED, (State.CLOSED, 1, 0))
    assert counts(breaker) == {"failures": 101, "successes": 10, "ignored": 5}
    assert of_type(events, StateChanged) == []
    breaker.clear_override()
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("state", [State.OPEN, State.HALF_OPEN])
@pytest.mark.parametrize("overlay", [Mode.DISABLED, Mode.SHADOW])
def test_calls_let_through_while_not_closed_take_no_slot_and_have_no_vote(
    make_breaker: Make, clock: ManualClock, overlay: Mode, state: State
) -> None:
    # S53
    breaker = drive_to(make_breaker(Policy(5, 1, 60)), clock, state)
    breaker.override(overlay)
    calls = [breaker.acquire() for _ in range(3)]
    assert (breaker.retry_after, breaker.snapshot().half_open_in_flight) == (0, 0)
    succeed(breaker)
    before = standing(breaker)
    breaker.clear_override()
    totals = counts(breaker)
    calls[0].success()
    calls[1].ignore()
    calls[2].failure()
    assert standing(breaker) == before
    assert sum(counts(breaker).values()) == sum(totals.values()) + 3
    assert "late" not in counts(breaker)


@pytest.mark.parametrize(("verdict", "streak"), [("success", 0), ("ignore", 1), ("failure", 2)])
def test_the_mode_in_force_at_the_result_judges(make_breaker: Make, verdict: str, streak: int) -> None:
    # S98
    breaker = make_breaker(Policy(3))
    fail(breaker)
    breaker.disable()
    call = breaker.acquire()
    breaker.clear_override()
    getattr(call, verdict)()
    assert breaker.snapshot().consecutive_failures == streak


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_ended_lease_is_reclaimed_by_any_asker_in_any_mode(
    make_breaker: Make, clock: ManualClock, events: list[Any], overlay: Mode
) -> None:
    # S66
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    probe = breaker.acquire()
    breaker.override(overlay)
    clock.advance(59)
    if overlay is Mode.FORCED_OPEN:
        rejected(breaker)
    else:
        succeed(breaker)
    assert breaker.snapshot().half_open_in_flight == 1
    clock.advance(1)
    if overlay is Mode.FORCED_OPEN:
        rejected(breaker)
    else:
        succeed(breaker)
    assert breaker.snapshot().half_open_in_flight == 0
    assert of_type(events, ProbeOverdue) == [ProbeOverdue(NAME)]
    ended = breaker.snapshot().successes
    probe.success()
    assert (counts(breaker)["overdue"], breaker.snapshot().successes) == (1, ended + 1)
    assert (breaker.state, breaker.snapshot().half_open_successes) == (State.HALF_OPEN, 0)


@pytest.mark.parametrize("mode", list(Mode))
def test_setting_the_mode_that_is_there_tells_nobody(make_breaker: Make, events: list[Any], mode: Mode) -> None:
    # S92
    breaker = make_breaker(Policy(2))
    breaker.override(mode)
    if mode is not Mode.FORCED_OPEN:
        fail(breaker)
    before = breaker.snapshot()
    del events[:]
    breaker.override(mode)
    assert events == []
    assert breaker.snapshot() == before


def test_the_short_forms_are_the_overrides(make_breaker: Make, events: list[Any]) -> None:
    # S91, S92
    breaker = make_breaker(Policy())
    del events[:]
    for act, mode in [
        (breaker.force_open, Mode.FORCED_OPEN),
        (breaker.disable, Mode.DISABLED),
        (breaker.shadow, Mode.SHADOW),
        (breaker.clear_override, Mode.AUTO),
        (breaker.clear_override, Mode.AUTO),
    ]:
        act()
        assert breaker.mode is breaker.snapshot().mode is mode
    modes = [Mode.AUTO, Mode.FORCED_OPEN, Mode.DISABLED, Mode.SHADOW, Mode.AUTO]
    assert events == [ModeChanged(NAME, old, new) for old, new in pairwise(modes)]


@pytest.mark.parametrize("mode", ["OPEN", State.OPEN, 1, object()])
def test_what_is_not_a_mode_is_refused_and_changes_nothing(make_breaker: Make, events: list[Any], mode: Any) -> None:
    # S91: an error, never a corrupt state
    breaker = make_breaker(Policy())
    before, heard = breaker.snapshot(), list(events)
    with pytest.raises((TypeError, ValueError)):
        breaker.override(mode)
    assert (breaker.snapshot(), events) == (before, heard)
