"""At the bottom of a runaway recursion: a rejection is a rejection, an end is an end, and every opening is told.

Each call is tried at every depth from well above the limit down to it, so that each step of ours is once the one that
finds no room.
"""

import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider, State, get_default_config
from breaker.events import StateChanged
from breaker.testing import ManualClock, trip
from support.call_forms import Awaited, async_manager, entered, manager, returns_done_future
from support.processes import in_a_process

CONFIG = get_default_config("svc", "dev")


def plain() -> int:
    return 5


def fails() -> int:
    raise ValueError("broken")


async def coroutine() -> int:
    return 5


def generator() -> Iterator[int]:
    yield 5


async def async_generator() -> AsyncIterator[int]:
    yield 5


def last_of(awaitable: Any) -> object:
    try:
        return ("waits", awaitable.send(None))
    except StopIteration as end:
        return end.value


FORMS: dict[str, Callable[[Breaker], object]] = {
    "do": lambda breaker: breaker.do(plain),
    "decorated": lambda breaker: breaker(plain)(),
    "acquire": lambda breaker: breaker.acquire().success(),
    "for": lambda breaker: [*breaker.do(generator)],
    "next": lambda breaker: next(breaker.do(generator), "nothing"),
    "send": lambda breaker: breaker.do(generator).send(None),  # type: ignore[attr-defined]
    "await": lambda breaker: last_of(breaker.do(coroutine)),
    "next of an awaitable": lambda breaker: next(breaker.do(coroutine).__await__(), "nothing"),
    "async next": lambda breaker: last_of(breaker.do(async_generator).__anext__()),
    "async next by hand": lambda breaker: next(breaker.do(async_generator).__anext__(), "nothing"),  # type: ignore[call-overload]
    "future": lambda breaker: breaker.do(returns_done_future).result(),
    "awaitable": lambda breaker: last_of(breaker.do(Awaited).__await__()),
    "context manager": lambda breaker: entered(breaker.do(manager)),
    "async context manager": lambda breaker: last_of(breaker.do(async_manager).__aenter__()),
    "aclose": lambda breaker: last_of(breaker.do(async_generator).aclose()),  # type: ignore[attr-defined]
}


def at_each_depth(call: Callable[[], object]) -> list[object]:
    """What the call gives when so few frames are left as 0, 1, 2, …: its value, or the error that it raises."""
    given: list[object] = []

    def down(left: int) -> object:
        return call() if left == 0 else down(left - 1)

    used = len(list(_frames()))
    for left in range(sys.getrecursionlimit() - used - 60, sys.getrecursionlimit() - used + 1):
        try:
            given.append(down(left))
        except Exception as error:
            error.__traceback__ = None
            given.append(error)
    return given


def _frames() -> Iterator[object]:
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back  # type: ignore[assignment]


@pytest.mark.parametrize("form", FORMS)
@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_rejection_at_the_recursion_limit_is_an_error(form: str) -> None:
    clock = ManualClock()
    breaker = Provider(CONFIG, default_policy=Policy(1, 1, 60.0), clock=clock).get_breaker("a")
    trip(breaker, ValueError("broken"))
    rejected = 0
    for given in at_each_depth(lambda: FORMS[form](breaker)):
        if form == "aclose":  # closing what has not begun asks nobody
            assert given is None or isinstance(given, RecursionError), given
            continue
        assert isinstance(given, BreakerOpenError | RecursionError), given
        rejected += isinstance(given, BreakerOpenError)
    assert rejected or form == "aclose"
    assert breaker.state is State.OPEN
    clock.advance(60)
    assert breaker.do(plain) == 5
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("form", FORMS)
@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_call_at_the_recursion_limit_ends_in_one_count(form: str) -> None:
    breaker = Provider(CONFIG, default_policy=Policy(10**9)).get_breaker("a")
    breaker.snapshot()
    for given in at_each_depth(lambda: FORMS[form](breaker)):
        assert given in (5, [5], None, "nothing") or isinstance(given, RecursionError), given
        if form in ("for", "async next", "next", "send"):
            assert given in (5, [5]) or isinstance(given, RecursionError), given
    seen = breaker.snapshot()
    assert seen.successes + seen.failures + seen.ignored <= 61


@pytest.mark.parametrize("listeners", [1, 3])
@in_a_process()
def test_an_opening_at_the_recursion_limit_is_told_in_an_unbroken_chain(listeners: int) -> None:
    # S79
    clock = ManualClock()
    provider = Provider(CONFIG, default_policy=Policy(1, 1, 60.0), clock=clock)
    told: list[list[Any]] = [[] for _ in range(listeners)]
    for each in told:
        provider.subscribe(each.append)
    breaker = provider.get_breaker("a")

    def open_and_close() -> None:
        try:
            breaker.do(fails)
        finally:
            breaker.reset()

    at_each_depth(open_and_close)
    breaker.reset()
    for each in told:
        moves = [event for event in each if isinstance(event, StateChanged)]
        assert moves, "nothing was told"
        assert moves[0].from_state is State.CLOSED
        for before, after in itertools.pairwise(moves):
            assert before.to_state is after.from_state
            assert before.epoch < after.epoch
        assert moves[-1].to_state is State.CLOSED
    openings = sum(event.to_state is State.OPEN for event in told[0] if isinstance(event, StateChanged))
    assert openings == breaker.snapshot().failures


@in_a_process()
def test_openings_of_a_recursion_that_runs_away_are_told() -> None:
    provider = Provider(CONFIG, default_policy=Policy(1, 1, 60.0))
    told: list[Any] = []
    provider.subscribe(told.append)
    breaker = provider.get_breaker("a")

    def runs_away() -> None:
        with contextlib.suppress(RecursionError):
            runs_away()
        with contextlib.suppress(ValueError, RecursionError, BreakerOpenError):
            breaker.do(fails)

    runs_away()
    assert breaker.state is State.OPEN
    breaker.reset()
    moves = [event for event in told if isinstance(event, StateChanged)]
    assert [event.to_state for event in moves] == [State.OPEN, State.CLOSED]
