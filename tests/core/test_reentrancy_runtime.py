"""Code that the interpreter runs in the middle of a call: finalizers, signals, clocks, texts."""

import gc
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, cool, drive_to, fail, raiser, rejected, succeed, trip
from support.processes import FREE_THREADED
from support.reading import assert_chain, counts, transitions
from support.threads import HookClock


def meddle(breaker: Breaker) -> None:
    """Everything that a callback could do to a breaker, whatever state it is in."""
    breaker.snapshot()
    breaker.retry_after  # noqa: B018 - the read is the point
    acts: list[Callable[[], object]] = [int, raiser(Boom())]
    for act in acts:
        try:
            breaker.do(act)
        except (Boom, BreakerOpenError):
            continue


def finished(breaker: Breaker) -> int:
    """The number of admitted calls that have ended."""
    return sum(count for name, count in counts(breaker).items() if name != "rejected")


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Make the collector run at nearly every allocation, inside the breaker's own ones too."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1, 10_000, 10_000)  # the young generation only: it is cheap
    yield
    gc.set_threshold(*before)


class Trash:
    """Garbage in a cycle, whose finalizer calls the breaker."""

    def __init__(self, breaker: Breaker, ran: list[int]) -> None:
        self.breaker, self.ran, self.me = breaker, ran, self

    def __del__(self) -> None:
        self.ran.append(1)
        meddle(self.breaker)


