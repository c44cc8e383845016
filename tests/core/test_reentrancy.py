"""Code that calls back into the breaker from inside one of its decisions: listeners first."""

from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Mode, Policy, Provider, State
from breaker.events import BreakerCreated, CallFailed, ModeChanged, ProbeOverdue, StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, cool, drive_to, fail, raiser, rejected, succeed, trip
from support.reading import OPENED, PROBING, RECOVERED, assert_chain, counts, of_type, transitions

RESET = (State.OPEN, State.CLOSED, "reset")


def on(kind: type, act: Callable[[Any], Any], times: int = 1) -> Callable[[Any], None]:
    """A listener that acts on the first events of one kind."""
    done: list[Any] = []

    def listen(event: Any) -> None:
        if isinstance(event, kind) and len(done) < times:
            done.append(event)
            act(event)

    return listen


def test_a_listener_may_read_everything(make_breaker: Make, listeners: list[Any]) -> None:
    # S81
    seen: list[Any] = []

    def read(event: StateChanged) -> None:
        reads = (breaker.state, breaker.mode, breaker.retry_after, breaker.policy)
        seen.append((*reads, breaker.snapshot().state))

    listeners.append(on(StateChanged, read))
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    assert seen == [(State.OPEN, Mode.AUTO, 60, Policy(1, 1, 60), State.OPEN)]


def test_a_listener_may_reset(make_breaker: Make, listeners: list[Any], events: list[Any]) -> None:
    # S81
    listeners.append(on(StateChanged, lambda event: breaker.reset()))
    breaker = make_breaker(Policy(2))
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    assert transitions(events) == [OPENED, RESET]
    fail(breaker, 2)
    assert breaker.state is State.OPEN


def test_a_listener_may_call_through_the_breaker(
    make_breaker: Make, clock: ManualClock, listeners: list[Any], events: list[Any]
) -> None:
    # S81: from the opening itself, a rejection, then the probe that closes again
    def call(event: StateChanged) -> None:
        rejected(breaker, 2)
        cool(breaker, clock)
        succeed(breaker)

    listeners.append(on(StateChanged, call))
    breaker = make_breaker(Policy(1, 1, 60))
    error = Boom("down")
    with pytest.raises(Boom) as caught:
        breaker.do(raiser(error))
    assert caught.value is error
    assert breaker.state is State.CLOSED
    assert transitions(events) == [OPENED, PROBING, RECOVERED]
    assert_chain(events, State.CLOSED)


@pytest.mark.parametrize("first", [True, False])
def test_what_a_listener_causes_is_reported_after_everyone_knows_the_cause(
    provider_of: Callable[..., Provider], first: bool
) -> None:
    # S81: one at a time, in transition order: nobody hears CLOSED before OPEN
    provider = provider_of(Policy(1))
    heard: list[Any] = []
    if first:
        provider.subscribe(heard.append)
    provider.subscribe(on(StateChanged, lambda event: breaker.reset()))
    if not first:
        provider.subscribe(heard.append)
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    assert transitions(heard) == [OPENED, RESET]


def test_a_listener_is_not_entered_again_by_what_it_causes(make_breaker: Make, listeners: list[Any]) -> None:
    # S81
    inside: list[int] = []
    depths: list[int] = []

    def listen(event: Any) -> None:
        inside.append(1)
        depths.append(len(inside))
        if len(depths) < 50:
            breaker.reset()
            fail(breaker)
        inside.pop()

    listeners.append(lambda event: listen(event) if isinstance(event, StateChanged) else None)
    breaker = make_breaker(Policy(1))
    fail(breaker)
    assert len(depths) >= 50
    assert set(depths) == {1}


