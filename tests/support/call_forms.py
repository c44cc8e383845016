"""Every form of call, for tests that do something to each of them: take its memory, its stack, count what it leaves.

A form is called with a breaker, and whatever it needs beside it is made by `decorate` before: what happens inside a
form is the call alone. `Unguarded` is no breaker, for the same forms without one.
"""

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from functools import partial
from operator import call as called
from typing import Any

from breaker import Breaker, BreakerOpenError, Provider, State


class Broken(Exception):
    """What the functions of these tests raise, made before memory runs out."""


class Loud(Exception):
    """The same with a text of its own, which is made where it is read."""

    def __str__(self) -> str:
        return "loud"


LOUD = Loud("broken")
BROKEN = Broken("broken")
GROUP = ExceptionGroup("broken", [BROKEN, ExceptionGroup("inside", [ValueError("x"), BROKEN])])


METHOD: Any = classmethod(lambda cls: None)


def plain() -> int:
    return 5


def method(self: object) -> int:
    return 5


def fails() -> None:
    raise BROKEN


def fails_loud() -> None:
    raise LOUD


def fails_many() -> None:
    raise GROUP


async def coroutine() -> int:
    return 5


async def coroutine_fails() -> int:
    raise BROKEN


def generator() -> Iterator[int]:
    yield 5


async def async_generator() -> AsyncIterator[int]:
    yield 5


def returns_coroutine() -> Coroutine[Any, Any, int]:
    return coroutine()


def returns_future() -> Future[int]:
    return FUTURE


def returns_done_future() -> Future[int]:
    return DONE


def returns_failed_future() -> Future[int]:
    return FAILED


class Awaited:
    """What is awaited without being a coroutine."""

    def __await__(self) -> Iterator[Any]:
        return Steps()