@pytest.mark.usefixtures("eager_collector")
def test_finalizers_run_by_the_collector_may_call_the_breaker(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S16
    breaker = make_breaker(Policy(3, 1, 1))
    ran: list[int] = []
    for _ in range(300):
        Trash(breaker, ran)
        meddle(breaker)
        clock.advance(1)
        Trash(breaker, ran)
        breaker.reset()
    gc.collect()
    assert len(ran) == 600
    assert breaker.snapshot().half_open_in_flight == 0
    assert_chain(events, breaker.state)


@pytest.mark.skipif(FREE_THREADED, reason="the collector of that build is not run at every allocation")
@pytest.mark.usefixtures("eager_collector")
def test_collector_callbacks_may_call_the_breaker(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S16: a few times per turn, because each act makes garbage, hence a further collection, for ever
    breaker = make_breaker(Policy(3, 1, 1))
    ran: list[int] = []
    budget = [0]

    def callback(phase: str, info: dict[str, int]) -> None:
        if budget[0]:
            budget[0] -= 1
            ran.append(1)
            meddle(breaker)

    gc.callbacks.append(callback)
    try:
        for turn in range(500):
            budget[0] = turn % 5
            meddle(breaker)
            clock.advance(1)
    finally:
        gc.callbacks.remove(callback)
    assert len(ran) > 500
    assert breaker.snapshot().half_open_in_flight == 0
    assert_chain(events, breaker.state)


def test_weakref_callbacks_and_finalizers_of_what_a_call_drops_may_call_the_breaker(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S16: the last reference to an argument, a value and an exception goes while the breaker holds the call
    breaker = make_breaker(Policy(3, 1, 1))
    ran: list[str] = []

    class Value:
        def __del__(self) -> None:
            ran.append("finalizer")
            meddle(breaker)

    class Failing(Boom):
        pass

    def callback(_: Any) -> None:
        ran.append("callback")
        meddle(breaker)

    refs: list[Any] = []

    def failing(value: Value) -> None:
        error = Failing()
        refs.append(weakref.ref(error, callback))
        try:
            raise error
        finally:
            del error

    for _ in range(200):
        refs.clear()
        for call in (lambda: breaker.do(Value), lambda: breaker.do(failing, Value())):
            try:
                call()
            except (Boom, BreakerOpenError):
                clock.advance(0.5)
    assert {"finalizer", "callback"} == set(ran)
    assert breaker.snapshot().half_open_in_flight == 0


def test_a_permit_whose_finalization_runs_a_finalizer(make_breaker: Make, clock: ManualClock) -> None:
    # S39: permit and callback die together
    breaker = drive_to(make_breaker(Policy(3, 9, 60)), clock, State.HALF_OPEN)
    ran: list[int] = []
    box: list[Any] = [breaker.acquire(), Trash(breaker, ran)]
    box.append(box)
    del box
    gc.collect()
    assert ran == [1]
    assert breaker.snapshot().half_open_in_flight == 0


# Signals


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """``on_signal(act)``: run ``act`` in the handler of SIGUSR1."""
    before = signal.getsignal(signal.SIGUSR1)

    def install(act: Callable[[], Any]) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: act())

    yield install
    signal.signal(signal.SIGUSR1, before)


OPERATIONS: list[Callable[[Breaker], Any]] = [
    fail,
    lambda breaker: breaker.snapshot(),
    lambda breaker: breaker.reset(),
    lambda breaker: breaker.force_open(),
    lambda breaker: breaker.acquire().ignore(),
    lambda breaker: breaker.acquire().failure(),
    lambda breaker: breaker.retry_after,
]


@pytest.mark.parametrize("operation", range(len(OPERATIONS)))
@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("how", ["clock", "signal"])
def test_a_clock_or_a_signal_that_calls_back_in_the_middle_of_a_decision(
    provider_of: Callable[..., Provider], events: list[Any], on_signal: Any, state: State, operation: int, how: str
) -> None:
    # S16, S80
    clock = HookClock()
    breaker = provider_of(Policy(1, 1, 60), clock=clock).get_breaker(NAME)
    drive_to(breaker, clock, state)
    clock.advance(60)
    on_signal(lambda: meddle(breaker))
    clock.hook = (lambda: meddle(breaker)) if how == "clock" else lambda: signal.raise_signal(signal.SIGUSR1)
    with suppress(BreakerOpenError, Boom):
        OPERATIONS[operation](breaker)
    clock.hook = None  # a closed breaker need not look at the clock
    after = breaker.snapshot()
    assert after.half_open_in_flight == 0
    assert_chain(events, after.state)


def test_a_clock_that_calls_back_is_asked_by_each_decision(provider_of: Callable[..., Provider]) -> None:
    # the test above rests on it: admission by an open breaker, a failure and a read all look at the clock
    clock = HookClock()
    breaker = provider_of(Policy(1, 1, 60), clock=clock).get_breaker(NAME)
    asked: list[int] = []

    def ask(act: Callable[[], Any]) -> None:
        clock.hook = lambda: asked.append(1)
        act()

    ask(lambda: fail(breaker))
    ask(lambda: rejected(breaker))
    ask(breaker.snapshot)
    assert len(asked) == 3


def test_a_storm_of_signals_during_calls(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S16
    breaker = make_breaker(Policy(2, 1, 1))
    ran: list[int] = []

    def handler(number: int, frame: Any) -> None:
        ran.append(1)
        meddle(breaker)

    before = signal.signal(signal.SIGVTALRM, handler)  # SIGALRM is the watchdog's
    deadline = time.monotonic() + 20
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        while len(ran) < 300:
            meddle(breaker)
            clock.advance(0.1)
            assert time.monotonic() < deadline, "the signals do not arrive"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert breaker.snapshot().half_open_in_flight == 0
    assert_chain(events, breaker.state)


# Users' code that a call runs besides the function


def test_a_text_of_an_exception_that_calls_back(make_breaker: Make, events: list[Any]) -> None:
    # S16: `last_error` is made with the exception's own `__str__`
    class Chatty(Exception):
        def __str__(self) -> str:
            breaker.snapshot()
            breaker.reset()
            return "chatty"

    breaker = make_breaker(Policy(2))
    for _ in range(4):
        with pytest.raises(Chatty):
            breaker.do(raiser(Chatty()))
    assert_chain(events, breaker.state)
    assert finished(breaker) == 4


def test_a_predicate_that_calls_back(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S16
    def predicate(value: Any) -> bool:
        if value == "outer":
            assert breaker.do(lambda: "inner") == "inner"
        return bool(value == "inner")

    breaker = make_breaker(Policy(1, 1, 60), failed_result=predicate)
    assert breaker.do(lambda: "outer") == "outer"
    assert transitions(events) == [(State.CLOSED, State.OPEN, "tripped")]
    assert counts(breaker) == {"failures": 1, "late": 1}


def test_a_function_that_resets_forces_and_trips_its_own_breaker(make_breaker: Make, clock: ManualClock) -> None:
    # S16
    breaker = make_breaker(Policy(1, 1, 60))

    def act() -> str:
        trip(breaker)
        breaker.force_open()
        rejected(breaker)
        breaker.reset()
        trip(breaker)
        cool(breaker, clock)
        succeed(breaker)
        return "done"

    assert breaker.do(act) == "done"
    assert counts(breaker) == {"successes": 1, "failures": 2, "rejected": 1, "late": 1}
