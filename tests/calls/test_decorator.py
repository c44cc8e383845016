"""A decorated function: called, bound, inspected, documented, copied and pickled as the function in it."""

import abc
import asyncio
import copy
import dataclasses
import functools
import gc
import inspect
import pickle
import pydoc
import sys
import traceback
import typing
import weakref
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider
from support.drive import CONFIG, Boom, Make, identity
from support.reading import counts
from support.scripts import drive, drive_raw

GLOBAL = Provider(CONFIG).get_breaker("global")


@GLOBAL
def by_reference(x: int, /, y: int = 2, *, z: int = 3) -> int:
    """Doc."""
    return x + y + z


class Kept:
    @GLOBAL
    def method(self) -> str:
        return f"method of {type(self).__name__}"

    @GLOBAL
    @classmethod
    def made(cls) -> type:
        return cls


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


LAZY: list[Any] = [coroutine, generator, async_generator, Thing().coroutine, Thing().generator, Thing().async_generator]
PLAIN: list[Any] = [len, Thing, str.upper, functools.partial(len), functools.partial(coroutine, 1), "x".join]


@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")  # until 3.16
@pytest.mark.parametrize("function", [*LAZY, *PLAIN], ids=lambda fn: getattr(fn, "__qualname__", "partial"))
def test_it_is_of_the_kind_of_the_function(make_breaker: Make, function: Any) -> None:
    breaker = make_breaker(Policy())
    for guarded in (breaker(function), breaker(breaker(function)), functools.partial(breaker(function))):
        for ask in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            assert ask(guarded) == ask(function), ask.__name__
        assert asyncio.iscoroutinefunction(guarded) == asyncio.iscoroutinefunction(function)
        assert callable(guarded)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="markcoroutinefunction came with 3.12")
def test_a_function_that_is_marked_as_a_coroutine_function_stays_marked(make_breaker: Make) -> None:
    marked = inspect.markcoroutinefunction(lambda: coroutine())  # type: ignore[attr-defined]  # since 3.12
    assert inspect.iscoroutinefunction(make_breaker(Policy())(marked))


@pytest.mark.parametrize("function", [*LAZY, *PLAIN[1:], by_reference], ids=lambda fn: getattr(fn, "__qualname__", ""))
def test_it_has_the_signature_of_the_function(make_breaker: Make, function: Any) -> None:
    guarded: Any = make_breaker(Policy())(function)
    assert inspect.signature(guarded) == inspect.signature(function)
    assert guarded.__wrapped__ is function


def test_it_keeps_what_the_function_is_known_by() -> None:
    function = by_reference.__wrapped__  # type: ignore[attr-defined]
    for name in (*functools.WRAPPER_ASSIGNMENTS, "__code__", "__defaults__", "__kwdefaults__", "__globals__"):
        assert getattr(by_reference, name) == getattr(function, name), name
    assert by_reference.__doc__ == "Doc."
    assert typing.get_type_hints(by_reference) == {"x": int, "y": int, "z": int, "return": int}
    assert inspect.getsource(by_reference).startswith("@GLOBAL\ndef by_reference")
    assert inspect.getmodule(by_reference) is inspect.getmodule(function)
    assert "by_reference(x: int, /, y: int = 2, *, z: int = 3) -> int" in pydoc.plain(pydoc.render_doc(by_reference))
    assert "guarded by 'global'" in repr(by_reference)
    with pytest.raises(AttributeError, match="nothing"):
        by_reference.nothing  # type: ignore[attr-defined]  # noqa: B018 - the read is the point


def test_attributes_go_over_and_may_be_set(make_breaker: Make) -> None:
    def function() -> None: ...

    function.note = "before"  # type: ignore[attr-defined]
    guarded: Any = make_breaker(Policy())(function)
    assert guarded.note == "before"
    guarded.note, guarded.__name__ = "after", "another"
    assert (guarded.note, guarded.__name__, vars(guarded)["note"]) == ("after", "another", "after")
    assert function.note == "before"  # type: ignore[attr-defined]
    del guarded.note
    assert not hasattr(guarded, "note")


