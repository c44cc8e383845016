"""A policy replaced while calls run: what it moves and what it leaves alone."""

from itertools import pairwise
from typing import Any

import pytest

from breaker import Breaker, Mode, Policy, State
from breaker.events import ModeChanged, PolicyRejected, PolicyUpdated, StateChanged, WouldHaveOpened
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Put, cool, document, drive_to, fail, recovers_after, rejected, succeed, trip
from support.reading import counts, of_type, transitions


def test_a_held_breaker_obeys_the_new_policy(breaker: Breaker, put: Put) -> None:
    # S110
    put(failureThreshold=2)
    assert breaker.policy == Policy(2, 2, 60)
    fail(breaker, 2)
    assert breaker.state is State.OPEN


def test_a_threshold_lowered_below_the_streak_opens_at_the_next_failure(
    breaker: Breaker, put: Put, events: list[Any]
) -> None:
    # S13, S111
    fail(breaker, 4)
    put(failureThreshold=3)
    assert (breaker.state, breaker.snapshot().consecutive_failures) == (State.CLOSED, 4)
    assert transitions(events) == []
    fail(breaker)
    assert breaker.state is State.OPEN
    assert of_type(events, StateChanged)[0].consecutive_failures == 5


def test_a_threshold_lowered_below_the_streak_is_cleared_by_the_next_success(breaker: Breaker, put: Put) -> None:
    # S111
    fail(breaker, 4)
    put(failureThreshold=3)
    succeed(breaker)
    assert (breaker.state, breaker.snapshot().consecutive_failures) == (State.CLOSED, 0)
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


def test_a_threshold_far_below_the_streak_opens_all_the_same(breaker: Breaker, put: Put) -> None:
    # S13, S111: `>=`, not `==`
    put(failureThreshold=10)
    fail(breaker, 8)
    put(failureThreshold=3)
    fail(breaker)
    assert breaker.state is State.OPEN


def test_a_threshold_raised_keeps_the_streak(breaker: Breaker, put: Put) -> None:
    # S111
    fail(breaker, 4)
    put(failureThreshold=7)
    fail(breaker, 2)
    assert (breaker.state, breaker.snapshot().consecutive_failures) == (State.CLOSED, 6)
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize(
    "fields",
    [
        {"failureThreshold": 1},
        {"successThreshold": 7},
        {"openStateTimeout": "1s"},
        {"halfOpenMaxCalls": 9},
        {"probeTimeout": "1s"},
    ],
)
def test_a_change_alone_moves_no_state_and_no_epoch(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any], state: State, fields: dict[str, Any]
) -> None:
    # S12, S110
    drive_to(breaker, clock, state)
    before, heard = breaker.snapshot(), transitions(events)
    put(**fields)
    after = breaker.snapshot()
    assert after.policy != before.policy
    assert (after.state, after.epoch, after.state_seconds) == (state, before.epoch, before.state_seconds)
    assert transitions(events) == heard


def test_an_unrelated_field_leaves_the_deadline(breaker: Breaker, put: Put, clock: ManualClock) -> None:
    # S112
    trip(breaker)
    clock.advance(10)
    put(failureThreshold=1, successThreshold=1, halfOpenMaxCalls=3, probeTimeout="1s")
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 50)
    recovers_after(breaker, clock, 50)


@pytest.mark.parametrize(("timeout", "left"), [("5s", 0), ("10s", 0), ("11s", 1), ("2m", 110)])
def test_the_open_timeout_counts_anew_from_the_opening(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any], timeout: str, left: float
) -> None:
    # S112
    clock.advance(1000)
    trip(breaker)
    clock.advance(10)
    put(openStateTimeout=timeout)
    assert (breaker.state, breaker.retry_after) == (State.OPEN, left)
    assert len(transitions(events)) == 1
    if left:
        assert rejected(breaker).retry_after == left
        cool(breaker, clock)
    succeed(breaker)
    assert breaker.state is State.HALF_OPEN


def test_an_open_timeout_lengthened_after_it_had_passed_makes_callers_wait(
    breaker: Breaker, put: Put, clock: ManualClock
) -> None:
    # S112
    trip(breaker)
    clock.advance(60)
    put(openStateTimeout="90s")
    assert rejected(breaker).retry_after == 30


def test_a_call_in_flight_during_a_change_counts(breaker: Breaker, put: Put) -> None:
    # S110
    call = breaker.acquire()
    put(failureThreshold=1)
    call.failure()
    assert breaker.state is State.OPEN
    assert counts(breaker) == {"failures": 1}


