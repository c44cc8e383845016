"""What listeners are notified of: every event with all its fields, in order."""

from collections.abc import Callable
from typing import Any

import pytest

from breaker import Mode, Policy, Provider, State
from breaker.events import (
    BreakerCreated,
    CallFailed,
    ModeChanged,
    PolicyUpdated,
    ProbeOverdue,
    StateChanged,
    WouldHaveOpened,
)
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import (
    NAME,
    Boom,
    HangUp,
    Make,
    cool,
    document,
    drive_to,
    fail,
    ignored,
    raiser,
    rejected,
    succeed,
    trip,
)
from support.reading import assert_chain, of_type, transitions


def test_a_full_cycle_tells_exactly_five_transitions(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S80, S85, S87
    breaker = make_breaker(Policy(2, 2, 60))
    epoch = breaker.snapshot().epoch
    fail(breaker, error=Boom("one"))
    fail(breaker, error=Boom("two"))
    rejected(breaker, 10)
    cool(breaker, clock)
    fail(breaker, error=Boom("three"))
    rejected(breaker, 10)
    cool(breaker, clock)
    succeed(breaker, 2)
    closed, opened, half = State.CLOSED, State.OPEN, State.HALF_OPEN
    assert of_type(events, StateChanged) == [
        StateChanged(NAME, closed, opened, "tripped", epoch + 1, 2, 60.0, "Boom: two"),
        StateChanged(NAME, opened, half, "timeout", epoch + 2, 0, 0.0, "Boom: two"),
        StateChanged(NAME, half, opened, "probe_failed", epoch + 3, 1, 60.0, "Boom: three"),
        StateChanged(NAME, opened, half, "timeout", epoch + 4, 0, 0.0, "Boom: three"),
        StateChanged(NAME, half, closed, "recovered", epoch + 5, 0, 0.0, None),
    ]
    assert of_type(events, CallFailed) == [
        CallFailed(NAME, "Boom: one"),
        CallFailed(NAME, "Boom: two"),
        CallFailed(NAME, "Boom: three"),
    ]
    assert len(events) == 1 + 5 + 3
    assert_chain(events, State.CLOSED)


def test_the_fields_of_an_event_are_known_by_name() -> None:
    change = StateChanged(
        name=NAME,
        from_state=State.CLOSED,
        to_state=State.OPEN,
        reason="tripped",
        epoch=1,
        consecutive_failures=5,
        retry_after=60.0,
        last_error=None,
    )
    assert (change.name, change.from_state, change.to_state) == (NAME, State.CLOSED, State.OPEN)
    assert (change.reason, change.epoch, change.consecutive_failures) == ("tripped", 1, 5)
    assert (change.retry_after, change.last_error) == (60.0, None)
    mode = ModeChanged(name=NAME, from_mode=Mode.AUTO, to_mode=Mode.SHADOW)
    assert (mode.from_mode, mode.to_mode) == (Mode.AUTO, Mode.SHADOW)
    assert CallFailed(name=NAME, error="Boom: x").error == "Boom: x"
    assert WouldHaveOpened(name=NAME, consecutive_failures=3).consecutive_failures == 3
    assert ProbeOverdue(name=NAME) != ProbeOverdue(name="db:main")
    assert ProbeOverdue(name=NAME) != BreakerCreated(name=NAME, policy=Policy())


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (BreakerCreated(NAME, Policy()), "policy"),
        (StateChanged(NAME, State.CLOSED, State.OPEN, "tripped", 1, 5, 60.0, None), "to_state"),
        (ModeChanged(NAME, Mode.AUTO, Mode.SHADOW), "to_mode"),
        (CallFailed(NAME, "Boom: x"), "error"),
        (ProbeOverdue(NAME), "name"),
    ],
)
def test_events_are_frozen(event: Any, field: str) -> None:
    # S89
    with pytest.raises((AttributeError, TypeError)):
        setattr(event, field, "changed")


def test_the_failure_comes_before_the_opening(make_breaker: Make, events: list[Any]) -> None:
    # S86
    breaker = make_breaker(Policy(1))
    fail(breaker, error=ValueError("bad"))
    assert [type(event) for event in events] == [BreakerCreated, CallFailed, StateChanged]
    assert events[1] == CallFailed(NAME, "ValueError: bad")


def test_the_failure_comes_before_the_shadow_warning(make_breaker: Make, events: list[Any]) -> None:
    # S86
    breaker = make_breaker(Policy(1, mode=Mode.SHADOW))
    fail(breaker)
    assert events[1:] == [CallFailed(NAME, "Boom: down"), WouldHaveOpened(NAME, 1)]


def test_overdue_probes_come_before_the_closing_they_allow(
    provider_of: Callable[..., Provider], clock: ManualClock, events: list[Any]
) -> None:
    # S86
    source = MemorySource()
    source.put(NAME, document(successThreshold=3, halfOpenMaxCalls=2))
    breaker = provider_of(Policy(1, 3, 60), policy_source=source).get_breaker(NAME)
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)
    probes = [breaker.acquire(), breaker.acquire()]
    source.put(NAME, document(successThreshold=1, halfOpenMaxCalls=2))
    clock.advance(60)
    del events[:]
    succeed(breaker)
    assert events[:2] == [ProbeOverdue(NAME), ProbeOverdue(NAME)]
    assert transitions(events[2:]) == [(State.HALF_OPEN, State.CLOSED, "policy")]
    assert len(events) == 3
    del probes


@pytest.mark.parametrize("mode", list(Mode))
def test_every_failure_is_reported_in_every_mode(make_breaker: Make, events: list[Any], mode: Mode) -> None:
    # S87: a late one too: the operation did fail
    breaker = make_breaker(Policy(100))
    calls = [breaker.acquire(), breaker.acquire()]
    breaker.override(mode)
    calls[0].failure(Boom("in time"))
    breaker.reset()
    calls[1].failure(Boom("late"))
    assert of_type(events, CallFailed) == [CallFailed(NAME, "Boom: in time"), CallFailed(NAME, "Boom: late")]


