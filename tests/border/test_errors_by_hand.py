"""Errors that the core handles by hand: of predicates, clocks and classes that misbehave, none is swallowed or turned
into a value, and the call is settled all the same.

A coroutine or an iterator ends by StopIteration, so one that comes from anywhere else would be taken for its end. As in
Python's own generators (PEP 479) it becomes a RuntimeError.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Make, trip
from support.reading import counts

STOPS = (StopIteration, StopAsyncIteration)


async def coroutine() -> int:
    return 5


def generator() -> Iterator[int]:
    yield 5


async def async_generator() -> AsyncIterator[int]:
    yield 5


class Clock:
    """Shows 0, or raises."""

    error: BaseException | None = None

    def __call__(self) -> int:
        if self.error is not None:
            raise self.error
        return 0


class FailingClock(ManualClock):
    """A manual clock that can be told to raise."""

    error: BaseException | None = None

    def __call__(self) -> int:
        if self.error is not None:
            raise self.error
        return super().__call__()


@pytest.fixture
def clock() -> FailingClock:
    return FailingClock()


async def exhaust(items: AsyncIterator[int]) -> list[int]:
    return [item async for item in items]


def awaited(breaker: Breaker) -> object:
    return asyncio.run(_await(breaker.do(coroutine)))


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


FORMS: dict[str, Callable[[Breaker], object]] = {
    "await": awaited,
    "send": lambda breaker: breaker.do(coroutine).send(None),
    "next of an awaitable": lambda breaker: next(breaker.do(coroutine).__await__()),
    "for": lambda breaker: list(breaker.do(generator)),
    "send to a generator": lambda breaker: breaker.do(generator).send(None),  # type: ignore[attr-defined]
    "async for": lambda breaker: asyncio.run(exhaust(breaker.do(async_generator))),
    "send to a step": lambda breaker: breaker.do(async_generator).__anext__().send(None),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("form", FORMS)
def test_a_clock_that_raises_a_stop_at_admission_is_no_end(
    make_breaker: Make, clock: FailingClock, form: str, stop: type[Exception]
) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    before = counts(breaker)
    clock.error = stop("of the clock")
    with pytest.raises((RuntimeError, stop)) as caught:
        FORMS[form](breaker)
    ends_it = StopAsyncIteration if form in ("async for", "send to a step") else StopIteration
    if stop is ends_it or stop is StopIteration:
        assert type(caught.value) is RuntimeError
        assert clock.error in (caught.value.__cause__, caught.value.__context__)
    clock.error = None
    assert counts(breaker) == before


@pytest.mark.parametrize("form", ["await", "send", "next of an awaitable"])
def test_a_predicate_that_raises_a_stop_is_no_value(make_breaker: Make, form: str) -> None:
    error = StopIteration("of the predicate")

    def predicate(value: object) -> bool:
        raise error

    breaker = make_breaker(Policy(3, 1, 60), failed_result=predicate)
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        FORMS[form](breaker)
    assert caught.value.__cause__ is error
    assert counts(breaker) == {"failures": 1}


def test_a_predicate_that_raises_a_stop_from_do_is_raised_as_it_is(make_breaker: Make) -> None:
    error = StopIteration("of the predicate")

    def predicate(value: object) -> bool:
        raise error

    breaker = make_breaker(Policy(3, 1, 60), failed_result=predicate)
    with pytest.raises(StopIteration) as caught:
        breaker.do(int)
    assert caught.value is error
    assert counts(breaker) == {"failures": 1}


@pytest.mark.parametrize("form", ["for", "async for", "await"])
def test_a_clock_that_raises_a_stop_at_the_end_is_no_end(make_breaker: Make, clock: FailingClock, form: str) -> None:
    breaker = make_breaker(Policy(1, 2, 60))
    trip(breaker)
    clock.advance(60)

    def late_generator() -> Iterator[int]:
        yield 5
        clock.error = StopIteration("of the clock")

    async def late_async_generator() -> AsyncIterator[int]:
        yield 5
        clock.error = StopAsyncIteration("of the clock")

    async def late_coroutine() -> int:
        clock.error = StopIteration("of the clock")
        return 5

    forms: dict[str, Callable[[], object]] = {
        "for": lambda: list(breaker.do(late_generator)),
        "async for": lambda: asyncio.run(exhaust(breaker.do(late_async_generator))),
        "await": lambda: asyncio.run(_await(breaker.do(late_coroutine))),
    }
    with pytest.raises(RuntimeError):
        forms[form]()
    clock.error = None
    snapshot = breaker.snapshot()
    assert (snapshot.successes, snapshot.half_open_in_flight) == (1, 0)


class Nameless(type):
    """A metaclass whose classes do not tell their name."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise LookupError("no name")


class NamelessError(Exception, metaclass=Nameless):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