def test_a_permit_dropped_in_a_listener_gives_its_slot_back(
    make_breaker: Make, clock: ManualClock, listeners: list[Any]
) -> None:
    # S39
    held: list[Any] = []
    listeners.append(on(ModeChanged, lambda event: held.clear()))
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    held.append(breaker.acquire())
    breaker.disable()
    assert breaker.snapshot().half_open_in_flight == 0
    assert counts(breaker)["ignored"] == 2
    breaker.clear_override()
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_a_probe_dropped_while_its_being_overdue_is_notified(
    make_breaker: Make, clock: ManualClock, listeners: list[Any]
) -> None:
    # S67
    held: list[Any] = []
    listeners.append(on(ProbeOverdue, lambda event: held.clear()))
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    held.append(breaker.acquire())
    clock.advance(60)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 2, "overdue": 1}


def test_a_listener_may_make_breakers_subscribe_and_close(
    provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    # S81
    heard: list[Any] = []
    made: list[Breaker] = []
    provider = provider_of(Policy(1), policy_source=MemorySource())

    def build(event: BreakerCreated) -> None:
        made.append(provider.get_breaker(event.name))
        made.append(provider.get_breaker("db:other"))
        provider.subscribe(heard.append)

    provider.subscribe(on(BreakerCreated, build))
    provider.subscribe(on(StateChanged, lambda event: provider.close()))
    breaker = provider.get_breaker(NAME)
    assert made == [breaker, provider.breakers["db:other"]]
    fail(breaker)
    assert transitions(heard) == [OPENED]
    rejected(breaker)
    assert [event.name for event in of_type(events, BreakerCreated)] == [NAME, "db:other"]


def test_a_listener_may_unsubscribe_itself(provider_of: Callable[..., Provider]) -> None:
    # S81
    provider = provider_of(Policy(1))
    heard: list[Any] = []
    others: list[Any] = []

    def once(event: Any) -> None:
        heard.append(event)
        unsubscribe()

    unsubscribe = provider.subscribe(once)
    provider.subscribe(others.append)
    fail(provider.get_breaker(NAME))
    assert [type(event) for event in heard] == [BreakerCreated]
    assert [type(event) for event in others] == [BreakerCreated, CallFailed, StateChanged]


# Listeners that raise


@pytest.mark.parametrize("error", [RuntimeError("broken"), Boom("down"), StopIteration()])
def test_a_listener_that_raises_an_exception_is_contained(
    provider_of: Callable[..., Provider], clock: ManualClock, error: Exception
) -> None:
    # S82
    before: list[Any] = []
    after: list[Any] = []
    provider = provider_of(Policy(1, 1, 60))
    for listener in (before.append, raiser_of_any(error), after.append):
        provider.subscribe(listener)
    breaker = provider.get_breaker(NAME)
    trip(breaker)
    cool(breaker, clock)
    succeed(breaker)
    breaker.force_open()
    assert transitions(after) == [OPENED, PROBING, RECOVERED]
    assert before == after


def raiser_of_any(error: BaseException) -> Callable[[Any], None]:
    def listen(event: Any) -> None:
        raise error

    return listen


def test_a_rejection_raised_by_a_listener_is_contained_too(
    make_breaker: Make, listeners: list[Any], events: list[Any]
) -> None:
    # S82
    listeners.append(on(StateChanged, lambda event: breaker.acquire()))
    breaker = make_breaker(Policy(1))
    fail(breaker)
    assert counts(breaker) == {"failures": 1, "rejected": 1}


INTERRUPTS = [KeyboardInterrupt, SystemExit]


@pytest.mark.parametrize("interrupt", INTERRUPTS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_interrupt_in_a_listener_reaches_the_caller_and_no_delivery_is_lost(
    provider_of: Callable[..., Provider], clock: ManualClock, place: int, interrupt: type[BaseException]
) -> None:
    # S83
    provider = provider_of(Policy(1, 1, 60))
    streams: list[list[Any]] = [[], [], []]

    def break_off(event: Any) -> None:
        raise interrupt

    strike = on(StateChanged, break_off)
    for number, stream in enumerate(streams):
        provider.subscribe(stream.append)
        if number == place:
            provider.subscribe(strike)
    breaker = provider.get_breaker(NAME)
    with pytest.raises(interrupt):
        breaker.do(raiser(Boom("down")))
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 60)
    assert counts(breaker) == {"failures": 1}
    cool(breaker, clock)
    succeed(breaker)
    for stream in streams:
        assert transitions(stream) == [OPENED, PROBING, RECOVERED]
    assert streams[0] == streams[1] == streams[2]


def test_an_interrupt_at_the_first_of_two_events_leaves_the_second_to_the_next_call(
    make_breaker: Make, listeners: list[Any], events: list[Any]
) -> None:
    # S83
    listeners.append(on(CallFailed, raiser_of_any(KeyboardInterrupt())))
    breaker = make_breaker(Policy(1))
    with pytest.raises(KeyboardInterrupt):
        breaker.do(raiser(Boom()))
    assert breaker.state is State.OPEN
    breaker.reset()
    assert transitions(events) == [OPENED, RESET]


@pytest.mark.parametrize("form", ["do", "acquire"])
def test_an_interrupt_at_admission_leaves_no_slot_taken(
    make_breaker: Make, clock: ManualClock, listeners: list[Any], form: str
) -> None:
    # S83
    def at_half_open(event: StateChanged) -> None:
        if event.to_state is State.HALF_OPEN:
            raise KeyboardInterrupt

    listeners.append(on(StateChanged, at_half_open, times=2))
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    cool(breaker, clock)
    ran: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        breaker.do(ran.append, True) if form == "do" else breaker.acquire()
    assert ran == []
    assert (breaker.state, breaker.snapshot().half_open_in_flight) == (State.HALF_OPEN, 0)
    assert counts(breaker) == {"failures": 1, "ignored": 1}
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_an_interrupt_when_a_probe_succeeds_leaves_the_breaker_closed(
    make_breaker: Make, clock: ManualClock, listeners: list[Any]
) -> None:
    # S83
    def at_closed(event: StateChanged) -> None:
        if event.to_state is State.CLOSED:
            raise KeyboardInterrupt

    listeners.append(on(StateChanged, at_closed, times=9))
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    with pytest.raises(KeyboardInterrupt):
        breaker.do(int)
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1}


