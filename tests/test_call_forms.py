"""`do` and the decorator: which callables are recognised, what they pass on, and how a decorated function looks."""

import asyncio
import functools
import inspect
import pickle
import sys
import weakref
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Config, Policy, Provider
from support.drive import Boom, Make, counts
from support.scripts import drive

GLOBAL = Provider(Config("svc", "/config/dev/svc/breakers/")).get_breaker("global")


@GLOBAL
def by_reference(x: int) -> int:
    """Doc."""
    return x


async def coroutine(x: int = 0, *, y: int = 1) -> int:
    return x + y


def generator(x: int = 0) -> Any:
    yield x


async def async_generator(x: int = 0) -> Any:
    yield x


class Thing:
    async def coroutine(self) -> Any:
        return self

    def generator(self) -> Any:
        yield self

    async def async_generator(self) -> Any:
        yield self

    async def __call__(self) -> Any:
        return self


LAZY: list[Any] = [coroutine, generator, async_generator, Thing().coroutine, Thing().generator, Thing().async_generator]


@pytest.mark.parametrize("function", LAZY, ids=lambda fn: fn.__qualname__)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda breaker, fn: fn,
        lambda breaker, fn: functools.partial(fn),
        lambda breaker, fn: functools.partial(functools.partial(fn)),
        lambda breaker, fn: breaker(fn),
        lambda breaker, fn: functools.partial(breaker(fn)),
        lambda breaker, fn: breaker(breaker(fn)),
    ],
    ids=["itself", "partial", "partial of partial", "decorated", "partial of decorated", "decorated twice"],
)
def test_what_runs_later_is_not_admitted_at_the_call(make_breaker: Make, function: Any, wrap: Any) -> None:
    other, breaker = make_breaker(Policy(), name="other"), make_breaker(Policy(1, 1, 60))
    breaker.acquire().failure()
    later = breaker.do(wrap(other, function))
    assert counts(breaker) == {"failures": 1}
    first = later.send if hasattr(later, "send") else later.__anext__().send
    with pytest.raises(BreakerOpenError):
        first(None)


@pytest.mark.parametrize(
    "function",
    [Thing(), len, Thing, str.upper, lambda *_: None, functools.partial(len)],
    ids=lambda fn: type(fn).__name__,
)
def test_other_callables_are_admitted_at_the_call(make_breaker: Make, function: Any) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    breaker.acquire().failure()
    for call in (lambda: breaker.do(function, "x"), lambda: breaker(function)("x")):
        with pytest.raises(BreakerOpenError):
            call()