def test_wrappers_around_it_and_inside_it_show_through(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    @functools.wraps(by_reference)
    def around(x: int) -> int:
        return by_reference(x)

    assert inspect.unwrap(around) is by_reference.__wrapped__  # type: ignore[attr-defined]
    assert inspect.signature(breaker(around)) == inspect.signature(by_reference)
    assert breaker(around)(1) == 6
    untyped: Any = breaker
    cached: Any = functools.lru_cache(untyped(lambda x: [x]))
    assert cached(1) is cached(1)
    assert counts(breaker) == {"successes": 2}
    inside: Any = breaker(functools.lru_cache(lambda x: [x]))
    assert inside(1) is inside(1)
    assert inside.__wrapped__.cache_info().hits == 1
    assert counts(breaker) == {"successes": 4}
    single = functools.singledispatch(untyped(lambda x: "other"))
    single.register(int, untyped(lambda x: "int"))
    assert (single(1), single("x")) == ("int", "other")


def test_it_is_copied_and_pickled_by_reference() -> None:
    for thing in (by_reference, Kept.method, coroutine):
        assert copy.copy(thing) is thing
        assert copy.deepcopy(thing) is thing
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(thing, protocol)) is thing
    assert pickle.loads(pickle.dumps(Kept().method))() == "method of Kept"
    assert pickle.loads(pickle.dumps(Kept.made))() is Kept


def test_one_that_cannot_be_found_by_its_name_is_not_pickled(make_breaker: Make) -> None:
    untyped: Any = make_breaker(Policy())
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(untyped(lambda: None))


