"""`do`: which callables are recognised, what is passed on to them, and what becomes of what they return or raise."""

import functools
import inspect
import types
from collections.abc import Callable, Generator
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from support.drive import Boom, Make, fail, identity, raiser
from support.reading import counts
from support.scripts import drive, drive_raw


async def coroutine(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def generator(*args: Any, **kwargs: Any) -> Any:
    yield args, kwargs


async def async_generator(*args: Any, **kwargs: Any) -> Any:
    yield args, kwargs


class Thing:
    async def coroutine(self, *_: Any) -> Any:
        return self

    def generator(self, *_: Any) -> Any:
        yield self

    async def async_generator(self, *_: Any) -> Any:
        yield self

    @staticmethod
    async def static(*_: Any) -> Any:
        return None

    @classmethod
    async def made(cls, *_: Any) -> Any:
        return cls

    async def __call__(self, *_: Any) -> Any:
        return self


LAZY: list[Any] = [
    *(coroutine, generator, async_generator, Thing.static, Thing.made, Thing().static, Thing().made),
    *(Thing().coroutine, Thing().generator, Thing().async_generator, Thing().__call__, Thing()),
]
WRAPS: dict[str, Callable[[Breaker, Any], Any]] = {
    "itself": lambda breaker, fn: fn,
    "partial": lambda breaker, fn: functools.partial(fn),
    "partial of partial": lambda breaker, fn: functools.partial(functools.partial(fn)),
    "partial that is one": lambda breaker, fn: type("Partial", (functools.partial,), {})(fn),
    "decorated": lambda breaker, fn: breaker(fn),
    "partial of decorated": lambda breaker, fn: functools.partial(breaker(fn)),
    "decorated twice": lambda breaker, fn: breaker(breaker(fn)),
    "bound": lambda breaker, fn: types.MethodType(fn, "self"),
    "bound decorated": lambda breaker, fn: types.MethodType(breaker(fn), "self"),
    "partial of bound partial": lambda breaker, fn: functools.partial(types.MethodType(functools.partial(fn), "self")),
}


def first_step(later: Any) -> Any:
    return later.send if hasattr(later, "send") else later.__anext__().send


@pytest.mark.parametrize("function", LAZY, ids=lambda fn: getattr(fn, "__qualname__", "callable object"))
@pytest.mark.parametrize("wrap", WRAPS)
def test_what_runs_later_is_not_admitted_at_the_call(make_breaker: Make, function: Any, wrap: str) -> None:
    # S31
    other, breaker = make_breaker(Policy(), name="other"), make_breaker(Policy(1, 1, 60))
    breaker.acquire().failure()
    later = breaker.do(WRAPS[wrap](other, function))
    assert counts(breaker) == {"failures": 1}
    with pytest.raises(BreakerOpenError):
        first_step(later)(None)
    assert counts(other) == {}


@pytest.mark.parametrize(
    "function",
    [len, Thing, str.upper, lambda *_: None, functools.partial(len), print, [].append, "x".join, Breaker.do],
    ids=lambda fn: getattr(fn, "__qualname__", type(fn).__name__),
)
def test_other_callables_are_admitted_at_the_call(make_breaker: Make, function: Any) -> None:
    # S30
    breaker = make_breaker(Policy(1, 1, 60))
    breaker.acquire().failure()
    for call in (lambda: breaker.do(function, "x"), lambda: breaker(function)("x")):
        with pytest.raises(BreakerOpenError):
            call()


@pytest.mark.parametrize("function", LAZY[:3], ids=lambda fn: fn.__name__)
def test_what_a_plain_callable_returns_is_admitted_at_the_call_and_settles_at_its_end(
    make_breaker: Make, function: Any
) -> None:
    # S32
    breaker = make_breaker(Policy(1, 1, 60))
    later: Any = breaker.do(lambda: function())
    dropped = breaker.do(lambda: function())
    assert counts(breaker) == {}
    if hasattr(dropped, "close"):
        dropped.close()
    del dropped
    assert counts(breaker) == {"ignored": 1}
    if hasattr(later, "__anext__"):
        assert drive(later.__anext__()) == ("stop", ((), {}))
        assert drive(later.__anext__()) == ("stop",)
    else:
        assert list(later) if hasattr(later, "__iter__") else drive(later)
    assert counts(breaker) == {"ignored": 1, "successes": 1}


# Arguments


def everything(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    return args, kwargs


class Everything:
    def method(self, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return (self, *args), kwargs

    def __call__(self, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return args, kwargs


KEYWORDS = [{}, {"a": 1}, {"fn": 1, "self": 2, "args": 3, "kwargs": 4}, {f"k{n}": n for n in range(300)}]


@pytest.mark.parametrize("args", [(), (1,), (1, 2, 3), tuple(range(300))], ids=len)
@pytest.mark.parametrize("kwargs", KEYWORDS, ids=len)
def test_arguments_are_passed_on_as_they_are(make_breaker: Make, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # S36
    breaker = make_breaker(Policy())
    owner = Everything()
    expected = (args, kwargs)
    assert breaker.do(everything, *args, **kwargs) == expected
    assert getattr(breaker, "do")(everything, *args, **kwargs) == expected  # noqa: B009 - read by name is the point
    untyped: Any = breaker
    assert untyped.do.__call__(everything, *args, **kwargs) == expected
    assert Breaker.do(breaker, everything, *args, **kwargs) == expected
    assert breaker(everything)(*args, **kwargs) == expected
    assert untyped(everything).__call__(*args, **kwargs) == expected
    assert breaker.do(Everything(), *args, **kwargs) == expected
    assert functools.partial(breaker.do, everything)(*args, **kwargs) == expected
    assert functools.partial(breaker.do, everything, *args)(**kwargs) == expected
    assert drive(breaker.do(coroutine, *args, **kwargs)) == ("stop", expected)
    assert list(untyped(generator)(*args, **kwargs)) == [expected]
    assert breaker.do(owner.method, *args, **kwargs) == ((owner, *args), kwargs)
    assert breaker.do(functools.partial(everything, owner), *args, **kwargs) == ((owner, *args), kwargs)
    assert counts(breaker) == {"successes": 13}


def test_a_tuple_of_arguments_is_not_changed_by_the_call(make_breaker: Make) -> None:
    breaker, owner = make_breaker(Policy()), Everything()
    given: tuple[Any, ...] = (owner.method, 1, 2)
    for _ in range(3):
        assert breaker.do(*given) == ((owner, 1, 2), {})
    assert given == (owner.method, 1, 2)
    assert breaker(owner.method)(*given[1:]) == ((owner, 1, 2), {})


def test_wrong_arguments_are_the_callees_type_error_and_a_failure(make_breaker: Make) -> None:
    # S30
    breaker: Any = make_breaker(Policy(5))
    for call in (lambda: breaker.do(identity), lambda: breaker.do(identity, 1, other=2), lambda: breaker.do(len, 1, 2)):
        with pytest.raises(TypeError):
            call()
    assert counts(breaker) == {"failures": 3}


def test_do_needs_a_function(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(5))
    untyped: Any = breaker
    for call in (untyped.do, lambda: untyped.do(fn=len), lambda: untyped.do(fn=len, x=1)):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'fn'"):
            call()
    assert counts(breaker) == {}
    with pytest.raises(TypeError, match="can only protect something callable, got int"):
        untyped.do(5)
    with pytest.raises(TypeError, match=r"descriptor 'do' .* '?(breaker\._core\.)?Breaker'?"):
        Breaker.do(5, len)  # type: ignore[arg-type, call-arg]


def test_do_shows_its_signature_and_help(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    assert str(inspect.signature(breaker.do)) == "(fn, /, *args, **kwargs)"
    assert str(inspect.signature(Breaker.do)) == "(self, fn, /, *args, **kwargs)"
    assert Breaker.do.__text_signature__ == "($self, fn, /, *args, **kwargs)"  # type: ignore[attr-defined]
    assert (inspect.getdoc(breaker.do) or "").startswith("Run ``fn(*args, **kwargs)`` under protection")
    assert (Breaker.do.__name__, Breaker.do.__qualname__) == ("do", "Breaker.do")
    assert str(inspect.signature(breaker.acquire)) == "()"
    assert str(inspect.signature(Provider.get_breaker)).startswith("(self, /, name, *, failure_on=None")


# Results


class Uncomparable:
    """A value that is nobody's business: asking it anything is an error."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise AssertionError("asked for truth")


VALUES = [
    None,
    False,
    0,
    "",
    (),
    Boom("a value"),
    Boom,
    NotImplemented,
    ...,
    StopIteration(1),
    Uncomparable(),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_the_object_that_it_is(make_breaker: Make, value: Any) -> None:
    # S36
    breaker = make_breaker(Policy(1))
    assert breaker.do(identity, value) is value
    assert breaker(identity)(value) is value
    assert breaker.do(breaker(identity), value) is value
    assert counts(breaker) == {"successes": 4}


def test_the_function_itself_may_be_the_value(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    assert breaker.do(identity, coroutine) is coroutine
    assert breaker.do(identity, breaker) is breaker
    guarded: Any = breaker.do(breaker, identity)
    assert guarded.__wrapped__ is identity


def test_a_coroutine_of_another_maker_is_a_coroutine(make_breaker: Make) -> None:
    from collections.abc import Coroutine

    class Made(Coroutine[Any, Any, str]):
        def send(self, value: Any) -> Any:
            raise StopIteration("made")

        def throw(self, *error: Any) -> Any:
            raise error[0]

        def __await__(self) -> Generator[Any, Any, str]:
            return "made"
            yield

    breaker = make_breaker(Policy(1, 1, 60))
    assert drive(breaker.do(Made)) == ("stop", "made")
    assert counts(breaker) == {"successes": 1}
    with pytest.raises(Boom):
        breaker.do(Made).throw(Boom("thrown"))
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("error", [StopIteration(5), StopAsyncIteration(), GeneratorExit(), KeyError(), Boom], ids=repr)
def test_an_exception_of_a_plain_function_is_one_like_any(make_breaker: Make, error: Any) -> None:
    breaker, fn = make_breaker(Policy(5)), raiser(error)
    for call in (breaker.do, lambda fn: breaker(fn)()):
        with pytest.raises(error if isinstance(error, type) else type(error)) as caught:
            call(fn)
        assert isinstance(error, type) or caught.value is error
    assert counts(breaker) == {("ignored" if isinstance(error, GeneratorExit) else "failures"): 2}


def test_a_rejection_inside_an_except_block_has_its_context(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    error = fail(breaker)
    for call in (lambda: breaker.do(len, ""), breaker.acquire, lambda: breaker.do(coroutine).send(None)):
        try:
            raise error
        except Boom:
            with pytest.raises(BreakerOpenError) as caught:
                call()
        assert caught.value.__context__ is error


# Depth


def test_calls_may_nest_and_recurse(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    @breaker
    def down(n: int) -> int:
        return n and breaker.do(down, n - 1) + 1

    assert down(50) == 50
    assert counts(breaker) == {"successes": 101}


def test_recursion_without_end_is_a_recursion_error(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(10**6))

    def for_ever() -> Any:
        return breaker.do(for_ever)

    async def for_ever_later() -> Any:
        return await breaker.do(for_ever_later)

    def for_ever_in_steps() -> Any:
        yield from breaker.do(for_ever_in_steps)

    for fall in (for_ever, lambda: drive_raw(for_ever_later()), lambda: next(for_ever_in_steps())):
        with pytest.raises(RecursionError):
            fall()
    assert breaker.do(len, "abc") == 3
    assert set(counts(breaker)) == {"failures", "successes"}


def test_a_thousand_wrappings_are_a_thousand_calls(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    later = coroutine()
    for _ in range(1000):
        later = breaker.do(functools.partial(identity, later))
    assert drive(later) == ("stop", ((), {}))
    assert counts(breaker) == {"successes": 1000}