def everything(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    return args, kwargs


@pytest.mark.parametrize("args", [(), (1,), (1, 2, 3), tuple(range(300))], ids=len)
@pytest.mark.parametrize(
    "kwargs", [{}, {"a": 1}, {"fn": 1, "self": 2, "args": 3}, {f"k{n}": n for n in range(300)}], ids=len
)
def test_arguments_are_passed_on_as_they_are(make_breaker: Make, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    breaker = make_breaker(Policy())

    class Owner:
        method = breaker(everything)

    owner = Owner()
    assert breaker.do(everything, *args, **kwargs) == (args, kwargs)
    assert breaker(everything)(*args, **kwargs) == (args, kwargs)
    assert breaker(everything).__call__(*args, **kwargs) == (args, kwargs)
    assert functools.partial(breaker.do, everything)(*args, **kwargs) == (args, kwargs)
    assert Breaker.do(breaker, everything, *args, **kwargs) == (args, kwargs)
    if "self" not in kwargs:
        assert owner.method(*args, **kwargs) == ((owner, *args), kwargs)
        assert breaker.do(functools.partial(everything, owner), *args, **kwargs) == ((owner, *args), kwargs)


def test_do_needs_a_function(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    untyped: Any = breaker
    for call in (untyped.do, lambda: untyped.do(fn=len)):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'fn'"):
            call()
    with pytest.raises(TypeError, match="not callable"):
        untyped.do(5)
    for thing in (None, 5, "text"):
        with pytest.raises(TypeError, match="can only protect something callable"):
            untyped(thing)


def test_signatures_are_told_honestly(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    assert str(inspect.signature(breaker.do)) == "(fn, /, *args, **kwargs)"
    assert str(inspect.signature(Breaker.do)) == "(self, fn, /, *args, **kwargs)"
    assert str(inspect.signature(Provider.get_breaker)).startswith("(self, /, name, *, failure_on=None")
    assert (inspect.getdoc(breaker.do) or "").startswith("Run ``fn(*args, **kwargs)`` under protection")
    for function in (coroutine, generator, async_generator, by_reference):
        assert inspect.signature(breaker(function)) == inspect.signature(function)


@pytest.mark.parametrize(
    "function", [*LAZY, everything, functools.partial(coroutine, 1)], ids=lambda fn: type(fn).__name__
)
def test_a_decorated_function_is_of_the_kind_of_the_function(make_breaker: Make, function: Any) -> None:
    guarded = make_breaker(Policy())(function)
    for ask in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert ask(guarded) == ask(function), ask.__name__
    if sys.version_info < (3, 14):
        assert asyncio.iscoroutinefunction(guarded) == asyncio.iscoroutinefunction(function)
    assert guarded.__wrapped__ is function
    assert weakref.ref(guarded)() is guarded


def test_a_decorated_function_keeps_what_it_is_known_by(make_breaker: Make) -> None:
    assert (by_reference.__name__, by_reference.__doc__, by_reference.__module__) == ("by_reference", "Doc.", __name__)
    assert by_reference.__annotations__ == {"x": int, "return": int}
    assert pickle.loads(pickle.dumps(by_reference)) is by_reference

    @functools.wraps(by_reference)
    def around(x: int) -> int:
        return by_reference(x)

    assert inspect.unwrap(around) is by_reference.__wrapped__
    by_reference.note = "attributes may be set, as on any function"  # type: ignore[attr-defined]
    assert vars(by_reference)["note"].startswith("attributes")
    with pytest.raises(AttributeError, match="nothing"):
        by_reference.nothing  # type: ignore[attr-defined]  # noqa: B018 - the read is the point


def test_a_decorated_method_binds(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    class Base:
        @breaker
        def method(self, x: int) -> Any:
            return self, x

        @breaker
        async def later(self) -> Any:
            return self

        @breaker
        @staticmethod
        def static(x: int) -> int:
            return x

        @staticmethod
        @breaker
        def static_outside(x: int) -> int:
            return x

        @breaker
        @classmethod
        def made(cls) -> Any:
            return cls

        @property
        @breaker
        def size(self) -> Any:
            return self

    class Child(Base):
        def method(self, x: int) -> Any:
            return super().method(x + 1)

    child = Child()
    assert child.method(1) == (child, 2)
    assert Base.method(child, 1) == (child, 1)
    assert drive(child.later()) == ("stop", child)
    assert (child.static(1), Base.static(1), child.static_outside(1)) == (1, 1, 1)
    assert (child.made(), Child.made(), Base.made(), child.size) == (Child, Child, Base, child)
    bound = Base().method
    assert bound.__self__.method == bound
    assert counts(breaker)["successes"] == 10


def test_calls_may_nest_and_recurse(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    @breaker
    def down(n: int) -> int:
        return n and breaker.do(down, n - 1) + 1

    assert down(50) == 50
    assert counts(breaker) == {"successes": 101}

    def for_ever() -> Any:
        return breaker.do(for_ever)

    with pytest.raises(RecursionError):
        for_ever()


def test_a_stop_iteration_of_a_plain_function_is_an_exception_like_any(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(5))
    with pytest.raises(StopIteration):
        breaker.do(next, iter(()))
    assert counts(breaker) == {"failures": 1}


def test_the_traceback_of_an_error_shows_no_frame_of_the_breaker(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))

    def fails() -> None:
        raise Boom("x")

    with pytest.raises(Boom) as caught:
        breaker.do(fails)
    assert [entry.name for entry in caught.traceback][-2:] == [sys._getframe().f_code.co_name, "fails"]
    with pytest.raises(BreakerOpenError) as refused:
        breaker.do(fails)
    assert len(refused.traceback) == 1
