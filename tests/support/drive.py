"""Ways to drive a breaker in a test, each of which also checks what it did, and ways to read the events."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar

import pytest

from breaker import Breaker, BreakerOpenError, Config, Policy, Provider, State
from breaker.events import StateChanged

NAME = "http:payment-api"
PATH = "/config/dev/svc/breakers/"
CONFIG = Config("svc", PATH)

# State changes as `transitions` gives them.
OPENED = (State.CLOSED, State.OPEN, "tripped")
PROBING = (State.OPEN, State.HALF_OPEN, "timeout")
REOPENED = (State.HALF_OPEN, State.OPEN, "probe_failed")
RECOVERED = (State.HALF_OPEN, State.CLOSED, "recovered")

E = TypeVar("E")
Make: TypeAlias = Callable[..., Breaker]
Providers: TypeAlias = Callable[..., Provider]
Put: TypeAlias = Callable[..., object]


class Clock(Protocol):
    """A clock that the test moves."""

    def advance(self, seconds: float) -> None: ...


class Boom(Exception):
    """The failure of a dependency."""


class HangUp(BaseException):
    """A caller that gives up: no ``Exception``, so ignored by default."""


def identity(value: E) -> E:
    """The function of a call that succeeds."""
    return value


def raiser(error: BaseException) -> Callable[[], Any]:
    """A function that raises exactly this object."""

    def fn() -> Any:
        raise error

    return fn


def succeed(breaker: Breaker, times: int = 1) -> None:
    """Calls that succeed; their value comes back unchanged."""
    for _ in range(times):
        value = object()
        assert breaker.do(identity, value) is value


def fail(breaker: Breaker, times: int = 1, error: BaseException | None = None) -> BaseException:
    """Calls that fail; the caller gets the very object that the function raised. Returns the last one."""
    raised = Boom("down") if error is None else error
    for _ in range(times):
        with pytest.raises(type(raised)) as caught:
            breaker.do(raiser(raised))
        assert caught.value is raised
    return raised


def ignored(breaker: Breaker, times: int = 1) -> None:
    """Calls that run and whose callers hang up."""
    for _ in range(times):
        with pytest.raises(HangUp):
            breaker.do(raiser(HangUp()))


def rejected(breaker: Breaker, times: int = 1) -> BreakerOpenError:
    """Calls that are rejected without running, by ``do`` and by ``acquire`` alike. Returns the last error."""
    for attempt in range(times):
        ran: list[bool] = []
        with pytest.raises(BreakerOpenError) as caught:
            breaker.acquire() if attempt % 2 else breaker.do(ran.append, True)
        assert ran == []
    return caught.value


def trip(breaker: Breaker) -> None:
    """CLOSED to OPEN: as many failures as the trip rule still needs."""
    assert breaker.state is State.CLOSED
    while breaker.state is State.CLOSED:
        fail(breaker)
    assert breaker.state is State.OPEN


def cool(breaker: Breaker, clock: Clock) -> None:
    """OPEN, until the very instant at which the next call probes."""
    assert breaker.state is State.OPEN
    clock.advance(breaker.retry_after)
    assert breaker.retry_after == 0


def cooled(make_breaker: Make, clock: Clock, policy: Policy) -> Breaker:
    """A new breaker that is OPEN and will probe with the next call."""
    breaker = make_breaker(policy)
    trip(breaker)
    cool(breaker, clock)
    return breaker


def probing(breaker: Breaker) -> tuple[State, int, int]:
    """State, probe successes, probes in flight."""
    snapshot = breaker.snapshot()
    return snapshot.state, snapshot.half_open_successes, snapshot.half_open_in_flight


def drive_to(breaker: Breaker, clock: Clock, state: State) -> Breaker:
    """Bring a breaker with nothing in flight to a state by calls and time; HALF_OPEN has its slots free."""
    if breaker.state is State.CLOSED and state is not State.CLOSED:
        trip(breaker)
    if breaker.state is State.HALF_OPEN and state is State.OPEN:
        fail(breaker)
    if breaker.state is State.OPEN and state is not State.OPEN:
        cool(breaker, clock)
        breaker.acquire().ignore()
    if breaker.state is State.HALF_OPEN and state is State.CLOSED:
        while breaker.state is not State.CLOSED:
            succeed(breaker)
    assert breaker.state is state
    return breaker


def document(**fields: Any) -> bytes:
    """A policy document: ``document(failureThreshold=3)``."""
    return json.dumps(fields).encode()


def of_type(events: Iterable[Any], kind: type[E]) -> list[E]:
    """The events of one kind, in order."""
    return [event for event in events if isinstance(event, kind)]


def transitions(events: Iterable[Any]) -> list[tuple[State, State, str]]:
    """``(from, to, reason)`` of every state change, in order."""
    changes = of_type(events, StateChanged)
    return [(change.from_state, change.to_state, change.reason) for change in changes]


def assert_chain(events: Iterable[Any], end: State) -> None:
    """The state changes form one chain from CLOSED to ``end``, and the epochs rise."""
    state, epoch = State.CLOSED, -1
    for change in of_type(events, StateChanged):
        assert change.from_state is state
        assert change.epoch > epoch
        state, epoch = change.to_state, change.epoch
    assert state is end


def counts(breaker: Breaker) -> dict[str, int]:
    """The totals that are not zero: ``{"successes": 2}``."""
    snapshot = breaker.snapshot()
    names = ("successes", "failures", "ignored", "rejected", "late", "lost")
    return {name: getattr(snapshot, name) for name in names if getattr(snapshot, name)}