def test_it_is_hashable_and_equal_to_itself_alone(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    one, two = breaker(len), breaker(len)
    assert {one: 1, two: 2}[one] == 1
    assert one != two


def test_it_is_weakly_referenced_and_collected_with_its_cycle(make_breaker: Make) -> None:
    untyped: Any = make_breaker(Policy())
    guarded = untyped(lambda: None)
    guarded.itself = guarded
    gone = weakref.ref(guarded)
    assert gone() is guarded
    del guarded
    gc.collect()
    assert gone() is None


def test_a_method_binds(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    class Base:
        @breaker
        def method(self, x: int = 0) -> Any:
            return self, x

        @breaker
        async def later(self) -> Any:
            return self

    class Child(Base):
        def method(self, x: int = 0) -> Any:
            return super().method(x + 1)

    child = Child()
    assert child.method(1) == (child, 2)
    assert Base.method(child, 1) == (child, 1)
    assert drive(child.later()) == ("stop", child)
    bound: Any = Base().method
    assert bound == bound.__self__.method
    assert inspect.ismethod(bound)
    assert list(inspect.signature(bound).parameters) == ["x"]
    assert Base.method is vars(Base)["method"]
    assert vars(Base)["method"].__get__(child)(3) == (child, 3)
    assert counts(breaker) == {"successes": 4}
    child.__dict__["method"] = breaker(identity)
    assert child.method(7) == 7  # in an instance nothing binds, as with functions


def test_what_is_made_of_methods_may_be_made_of_it(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    class Owner:
        @property
        @breaker
        def size(self) -> Any:
            return self

        @functools.cached_property
        @breaker
        def once(self) -> Any:
            return object()

        @breaker
        def plus(self, x: int, y: int) -> Any:
            return x + y

        plus_five = functools.partialmethod(plus, 5)

    owner = Owner()
    assert owner.size is owner
    assert owner.once is owner.once
    assert owner.plus_five(1) == 6
    assert counts(breaker) == {"successes": 3}


async def its_own_later(cls: Any = None) -> Any:
    return cls


@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
@pytest.mark.parametrize("function", [identity, its_own_later], ids=["plain", "coroutine"])
def test_static_and_class_methods_on_either_side(make_breaker: Make, outside: bool, function: Any) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    lazy = function is its_own_later

    def made(kind: Any) -> Any:
        return kind(breaker(function)) if outside else breaker(kind(function))

    class Owner:
        static, class_ = made(staticmethod), made(classmethod)

    class Child(Owner): ...

    for owner in (Owner, Owner(), Child, Child()):
        answers = (owner.static(1), owner.class_())
        values = [drive(answer)[1] if lazy else answer for answer in answers]
        assert values == [1, owner if isinstance(owner, type) else type(owner)]
        assert inspect.iscoroutinefunction(owner.static) is inspect.iscoroutinefunction(owner.class_) is lazy
    assert counts(breaker) == {"successes": 8}
    breaker.acquire().failure()
    for method in (Owner.static, Owner.class_) if lazy else ():
        assert drive(method())[1] is BreakerOpenError  # asked for when it is awaited
    assert counts(breaker).get("rejected", 0) == (2 if lazy else 0)


def test_an_abstract_method_stays_abstract(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    class Shape(abc.ABC):
        @breaker
        @abc.abstractmethod
        def inside(self) -> None: ...

        @abc.abstractmethod
        @breaker
        def outside(self) -> None: ...

    assert Shape.__abstractmethods__ == {"inside", "outside"}


def test_a_decorated_class_makes_instances(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))

    @breaker
    @dataclasses.dataclass
    class Point:
        x: int
        y: int = 0

    make: Any = Point
    assert (make(1, y=2).x, make(1, y=2).y) == (1, 2)
    assert counts(breaker) == {"successes": 2}
    with pytest.raises(TypeError, match="missing 1 required"):
        Point()  # type: ignore[call-arg]
    assert counts(breaker) == {"successes": 2, "failures": 1}


@pytest.mark.parametrize("thing", [None, 5, "text", property(len), object()], ids=lambda thing: type(thing).__name__)
def test_what_cannot_be_called_cannot_be_decorated(make_breaker: Make, thing: Any) -> None:
    with pytest.raises(
        TypeError, match=f"'http:payment-api' can only protect something callable, got {type(thing).__name__}"
    ):
        make_breaker(Policy())(thing)


def test_it_is_made_by_a_breaker_alone(make_breaker: Make) -> None:
    breaker: Any = make_breaker(Policy())
    for made in (breaker(len), breaker.do(coroutine), breaker.do(generator), breaker.do(async_generator)):
        with pytest.raises(TypeError, match="cannot create"):
            type(made)()
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Sub", (type(made),), {})
        if hasattr(made, "cr_frame"):
            made.close()
    for call in (breaker, lambda: breaker(fn=len), lambda: breaker(len, len)):
        with pytest.raises(TypeError):
            call()


def test_the_traceback_of_an_error_shows_no_frame_of_the_breaker(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(2, 1, 60))

    @breaker
    def fails() -> None:
        raise Boom("x")

    @breaker
    async def fails_later() -> None:
        raise Boom("x")

    def names(call: Any, error: type[Exception]) -> list[str]:
        with pytest.raises(error) as caught:
            call()
        return [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]

    async def main() -> None:
        await fails_later()

    assert names(fails, Boom) == ["names", "fails"]
    assert names(functools.partial(drive_raw, main()), Boom) == ["names", "drive_raw", "main", "fails_later"]
    assert names(fails, BreakerOpenError) == ["names"]
    assert names(functools.partial(drive_raw, main()), BreakerOpenError) == ["names", "drive_raw", "main"]


def test_the_breaker_outlives_its_name(make_breaker: Make) -> None:
    breaker: Breaker | None = make_breaker(Policy())
    assert breaker is not None
    gone, guarded = weakref.ref(breaker), breaker(len)
    breaker = None
    gc.collect()
    assert gone() is not None
    assert guarded("abc") == 3
