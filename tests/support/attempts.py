"""What anybody may try with any object, and an object of each type of the core to try it with."""

import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Any

from breaker import Breaker
from support.call_forms import Awaited, Request, manager

CORE = "breaker._core"


# What anybody may try with any object. Each is tried on each, also where the type does not have it.
OPERATIONS: tuple[Callable[[Any], object], ...] = (
    repr,
    str,
    hash,
    bool,
    lambda o: o == o,
    lambda o: [getattr(o, name, None) for name in dir(o)],
    lambda o: [
        getattr(o, name, None) for name in ("cr_frame", "gi_frame", "ag_frame", "cr_await", "__name__", "__code__")
    ],
    lambda o: o(),
    lambda o: o(1, a=2),
    lambda o: o(print),
    lambda o: o.__call__(),
    lambda o: o.__get__(1, int),
    lambda o: o.__get__(1, int)(),
    lambda o: o.__get__(None, int),
    lambda o: o.__reduce__(),
    lambda o: o.__reduce_ex__(2),
    iter,
    next,
    len,
    lambda o: o.send(None),
    lambda o: o.send(1),
    lambda o: o.throw(ValueError("thrown in")),
    lambda o: o.close(),
    lambda o: o.__await__().send(None),
    lambda o: o.__aiter__(),
    lambda o: o.__anext__().send(None),
    lambda o: o.asend(None).send(None),
    lambda o: o.athrow(ValueError("thrown in")).send(None),
    lambda o: o.aclose().send(None),
    lambda o: o.success(),
    lambda o: o.failure(ValueError("reported")),
    lambda o: o.ignore(),
    lambda o: o.__enter__(),
    lambda o: o.__exit__(None, None, None),
    lambda o: o.__exit__(ValueError, ValueError("left"), None),
    lambda o: o.__aenter__().send(None),
    lambda o: o.__aexit__(None, None, None),
    lambda o: o.set_result(1),
    lambda o: o.gen,
    lambda o: o.do(int),
    lambda o: o.do(coroutine).close(),
    lambda o: o.acquire(),
    lambda o: o.snapshot(),
    lambda o: (o.state, o.mode, o.policy, o.retry_after, o.name),
    lambda o: o.override(None),
    lambda o: (o.force_open(), o.clear_override()),
    lambda o: o.reset(),
    lambda o: o.get_breaker("a"),
    lambda o: o.get_breaker("another"),
    lambda o: o.listeners,
)


def exercise(found: object) -> None:
    """Try every operation. Errors are an answer; a crash is none."""
    for operate in OPERATIONS:
        with contextlib.suppress(Exception):
            operate(found)


def of_the_core() -> list[Any]:
    """All objects of the core's types that the collector knows, exceptions that it raised too."""
    return [found for found in gc.get_objects() if any(kind.__module__ == CORE for kind in type(found).__mro__[:-1])]


_exercising: list[bool] = []


def exercise_all() -> None:
    """Not from inside itself: the operations call clocks and predicates that look again."""
    if not _exercising:
        _exercising.append(True)
        try:
            for found in of_the_core():
                exercise(found)
        finally:
            _exercising.clear()


async def coroutine(value: object = None) -> object:
    return value


def generator() -> Iterator[int]:
    yield 1
    yield 2


async def async_generator() -> AsyncIterator[int]:
    yield 1
    yield 2


def plain(*arguments: object, **named: object) -> object:
    return arguments or named


def things(breaker: Breaker) -> dict[str, Any]:
    """One object of each type that a breaker makes, not used yet."""
    return {
        "function": breaker(plain),
        "coroutine function": breaker(coroutine),
        "coroutine": breaker.do(coroutine),
        "generator": breaker.do(generator),
        "async generator": breaker.do(async_generator),
        "async step": breaker.do(async_generator).__anext__(),
        "awaitable": breaker.do(Awaited),
        "steps of an awaitable": breaker.do(Awaited).__await__(),
        "request": breaker.do(Request),
        "future": breaker.do(Future),
        "context manager": breaker.do(manager),
        "permit": breaker.acquire(),
        "breaker": breaker,
    }


KINDS = (
    "function",
    "coroutine function",
    "coroutine",
    "generator",
    "async generator",
    "async step",
    "awaitable",
    "steps of an awaitable",
    "request",
    "future",
    "context manager",
    "permit",
    "breaker",
)