def test_the_same_document_again_is_nothing(breaker: Breaker, put: Put, events: list[Any]) -> None:
    # S116: also with other spaces, another order and another way to write the same minute
    put(failureThreshold=3, openStateTimeout="1m")
    assert len(of_type(events, PolicyUpdated)) == 1
    policy = breaker.policy
    put(failureThreshold=3, openStateTimeout="1m")
    put(openStateTimeout="60s", failureThreshold=3)
    assert breaker.policy is policy
    assert len(of_type(events, PolicyUpdated)) == 1


def test_deleting_a_document_falls_back_and_keeps_the_state(
    breaker: Breaker, source: MemorySource, put: Put, events: list[Any]
) -> None:
    # S123
    source.put("default", document(failureThreshold=4, openStateTimeout="30s"))
    assert breaker.policy == Policy(4, 2, 30)
    put(failureThreshold=2)
    assert breaker.policy == Policy(2, 2, 30)
    trip(breaker)
    source.delete(NAME)
    assert (breaker.policy, breaker.state, breaker.retry_after) == (Policy(4, 2, 30), State.OPEN, 30)
    source.delete("default")
    assert (breaker.policy, breaker.state, breaker.retry_after) == (Policy(5, 2, 60), State.OPEN, 60)
    updates = [(event.old, event.new) for event in of_type(events, PolicyUpdated)]
    policies = [Policy(5, 2, 60), Policy(4, 2, 30), Policy(2, 2, 30), Policy(4, 2, 30), Policy(5, 2, 60)]
    assert updates == list(pairwise(policies))


def test_an_invalid_document_leaves_the_last_good_policy(
    breaker: Breaker, put: Put, source: MemorySource, events: list[Any]
) -> None:
    # S124
    put(failureThreshold=2)
    fail(breaker)
    source.publish_raw(NAME, document(failureThreshold=0))
    assert breaker.policy == Policy(2, 2, 60)
    (refusal,) = of_type(events, PolicyRejected)
    assert "failureThreshold" in refusal.error
    fail(breaker)
    assert breaker.state is State.OPEN


def test_the_mode_of_a_document_is_set_and_lifted(breaker: Breaker, put: Put, events: list[Any]) -> None:
    # S92
    fail(breaker, 2)
    put(mode="forced_open")
    assert (breaker.mode, rejected(breaker).reason) == (Mode.FORCED_OPEN, "operator")
    assert [type(event) for event in events[-2:]] == [PolicyUpdated, ModeChanged]
    put()
    assert (breaker.mode, breaker.snapshot().consecutive_failures) == (Mode.AUTO, 2)
    assert events[-1] == ModeChanged(NAME, Mode.FORCED_OPEN, Mode.AUTO)


def test_a_local_override_wins_until_it_is_cleared(breaker: Breaker, put: Put, events: list[Any]) -> None:
    # S91
    breaker.disable()
    put(mode="forced_open")
    assert breaker.mode is Mode.DISABLED
    succeed(breaker)
    assert len(of_type(events, ModeChanged)) == 1
    breaker.clear_override()
    assert breaker.mode is Mode.FORCED_OPEN
    breaker.override(Mode.AUTO)
    put(mode="shadow")
    assert breaker.mode is Mode.AUTO
    assert of_type(events, ModeChanged)[1:] == [
        ModeChanged(NAME, Mode.DISABLED, Mode.FORCED_OPEN),
        ModeChanged(NAME, Mode.FORCED_OPEN, Mode.AUTO),
    ]


def test_one_document_updates_then_lifts_then_closes(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any]
) -> None:
    # S86
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)
    put(mode="disabled")
    put(successThreshold=1)
    assert [type(event) for event in events[-3:]] == [PolicyUpdated, ModeChanged, StateChanged]
    assert events[-1].reason == "policy"
    assert breaker.state is State.CLOSED


def test_a_threshold_raised_above_the_streak_ends_the_shadow_episode(
    breaker: Breaker, put: Put, events: list[Any]
) -> None:
    # S96
    put(failureThreshold=2, mode="shadow")
    fail(breaker, 3)
    put(failureThreshold=5, mode="shadow")
    fail(breaker)
    assert of_type(events, WouldHaveOpened) == [WouldHaveOpened(NAME, 2)]
    fail(breaker)
    assert of_type(events, WouldHaveOpened)[1:] == [WouldHaveOpened(NAME, 5)]


def test_a_threshold_changed_within_the_streak_goes_on_with_the_episode(
    breaker: Breaker, put: Put, events: list[Any]
) -> None:
    # S96
    put(failureThreshold=2, mode="shadow")
    fail(breaker, 4)
    put(failureThreshold=4, mode="shadow")
    fail(breaker, 3)
    assert of_type(events, WouldHaveOpened) == [WouldHaveOpened(NAME, 2)]