ACTS = [
    (Breaker.force_open, Mode.FORCED_OPEN, State.OPEN, ModeChanged),
    (Breaker.disable, Mode.DISABLED, State.OPEN, ModeChanged),
    (Breaker.shadow, Mode.SHADOW, State.OPEN, ModeChanged),
    (Breaker.reset, Mode.AUTO, State.CLOSED, StateChanged),
]


@pytest.mark.parametrize(("act", "mode", "state", "last"), ACTS, ids=["force_open", "disable", "shadow", "reset"])
def test_an_interrupt_during_an_operators_act_leaves_the_act_done(
    make_breaker: Make,
    listeners: list[Any],
    events: list[Any],
    act: Callable[[Breaker], None],
    mode: Mode,
    state: State,
    last: type,
) -> None:
    # S83
    interrupting = False

    def listen(event: Any) -> None:
        if interrupting:
            raise KeyboardInterrupt

    listeners.append(listen)
    breaker = make_breaker(Policy(1))
    trip(breaker)
    interrupting = True
    with pytest.raises(KeyboardInterrupt):
        act(breaker)
    interrupting = False
    assert breaker.mode is mode
    assert breaker.state is state
    breaker.override(Mode.AUTO)
    assert isinstance(events[-1], last)


def test_a_rejection_is_not_lost_in_a_listener_that_calls_another_breaker(
    provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    # each breaker has its own order; the events of two may nest
    provider = provider_of(Policy(1))
    other = provider.get_breaker("db:other")
    provider.subscribe(on(StateChanged, lambda event: fail(other)))
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    with pytest.raises(BreakerOpenError):
        other.acquire()
    assert {event.name for event in of_type(events, StateChanged)} == {NAME, "db:other"}