class Interrupting(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class NotText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


def raised_by(call: Callable[[], object]) -> BaseException | None:
    """What a call raises. Not `pytest.raises`: it asks for names of classes that do not tell them."""
    try:
        call()
    except BaseException as error:
        error.__traceback__ = None
        return error
    return None


def raising(error: BaseException) -> Callable[[], object]:
    def fails() -> object:
        raise error

    return fails


@pytest.mark.parametrize(
    "kind",
    [NamelessError, Unprintable, Interrupting, NotText],
    ids=["nameless", "unprintable", "interrupting", "not text"],
)
def test_an_error_that_cannot_be_described_is_counted_and_raised_as_it_is(make_breaker: Make, kind: Any) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    error = kind()
    assert raised_by(lambda: breaker.do(raising(error))) is error
    assert (breaker.state, counts(breaker)) == (State.OPEN, {"failures": 1})
    with pytest.raises(BreakerOpenError) as rejected:
        breaker.do(int)
    assert kind.__qualname__ in str(rejected.value.last_error) or kind is NamelessError
    assert str(rejected.value).startswith("circuit breaker")


@pytest.mark.parametrize(
    "kind",
    [NamelessError, Unprintable, Interrupting, NotText],
    ids=["nameless", "unprintable", "interrupting", "not text"],
)
def test_an_error_that_cannot_be_described_gives_its_probe_slot_back(
    make_breaker: Make, clock: FailingClock, kind: Any
) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    clock.advance(60)
    assert isinstance(raised_by(lambda: breaker.do(raising(kind()))), kind)
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.state is State.OPEN


def test_the_text_of_a_failure_without_an_exception_is_kept_when_the_clock_fails(
    make_breaker: Make, clock: FailingClock
) -> None:
    breaker = make_breaker(Policy(1, 1, 60), failed_result=bool)

    def broken() -> int:
        clock.error = LookupError("no time")
        return 1

    with pytest.raises(LookupError, match="no time"):
        breaker.do(broken)
    clock.error = None
    with pytest.raises(BreakerOpenError) as rejected:
        breaker.do(int)
    assert rejected.value.last_error == "failed result"


def test_no_error_is_its_own_context(make_breaker: Make, clock: FailingClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    error = ValueError("of the function and of the clock")

    def fails() -> None:
        clock.error = error
        raise error

    with pytest.raises(ValueError, match="of the function") as caught:
        breaker.do(fails)
    assert caught.value is error
    seen, at = set(), error.__context__
    while at is not None:
        assert id(at) not in seen
        assert at is not error
        seen.add(id(at))
        at = at.__context__
    assert breaker.state is State.OPEN


def test_the_error_of_a_clock_has_the_error_of_the_function_as_its_context(
    make_breaker: Make, clock: FailingClock
) -> None:
    breaker = make_breaker(Policy(1, 1, 60))

    def fails() -> None:
        clock.error = LookupError("no time")
        raise ValueError("of the function")

    with pytest.raises(LookupError, match="no time") as caught:
        breaker.do(fails)
    assert isinstance(caught.value.__context__, ValueError)
    assert breaker.state is State.OPEN


class Interrupted:
    """Interrupts whoever asks what it is; it might run later."""

    def __await__(self) -> Iterator[object]:
        yield None

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise KeyboardInterrupt


def test_an_interrupt_while_a_value_is_looked_at_reaches_the_caller(make_breaker: Make, clock: FailingClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    with pytest.raises(KeyboardInterrupt):
        breaker.do(Interrupted)
    assert breaker.snapshot().successes == 0
    trip(breaker)
    clock.advance(60)
    with pytest.raises(KeyboardInterrupt):
        breaker.do(Interrupted)
    assert breaker.snapshot().half_open_in_flight == 0


@pytest.mark.parametrize("form", ["do", "decorated", "acquire"])
def test_an_interrupt_of_the_clock_at_admission_admits_nothing(
    make_breaker: Make, clock: FailingClock, form: str
) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    trip(breaker)
    clock.advance(60)
    clock.error = KeyboardInterrupt()
    ask: dict[str, Callable[[], object]] = {
        "do": lambda: breaker.do(int),
        "decorated": breaker(int),
        "acquire": breaker.acquire,
    }
    with pytest.raises(KeyboardInterrupt):
        ask[form]()
    clock.error = None
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.do(int) == 0


CODES: dict[str, Any] = {
    "plain": lambda: 5,
    "coroutine": coroutine,
    "generator": generator,
    "async generator": async_generator,
}


@pytest.mark.filterwarnings("ignore:Assigning a code object of non-matching type")  # from 3.13 on
# From 3.13 on: the new code is of another kind, which is what is tried.
@pytest.mark.filterwarnings("ignore:Assigning a code object of non-matching type:DeprecationWarning")
@pytest.mark.parametrize("after", CODES)
@pytest.mark.parametrize("before", CODES)
def test_a_function_whose_code_is_replaced_is_of_the_kind_of_its_new_code(
    make_breaker: Make, before: str, after: str
) -> None:
    breaker = make_breaker(Policy(1, 1, 60))

    def given() -> Any:
        return 5

    given.__code__ = CODES[before].__code__
    guarded = breaker(given)
    given.__code__ = CODES[after].__code__
    value: Any = guarded()
    if after == "coroutine":
        assert asyncio.run(_await(value)) == 5
    elif after == "generator":
        assert list(value) == [5]
    elif after == "async generator":
        assert asyncio.run(exhaust(value)) == [5]
    else:
        assert value == 5
    assert counts(breaker) == {"successes": 1}
    for asks, kind in (
        (inspect.iscoroutinefunction, "coroutine"),
        (inspect.isgeneratorfunction, "generator"),
        (inspect.isasyncgenfunction, "async generator"),
    ):
        assert asks(guarded) == (after == kind)
