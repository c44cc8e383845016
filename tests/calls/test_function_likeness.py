"""A decorated function is a function: for `inspect`, for `unittest.mock`, for the class it is in and for libraries."""

import asyncio
import functools
import inspect
import types
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from unittest import mock

import pytest

from breaker import Policy, Provider
from support.drive import CONFIG, Boom, Make
from support.reading import counts
from support.scripts import drive

GLOBAL = Provider(CONFIG).get_breaker("global")
CELL = 5


@GLOBAL
def function(x: int, /, y: int = 2, *, z: int = 3) -> int:
    """Doc."""
    return x + y + z + CELL


@GLOBAL
async def later(x: int) -> int:
    return x


class AsyncCall:
    async def __call__(self, x: int = 0) -> int:
        return x


class PlainCall:
    def __call__(self, x: int = 0) -> int:
        return x


EACH: dict[str, Callable[[], Any]] = {
    "function": lambda: function,
    "coroutine": lambda: later,
    "method": lambda: GLOBAL(PlainCall().__call__),
    "partial": lambda: GLOBAL(functools.partial(function, 1)),
    "built-in": lambda: GLOBAL(len),
    "class": lambda: GLOBAL(AsyncCall),
    "object": lambda: GLOBAL(AsyncCall()),
    "twice": lambda: GLOBAL(function),
    "mock": lambda: GLOBAL(mock.Mock()),
}


@pytest.mark.parametrize("kind", EACH)
def test_it_is_a_function_to_everything_that_asks(kind: str) -> None:
    guarded = EACH[kind]()
    assert isinstance(guarded, types.FunctionType)
    assert inspect.isfunction(guarded)
    assert inspect.isroutine(guarded)
    assert not inspect.isclass(guarded)
    assert type(guarded) is not types.FunctionType  # the interpreter, which relies on the layout, is told the truth
    assert isinstance(guarded.__code__, types.CodeType)
    assert isinstance(guarded.__globals__, dict)
    assert isinstance(guarded.__annotations__, dict)
    assert isinstance(guarded.__name__, str)
    assert inspect.getfile(guarded)
    assert inspect.getclosurevars(guarded).builtins is not None


def test_it_answers_what_inspect_asks_as_the_function_in_it() -> None:
    guarded: Any = function
    inside = guarded.__wrapped__
    for ask in (inspect.getfile, inspect.getsource, inspect.getclosurevars, inspect.getfullargspec, inspect.getdoc):
        assert ask(function) == ask(inside), ask.__name__
    assert inspect.signature(function, follow_wrapped=False) == inspect.signature(inside)
    assert inspect.getclosurevars(function).globals == {"CELL": 5}
    assert guarded.__builtins__ is inside.__builtins__


def test_the_class_treats_its_special_methods_as_it_treats_functions(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    class Base:
        made: ClassVar[list[Any]] = []

        @breaker
        def __new__(cls, *args: Any) -> Any:
            made: Any = object.__new__(cls)
            made.args = args
            return made

        @breaker
        def __init__(self, *args: Any) -> None:
            self.again = args

        @breaker
        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)
            cls.made.append(cls)

        @breaker
        def __class_getitem__(cls, key: Any) -> Any:
            return (cls, key)

    class Child(Base): ...

    assert Base.made == [Child]
    child: Any = Child
    assert (child(1).args, child(1).again, child[2]) == ((1,), (1,), (Child, 2))
    assert Base.__new__(Child, 3).args == (3,)
    assert counts(breaker) == {"successes": 7}


