"""Who delivers: a failed call tells of itself, and no call delivers for others for ever."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, State
from breaker.events import BreakerCreated, CallFailed, ModeChanged, StateChanged
from support.drive import Boom, HangUp, Make, Providers, fail, succeed
from support.processes import fork_and_check
from support.reading import of_type, transitions
from support.threads import Crowd, together

SHARE = 64  # events of others that a call delivers before the next one takes over


class Gate:
    """A listener that stops once, at the event that ``stops_at`` chooses, until it is opened."""

    def __init__(self, stops_at: Any) -> None:
        self.stops_at, self.entered, self.opened = stops_at, threading.Event(), threading.Event()

    def __call__(self, event: Any) -> None:
        if not self.entered.is_set() and self.stops_at(event):
            self.entered.set()
            assert self.opened.wait(20)


def switch(breaker: Breaker, times: int) -> None:
    """As many events, one a decision, and no state is left."""
    for _ in range(times // 2):
        breaker.disable()
        breaker.clear_override()


def attempt(breaker: Breaker) -> None:
    """A call that fails, or is rejected."""
    with contextlib.suppress(Boom, BreakerOpenError):
        fail(breaker)


# A failed call


def test_a_failed_call_tells_of_itself_while_another_thread_delivers(
    make_breaker: Make, listeners: list[Any], events: list[Any]
) -> None:
    # S184
    gate = Gate(lambda event: isinstance(event, ModeChanged))
    told: list[int] = []
    listeners += [gate, lambda event: told.append(threading.get_ident()) if isinstance(event, CallFailed) else None]
    breaker, crowd = make_breaker(Policy(100)), Crowd()
    crowd.start(breaker.disable)
    assert gate.entered.wait(20)
    fail(breaker, 3)
    assert told == [threading.get_ident()] * 3
    assert of_type(events, CallFailed) == events[2:]
    gate.opened.set()
    crowd.join()


def test_a_listener_that_waits_holds_the_failed_call_and_no_other(
    make_breaker: Make, listeners: list[Any], events: list[Any]
) -> None:
    # S184
    gate = Gate(lambda event: isinstance(event, CallFailed))
    listeners.append(gate)
    breaker, crowd = make_breaker(Policy(2)), Crowd()
    crowd.start(attempt, breaker)
    assert gate.entered.wait(20)
    fail(breaker)  # the second in a row: this call delivers that it opened
    breaker.reset()
    succeed(breaker)
    assert [change.to_state for change in of_type(events, StateChanged)] == [State.OPEN, State.CLOSED]
    assert of_type(events, CallFailed)[1].error == "Boom: down"
    gate.opened.set()
    crowd.join()


def test_failed_calls_may_tell_at_the_same_time(make_breaker: Make, listeners: list[Any]) -> None:
    # S184
    inside = threading.Barrier(2)
    listeners.append(lambda event: inside.wait(20) if isinstance(event, CallFailed) else None)
    breaker = make_breaker(Policy(100))
    together(2, lambda _: fail(breaker))


def test_nobody_is_told_of_a_failure_before_the_breaker(provider_of: Providers, listeners: list[Any]) -> None:
    # S184, S88: while its creation is being delivered, failures wait in the queue
    heard: list[Any] = []
    found: list[Breaker] = []
    created = Gate(lambda event: isinstance(event, BreakerCreated))
    listeners += [created, heard.append]
    provider, crowd = provider_of(Policy(100)), Crowd()
    crowd.start(lambda: found.append(provider.get_breaker("late")))
    assert created.entered.wait(20)
    fail(provider.get_breaker("late"))
    assert heard == []
    created.opened.set()
    crowd.join()
    fail(found[0])
    assert [type(event) for event in heard] == [BreakerCreated, CallFailed, CallFailed]


def test_a_listener_that_fails_calls_is_notified_of_them_within(make_breaker: Make, listeners: list[Any]) -> None:
    # S184, S81: its own failed call tells of itself like any other
    heard: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, CallFailed):
            heard.append(event.error)
            if len(heard) < 3:
                fail(breaker, error=Boom(str(len(heard))))
            heard.append("done")

    listeners.append(listen)
    breaker = make_breaker(Policy(100))
    fail(breaker, error=Boom("0"))
    assert heard == ["Boom: 0", "Boom: 1", "Boom: 2", "done", "done", "done"]


def test_what_an_interrupt_leaves_of_a_failure_comes_next(make_breaker: Make, listeners: list[Any]) -> None:
    # S79, S83: who was notified is not notified again, the others are
    heard: list[tuple[str, str]] = []
    stops = [HangUp()]

    def interrupted(event: Any) -> None:
        heard.append(("first", type(event).__name__))
        if isinstance(event, CallFailed) and stops:
            raise stops.pop()

    listeners += [interrupted, lambda event: heard.append(("second", type(event).__name__))]
    breaker = make_breaker(Policy(1))
    del heard[:]
    permit = breaker.acquire()
    with pytest.raises(HangUp):
        permit.failure()
    assert heard == [("first", "CallFailed")]
    breaker.reset()
    names = ["CallFailed", "StateChanged", "StateChanged"]
    assert [name for who, name in heard if who == "first"] == names
    assert [name for who, name in heard if who == "second"] == names


# The role of delivering


def test_a_call_that_has_delivered_its_share_is_relieved_by_the_next(make_breaker: Make, listeners: list[Any]) -> None:
    # S185
    by: list[int] = []
    gate = Gate(lambda event: isinstance(event, ModeChanged))
    crowd = Crowd()

    def listen(event: Any) -> None:
        if isinstance(event, ModeChanged):
            by.append(threading.get_ident())
            if len(by) == SHARE + 10:
                crowd.start(breaker.force_open)
            if len(by) > SHARE and threading.get_ident() == first.ident:
                time.sleep(0.005)  # until that one has come

    listeners += [gate, listen]
    breaker = make_breaker(Policy(100))
    first = crowd.start(breaker.disable)
    assert gate.entered.wait(20)
    breaker.clear_override()
    switch(breaker, 1000)
    gate.opened.set()
    first.join(20)
    assert not first.is_alive()
    crowd.join()
    shared = by.count(first.ident or 0)
    assert SHARE + 10 <= shared < 1000
    assert by[shared:] == [by[-1]] * (1003 - shared)
    assert by[-1] not in (first.ident, threading.get_ident())


def test_until_its_share_is_delivered_nobody_takes_over(make_breaker: Make, listeners: list[Any]) -> None:
    # S185
    by: list[int] = []
    gate = Gate(lambda event: isinstance(event, ModeChanged))
    listeners += [gate, lambda event: by.append(threading.get_ident()) if isinstance(event, ModeChanged) else None]
    breaker, crowd = make_breaker(Policy(100)), Crowd()
    first = crowd.start(breaker.disable)
    assert gate.entered.wait(20)
    breaker.clear_override()
    switch(breaker, SHARE - 2)  # none of these waits
    gate.opened.set()
    crowd.join()
    assert by == [first.ident] * SHARE


@contextlib.contextmanager
def busy(make_breaker: Make, listeners: list[Any], at_work: Any) -> Iterator[Breaker]:
    """Another thread has delivered its share of the events; it is inside a listener that does ``at_work``."""
    told: list[Any] = []
    gate = Gate(lambda event: isinstance(event, ModeChanged))
    inside, over = threading.Event(), threading.Event()

    def listen(event: Any) -> None:
        if isinstance(event, ModeChanged):
            told.append(event)
            if len(told) == SHARE + 2:
                inside.set()
                at_work()
                assert over.wait(20)

    listeners += [gate, listen]
    breaker, crowd = make_breaker(Policy(100)), Crowd()
    crowd.start(breaker.disable)
    assert gate.entered.wait(20)
    breaker.clear_override()
    switch(breaker, SHARE + 8)
    gate.opened.set()
    assert inside.wait(20)
    yield breaker
    over.set()
    crowd.join()
    breaker.clear_override()
    assert told[-1].to_mode == "auto"
    assert all(before.to_mode is after.from_mode for before, after in pairwise(told))


def test_who_waits_for_the_role_can_be_interrupted(make_breaker: Make, listeners: list[Any]) -> None:
    # S185, S83
    def hang_up(*_: Any) -> None:
        raise HangUp

    forced: list[Breaker] = []

    def interrupt() -> None:
        until = time.monotonic() + 20
        while not (forced and forced[0].mode == "forced_open") and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.1)  # now it is on its way to waiting
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, hang_up)
    try:
        with busy(make_breaker, listeners, interrupt) as breaker:
            forced.append(breaker)
            with pytest.raises(HangUp):
                breaker.force_open()
            assert breaker.mode == "forced_open"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_who_waits_for_the_role_holds_nothing_for_ever_that_a_listener_waits_for(
    make_breaker: Make, listeners: list[Any]
) -> None:
    # S185: as a handler of `logging` whose own calls are protected
    held = threading.Lock()
    held.acquire()

    def needs_it() -> None:
        assert held.acquire(timeout=20)
        held.release()

    with busy(make_breaker, listeners, needs_it) as breaker:
        breaker.force_open()
        held.release()


def one_that_waits(crowd: Crowd, breaker: Breaker) -> threading.Thread:
    """A thread that has brought an event, and waits for the role of delivering."""
    waits = crowd.start(breaker.force_open)
    while breaker.mode != "forced_open":
        time.sleep(0.001)
    waits.join(0.1)
    assert waits.is_alive()
    return waits


def test_others_leave_their_events_to_who_waits(make_breaker: Make, listeners: list[Any]) -> None:
    # S185: one waits for the role, all others go on at once
    crowd, released = Crowd(), threading.Event()
    with busy(make_breaker, listeners, lambda: released.wait(20)) as breaker:
        waits = one_that_waits(crowd, breaker)
        breaker.shadow()
        assert waits.is_alive()
        released.set()
    crowd.join()


def test_a_forked_child_delivers_what_is_left_while_somebody_waits(
    make_breaker: Make, listeners: list[Any], events: list[Any]
) -> None:
    # S185, S152
    crowd, released = Crowd(), threading.Event()
    with busy(make_breaker, listeners, lambda: released.wait(20)) as breaker:
        one_that_waits(crowd, breaker)

        def child() -> None:
            del events[:]
            breaker.clear_override()
            assert [event.to_mode for event in events][-2:] == ["forced_open", "auto"]

        fork_and_check(child)
        released.set()
    crowd.join()


def test_a_new_opening_is_told_in_order_by_whoever_has_the_role(make_breaker: Make, listeners: list[Any]) -> None:
    # S185, S80: six threads that flap, with a listener that is too slow for any of them
    heard: list[Any] = []

    def slow(event: Any) -> None:
        heard.append(event)
        if len(heard) % 50 == 0:
            time.sleep(0.001)

    listeners.append(slow)
    breaker = make_breaker(Policy(1))

    def work(_: int) -> None:
        for _ in range(100):
            attempt(breaker)
            breaker.reset()

    together(6, work)
    breaker.reset()
    moves = transitions(heard)
    assert all(before[1] is after[0] for before, after in pairwise(moves))
    assert len(moves) >= 2
