"""Ways to drive a breaker in a test, each of which also checks what it did."""

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

import pytest

from breaker import Breaker, BreakerOpenError, Config, Policy, Provider, State

NAME = "http:payment-api"
PATH = "/config/dev/svc/breakers/"
CONFIG = Config("svc", PATH)

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


def recovers_after(breaker: Breaker, clock: Clock, seconds: float) -> None:
    """OPEN to CLOSED by one probe, which runs after these seconds and not a millisecond before."""
    clock.advance(seconds - 0.001)
    rejected(breaker)
    clock.advance(0.001)
    succeed(breaker)
    assert breaker.state is State.CLOSED


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