class Steps:
    """The steps of an awaitable that does not wait."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise FIVE


class Fails(Awaited):
    def __await__(self) -> Iterator[Any]:
        raise BROKEN


class Request(Coroutine[Any, Any, int]):
    """A coroutine that is an async context manager too."""

    def __await__(self) -> Generator[Any, Any, int]:
        return self  # type: ignore[return-value]

    def __next__(self) -> Any:
        raise FIVE

    def send(self, value: Any) -> Any:
        raise FIVE

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        pass

    async def __aenter__(self) -> int:
        return 5

    async def __aexit__(self, *error: object) -> None:
        pass


@contextlib.contextmanager
def manager() -> Iterator[int]:
    yield 5


@contextlib.contextmanager
def manager_fails() -> Iterator[int]:
    raise BROKEN
    yield 5


@contextlib.asynccontextmanager
async def async_manager() -> AsyncIterator[int]:
    yield 5


def entered(made: Any) -> Any:
    with made as inside:
        return inside


FIVE = StopIteration(5)
FUTURE: Future[int]
DONE: Future[int] = Future()
DONE.set_result(5)
FAILED: Future[int] = Future()
FAILED.set_exception(BROKEN)


def followed(breaker: Breaker) -> Any:
    """A future that is done after the call returned it."""
    breaker.do(returns_future).set_result(5)
    return FUTURE.result()


def run(coroutine: Any) -> Any:
    """Drive a coroutine that does not wait. No event loop: it has allocations of its own."""
    try:
        called(coroutine.send, None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Obj:
    """Its method is decorated in `decorate`."""

    method: Any = None


OBJ = Obj()


def with_permit(breaker: Any, error: BaseException | None) -> None:
    with breaker.acquire():
        if error is not None:
            raise error


def begun(items: Any) -> Any:
    next(items)
    return items


def begun_async(items: Any) -> Any:
    run(items.__anext__())
    return items


async def exhaust(items: AsyncIterator[int]) -> list[int]:
    return [item async for item in items]


def decorate(breaker: Any, provider: Provider | None = None) -> None:
    """What the next form needs, made beside it; what the one before left in those objects goes."""
    global PROVIDER, DECORATED, DECORATED_COROUTINE, FUTURE, REJECTION
    PROVIDER = provider
    DECORATED = breaker(plain)
    DECORATED_COROUTINE = breaker(coroutine)
    Obj.method = breaker(method)
    FUTURE = Future()
    if KEPT[0] is not None:
        KEPT[0].close()
        KEPT[0] = None
    REJECTION = BreakerOpenError("a", State.OPEN)
    for raised in (BROKEN, GROUP, FIVE):
        raised.__traceback__ = raised.__context__ = None


KEPT: list[Any] = [None]
keep = partial(KEPT.__setitem__, 0)
PROVIDER: Any = None
REJECTION: Any = None
DECORATED: Any = None
DECORATED_COROUTINE: Any = None


# form → the call, and what it returns or raises where memory is there
FORMS: dict[str, tuple[Callable[[Any], object], object]] = {
    "do": (lambda b: called(b.do, int), 0),
    "do that fails": (lambda b: called(b.do, fails), Broken),
    "do that fails with its own text": (lambda b: called(b.do, fails_loud), Loud),
    "do that fails with a group": (lambda b: called(b.do, fails_many), ExceptionGroup),
    "decorated": (lambda b: called(DECORATED), 5),
    "method": (lambda b: called(OBJ.method), 5),
    "method looked up": (lambda b: getattr(OBJ, "method") is not None, True),  # noqa: B009 - the look-up is the point
    "await": (lambda b: run(called(b.do, coroutine)), 5),
    "await that fails": (lambda b: run(called(b.do, coroutine_fails)), Broken),
    "decorated coroutine": (lambda b: run(called(DECORATED_COROUTINE)), 5),
    "generator": (lambda b: [*b.do(generator)] == [5], True),
    "async generator": (lambda b: run(exhaust(b.do(async_generator))) == [5], True),
    "returned coroutine": (lambda b: run(called(b.do, returns_coroutine)), 5),
    "future": (followed, 5),
    "future that is done": (lambda b: called(b.do, returns_done_future).result(), 5),
    "future that failed": (lambda b: called(b.do, returns_failed_future).result(), Broken),
    # Not by `run`: the interpreter loses a coroutine that it cannot hand over to a Python function, or finalize.
    "awaitable": (lambda b: called(called(called(b.do, Awaited).__await__).__next__), StopIteration),
    "awaitable that fails": (lambda b: called(called(b.do, Fails).__await__), Broken),
    "awaitable dropped": (lambda b: called(b.do, Awaited) is None, False),
    "request": (lambda b: called(called(b.do, Request).send, None), StopIteration),
    "request entered": (lambda b: called(called(called(b.do, Request).__aenter__).send, None), StopIteration),
    "context manager": (lambda b: entered(called(b.do, manager)), 5),
    "context manager that fails": (lambda b: entered(called(b.do, manager_fails)), Broken),
    "async context manager": (
        lambda b: keep(called(called(b.do, async_manager).__aenter__)) or called(KEPT[0].send, None),
        StopIteration,
    ),
    "acquire": (lambda b: called(called(b.acquire).success), None),
    "acquire with": (lambda b: with_permit(b, None), None),
    "acquire that fails": (lambda b: with_permit(b, BROKEN), Broken),
    "acquire dropped": (lambda b: b.acquire() is None, False),
    "acquire that reports": (lambda b: b.acquire().failure(BROKEN), None),
    "generator closed": (lambda b: begun(b.do(generator)).close(), None),
    "generator thrown into": (lambda b: begun(b.do(generator)).throw(BROKEN), Broken),
    "generator dropped": (lambda b: begun(b.do(generator)) is None, False),
    "async generator closed": (lambda b: run(begun_async(b.do(async_generator)).aclose()), None),
    "async generator thrown into": (lambda b: run(begun_async(b.do(async_generator)).athrow(BROKEN)), Broken),
    "coroutine closed": (lambda b: b.do(coroutine).close(), None),
    "decorate": (lambda b: b(fails) is None, False),
    "decorated inside a class": (lambda b: b(METHOD) is None, False),
    "get": (lambda b: PROVIDER.get_breaker("another").name, "another"),
    "show": (lambda b: (repr(b), repr(DECORATED), str(REJECTION), repr(REJECTION)) is None, False),
    "read": (lambda b: (b.snapshot(), b.state, b.mode, b.policy, b.retry_after) is None, False),
    "operate": (lambda b: (b.force_open(), b.clear_override(), b.shadow(), b.clear_override()) is None, False),
}
# Those that ask for no leave.
NO_CALLS = frozenset({"method looked up", "decorate", "decorated inside a class", "read", "operate", "get", "show"})
NO_CALLS |= {"coroutine closed"}


class Unguarded:
    """In a breaker's place: what it runs is run by the interpreter alone."""

    do: Any = staticmethod(called)
    acquire: Any = staticmethod(threading.Lock)

    def __call__(self, fn: Any) -> Any:
        return fn


class Refused(Unguarded):
    """The same in the place of one that rejects."""

    do = acquire = staticmethod(dict[Any, Any]().__getitem__)

    def __call__(self, fn: Any) -> Any:
        return dict[Any, Any]().popitem
