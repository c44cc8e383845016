"""Which callables are coroutine functions and generator functions: objects, marks, what shows a function's code."""

import asyncio
import functools
import inspect
import sys
import types
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

import pytest
import tenacity

from breaker import BreakerOpenError, Policy, Provider
from support.drive import CONFIG, Boom, Make
from support.reading import counts
from support.scripts import drive

GLOBAL = Provider(CONFIG).get_breaker("global")


@GLOBAL
async def later(x: int) -> int:
    return x


class AsyncCall:
    async def __call__(self, x: int = 0) -> int:
        return x


# Objects that are coroutine functions


ASYNC: dict[str, Callable[[], Any]] = {
    "object": AsyncCall,
    "AsyncMock": lambda: mock.AsyncMock(return_value=1),
    "partial of an object": lambda: functools.partial(AsyncCall(), 1),
    "marked": lambda: marked(lambda x=0: later(x)),
    "marked object": lambda: marked(PlainLater()),
}


class PlainLater:
    def __call__(self, x: int = 0) -> Coroutine[Any, Any, int]:
        return later(x)


def marked(fn: Any) -> Any:
    if sys.version_info < (3, 12):
        import asyncio.coroutines

        fn._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # as asyncio marked before
        return fn if isinstance(fn, PlainLater) else AsyncCall()
    return inspect.markcoroutinefunction(fn)


@pytest.mark.parametrize("kind", ASYNC)
@pytest.mark.parametrize("decorated", [False, True])
def test_it_is_admitted_when_it_is_awaited(make_breaker: Make, kind: str, decorated: bool) -> None:
    # S31
    breaker = make_breaker(Policy(1, 1, 60))
    do: Any = breaker.do
    called = breaker(ASYNC[kind]()) if decorated else functools.partial(do, ASYNC[kind]())
    assert drive(called())[0] == "stop"
    made = called()
    breaker.acquire().failure()
    assert drive(made)[1] is BreakerOpenError
    assert counts(breaker) == {"successes": 1, "failures": 1, "rejected": 1}


@pytest.mark.parametrize("kind", ["object", "AsyncMock", "partial of an object"])
def test_who_asks_sees_a_coroutine_function(make_breaker: Make, kind: str) -> None:
    assert inspect.iscoroutinefunction(make_breaker(Policy())(ASYNC[kind]()))


def test_tenacity_around_it_tries_again(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    class Fails:
        async def __call__(self) -> None:
            raise Boom("x")

    guarded: Any = breaker(Fails())
    retried = tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True)(guarded)
    with pytest.raises(Boom):
        asyncio.run(retried())
    assert counts(breaker) == {"failures": 3}


# Functions that are marked later, and objects that show the code of one


class Wrapper:
    """As wrapt makes them: an object that shows what it wraps, and its code."""

    def __init__(self, wrapped: Any) -> None:
        self.__wrapped__, self.__code__, self.__name__ = wrapped, wrapped.__code__, "wrapper"

    def __call__(self, *args: Any) -> Any:
        return self.__wrapped__(*args)


def a_generator_of(x: int) -> Any:
    yield x


@pytest.mark.parametrize(
    ("inside", "kind"),
    [(lambda x: x, int), (a_generator_of, types.GeneratorType), (inspect.unwrap(later), types.CoroutineType)],
    ids=["plain", "generator", "coroutine"],
)
def test_an_object_with_the_code_of_a_function_is_of_its_kind(make_breaker: Make, inside: Any, kind: type) -> None:
    # S31
    breaker = make_breaker(Policy())
    results: list[Any] = [breaker.do(Wrapper(inside), 5), breaker(Wrapper(inside))(5)]
    assert all(isinstance(made, kind) for made in results)
    for made in results:
        if kind is int:
            assert made == 5
        else:
            made.close()
    assert counts(breaker) == ({"successes": 2} if kind is int else {})


def test_a_mark_that_is_put_on_a_decorated_function_counts(make_breaker: Make) -> None:
    # S31
    breaker = make_breaker(Policy(1))
    inside = inspect.unwrap(later)

    @breaker
    def guarded(x: int = 0) -> Any:
        return inside(x)

    name = "_is_coroutine_marker" if sys.version_info >= (3, 12) else "_is_coroutine"
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(guarded)
    else:
        guarded._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    assert asyncio.iscoroutinefunction(guarded) if sys.version_info < (3, 12) else inspect.iscoroutinefunction(guarded)
    other = make_breaker(Policy(1))
    for function in (guarded, other(guarded), functools.partial(guarded), other(functools.partial(guarded))):
        function().close()
    assert counts(breaker) == {}  # none of them was awaited, so none was admitted
    delattr(guarded, name)
    made = guarded(3)
    assert drive(made) == ("stop", 3)
    breaker.acquire().failure()
    with pytest.raises(BreakerOpenError):
        guarded()  # admitted at the call again