def test_calls_that_do_not_fail_are_not_reported(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S87
    breaker = make_breaker(Policy(1, 5, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    del events[:]
    ignored(breaker)
    succeed(breaker)
    probe = breaker.acquire()
    rejected(breaker, 5)
    probe.ignore()
    assert events == []


def test_a_failure_without_an_exception_says_how_it_was_reported(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S46, S47
    breaker = make_breaker(Policy(1, 1, 60), failed_result=lambda value: value == "bad")
    assert breaker.do(lambda: "bad") == "bad"
    assert rejected(breaker).last_error == "failed result"
    cool(breaker, clock)
    breaker.acquire().failure()
    assert rejected(breaker).last_error == "failure reported"
    assert [change.last_error for change in of_type(events, StateChanged)] == [
        "failed result",
        "failed result",
        "failure reported",
    ]


def test_the_last_error_goes_with_the_closing_and_with_a_reset(make_breaker: Make, clock: ManualClock) -> None:
    # S85
    breaker = make_breaker(Policy(1, 1, 60))
    fail(breaker, error=Boom("first"))
    assert rejected(breaker).last_error == "Boom: first"
    breaker.reset()
    breaker.force_open()
    assert rejected(breaker).last_error is None
    breaker.clear_override()
    drive_to(breaker, clock, State.HALF_OPEN)
    probe = breaker.acquire()
    assert rejected(breaker).last_error == "Boom: down"
    probe.success()
    breaker.force_open()
    assert rejected(breaker).last_error is None


def test_the_failure_that_opened_is_the_last_of_the_streak(make_breaker: Make, events: list[Any]) -> None:
    # S85
    breaker = make_breaker(Policy(3))
    for text in ("first", "second", "third"):
        fail(breaker, error=LookupError(text))
    assert of_type(events, StateChanged)[0].last_error == "LookupError: third"


def test_a_policy_change_tells_old_and_new(provider_of: Callable[..., Provider], events: list[Any]) -> None:
    # S86
    source = MemorySource()
    breaker = provider_of(Policy(5, 2, 60), policy_source=source).get_breaker(NAME)
    source.put(NAME, document(failureThreshold=3, mode="shadow"))
    update, mode = events[1:]
    assert isinstance(update, PolicyUpdated)
    assert (update.name, update.old, update.new) == (NAME, Policy(5), Policy(3, mode=Mode.SHADOW))
    assert update.new is breaker.policy
    assert mode == ModeChanged(NAME, Mode.AUTO, Mode.SHADOW)


# Listeners


def test_the_state_is_already_the_new_one_inside_a_listener(
    make_breaker: Make, clock: ManualClock, listeners: list[Any]
) -> None:
    # S84
    seen: list[tuple[State, State, int, int]] = []

    def look(event: Any) -> None:
        if isinstance(event, StateChanged):
            snapshot = breaker.snapshot()
            assert breaker.state is snapshot.state
            seen.append((event.to_state, breaker.state, event.epoch, snapshot.epoch))

    listeners.append(look)
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    drive_to(breaker, clock, State.CLOSED)
    breaker.force_open()
    assert [to for to, _, _, _ in seen] == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert all(to is state and epoch == now for to, state, epoch, now in seen)


def test_a_listener_hears_all_breakers_of_its_provider_and_no_other(
    provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    heard: list[Any] = []
    provider = provider_of(Policy(1))
    provider.subscribe(heard.append)
    trip(provider.get_breaker("db:main"))
    trip(provider.get_breaker("db:replica"))
    trip(provider_of(Policy(1)).get_breaker("db:other"))
    assert [event.name for event in of_type(heard, StateChanged)] == ["db:main", "db:replica"]
    assert [event.name for event in of_type(events, StateChanged)] == ["db:main", "db:replica", "db:other"]


def test_a_listener_hears_nothing_from_before_and_nothing_after(
    provider_of: Callable[..., Provider], clock: ManualClock
) -> None:
    provider = provider_of(Policy(1, 1, 60))
    breaker = provider.get_breaker(NAME)
    trip(breaker)
    heard: list[Any] = []
    unsubscribe = provider.subscribe(heard.append)
    cool(breaker, clock)
    succeed(breaker)
    unsubscribe()
    trip(breaker)
    assert transitions(heard) == [
        (State.OPEN, State.HALF_OPEN, "timeout"),
        (State.HALF_OPEN, State.CLOSED, "recovered"),
    ]
    unsubscribe()
    assert len(heard) == 2


def test_unsubscribing_one_leaves_the_others(provider_of: Callable[..., Provider], events: list[Any]) -> None:
    provider = provider_of(Policy(1))
    gone: list[Any] = []
    stays: list[Any] = []
    unsubscribe = provider.subscribe(gone.append)
    provider.subscribe(stays.append)
    unsubscribe()
    trip(provider.get_breaker(NAME))
    assert gone == []
    assert stays == events


def test_events_hold_no_exception_and_no_frame(make_breaker: Make, events: list[Any]) -> None:
    # S89: the error of an event is text: a log queue must not keep a request alive
    breaker = make_breaker(Policy(1))
    with pytest.raises(HangUp):
        breaker.do(raiser(HangUp("not reported")))
    fail(breaker, error=Boom("reported"))
    assert [event.error for event in of_type(events, CallFailed)] == ["Boom: reported"]
    assert all(type(event.error) is str for event in of_type(events, CallFailed))
    assert type(of_type(events, StateChanged)[0].last_error) is str