def test_a_mock_made_after_it_has_its_signature_and_binds(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    class Client:
        @breaker
        def fetch(self, x: int) -> int:
            return x

        @breaker
        async def fetch_later(self, x: int) -> int:
            return x

    spec = mock.create_autospec(function)
    with pytest.raises(TypeError, match="missing a required argument"):
        spec()
    spec(1, z=2)
    with mock.patch.object(Client, "fetch", autospec=True) as patched:
        client = Client()
        client.fetch(1)
        patched.assert_called_once_with(client, 1)
    assert client.fetch(1) == 1
    whole: Any = mock.create_autospec(Client)()
    with pytest.raises(TypeError, match="missing a required argument"):
        whole.fetch()
    made = whole.fetch_later(1)
    assert isinstance(made, Coroutine)
    drive(made)


def test_a_copy_by_its_code_finds_the_breaker_which_refuses() -> None:
    # As cloudpickle ships functions of __main__: by code, globals and dict.
    assert vars(function)["__breaker__"] is GLOBAL
    other = Provider(CONFIG).get_breaker("other")
    again = other(function)
    assert vars(again)["__breaker__"] is other


# What cannot be called


@pytest.mark.parametrize("open_", [False, True])
@pytest.mark.parametrize("thing", [None, 5, "text", object()], ids=lambda thing: type(thing).__name__)
def test_what_cannot_be_called_is_a_mistake_and_not_counted(make_breaker: Make, thing: Any, open_: bool) -> None:
    # S30
    breaker: Any = make_breaker(Policy(1, 1, 60))
    if open_:
        breaker.force_open()
    with pytest.raises(TypeError, match=rf"got {type(thing).__name__}: pass the function and its arguments, do\(fetch"):
        breaker.do(thing, 1)
    assert counts(breaker) == {}


def test_a_coroutine_object_is_refused_and_closed(make_breaker: Make) -> None:
    # S30
    breaker: Any = make_breaker(Policy(1, 1, 60))
    inside = later.__wrapped__  # type: ignore[attr-defined]

    async def main() -> None:
        await breaker.do(inside(1))

    with pytest.raises(TypeError, match=r"got the coroutine object that later\(…\) returned: .* do\(later, …\)"):
        asyncio.run(main())
    with pytest.raises(TypeError, match="got the coroutine object"):
        breaker.do(later(1))
    assert counts(breaker) == {}


@pytest.mark.parametrize("name", ["a_generator", "an_async_generator"])
def test_what_a_generator_function_returned_is_refused_by_its_name(make_breaker: Make, name: str) -> None:
    # S30
    breaker: Any = make_breaker(Policy(1, 1, 60))
    function: Any = globals()[name]
    for made in (function(), breaker.do(function)):
        with pytest.raises(TypeError, match=rf"got the .*generator object that {name}\(…\) returned: "):
            breaker.do(made)
    assert counts(breaker) == {}


@pytest.mark.parametrize("kind", [property, functools.cached_property, functools.singledispatchmethod])
def test_what_is_made_around_a_function_says_to_decorate_that(make_breaker: Make, kind: Any) -> None:
    # S30
    breaker = make_breaker(Policy())
    with pytest.raises(TypeError, match=f"got {kind.__name__}: a {kind.__name__} is made around the function that is"):
        breaker(kind(lambda self: 5))

    class Client:
        value = kind(breaker(lambda self, *_: 5))

    assert (Client().value if kind is not functools.singledispatchmethod else Client().value(1)) == 5


def test_async_with_a_permit_is_as_with(make_breaker: Make) -> None:
    # S37, S38
    breaker = make_breaker(Policy(5))

    async def main() -> None:
        async with breaker.acquire() as permit:
            assert counts(breaker) == {}
        async with breaker.acquire() as permit:
            permit.ignore()
        async with breaker.acquire():
            raise Boom("x")

    with pytest.raises(Boom):
        asyncio.run(main())
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1}


# What guards coroutines and generators


def a_generator() -> Any:
    yield 1


async def an_async_generator() -> Any:
    yield 1


def test_what_runs_later_is_of_the_type_of_the_original(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    coroutine = breaker.do(later, 1)
    generator, async_generator = breaker.do(a_generator), breaker.do(an_async_generator)
    assert isinstance(coroutine, types.CoroutineType)
    assert inspect.iscoroutine(coroutine)
    assert inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
    assert isinstance(generator, types.GeneratorType)
    assert inspect.getgeneratorlocals(generator) == {}
    assert inspect.isasyncgen(async_generator)
    coroutine.close()
