"""More small programs at the border to CPython, of the kinds that the other files of this folder try in full."""

import contextlib
import copy
import gc
import pickle
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, State
from breaker.events import CallFailed, StateChanged
from breaker.testing import trip
from support.processes import in_a_process
from support.small_programs import async_generator, coroutine, fails, generator, provider

# -- objects that are not filled or already cleared --


@in_a_process("-W", "ignore::RuntimeWarning")
def test_referents_and_referrers_of_everything_are_objects() -> None:
    """What the collector's traversal hands out is as alive as what it lists."""
    breaker = provider().get_breaker("a")
    held = [breaker(fails), breaker.do(coroutine), breaker.do(generator), breaker.do(async_generator)]
    for found in gc.get_objects():
        if type(found).__module__ == "breaker._core":
            for other in (*gc.get_referents(found), *gc.get_referrers(found)):
                assert isinstance(repr(type(other)), str)
                sys.getsizeof(other)
    held.clear()


@in_a_process("-W", "ignore::RuntimeWarning")
def test_types_of_the_core_cannot_be_made_half_by_hand() -> None:
    breaker = provider().get_breaker("a")
    objects: list[Any] = [breaker(fails), breaker.do(coroutine), breaker.do(generator)]
    objects += [breaker.do(async_generator)]
    objects += [breaker, breaker.acquire(), objects[3].__anext__()]
    kinds: set[Any] = {type(found) for found in objects}
    for kind in kinds:
        for make in (
            kind,
            lambda kind=kind: kind.__new__(kind),
            lambda kind=kind: object.__new__(kind),
            lambda kind=kind: copy.copy(kind),
            lambda kind=kind: type("Sub", (kind,), {}),
        ):
            with contextlib.suppress(TypeError, AttributeError):
                made = make()
                for name in dir(made):
                    with contextlib.suppress(Exception):
                        getattr(made, name)
                repr(made)
    for found in objects:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
                pickle.loads(pickle.dumps(found, protocol))
        with contextlib.suppress(TypeError, AttributeError):
            copy.deepcopy(found)
        with contextlib.suppress(TypeError):
            type(found).__init__(found)
        with contextlib.suppress(TypeError, AttributeError):
            found.__class__ = object


@in_a_process()
def test_a_rejection_made_without_its_constructor_answers() -> None:
    for made in (BreakerOpenError.__new__(BreakerOpenError), BreakerOpenError.__new__(BreakerOpenError, 1, 2, x=3)):
        for show in (repr, str, lambda e: e.state, lambda e: e.reason, lambda e: e.__reduce__(), lambda e: e.args):
            with contextlib.suppress(TypeError, ValueError, AttributeError):
                show(made)
        with pytest.raises(BreakerOpenError):
            raise made
    error = BreakerOpenError("a", State.OPEN)
    for arguments in (("b", 7), (), ("b", State.CLOSED, "x")):
        with contextlib.suppress(TypeError, ValueError):
            error.__init__(*arguments)  # type: ignore[misc]
    assert "circuit breaker" in str(error)


@in_a_process()
def test_a_value_that_is_replaced_is_dropped_after_its_place_has_the_new_one() -> None:
    """A finalizer that runs in the replacement finds the new value, not a freed one."""
    made = provider()
    breaker = made.get_breaker("a")
    listeners: Any = made._listeners
    seen: list[object] = []

    class Listener:
        def __call__(self, event: object) -> None: ...

        def __del__(self) -> None:
            breaker.force_open()
            breaker.clear_override()
            seen.append(listeners.listeners)

    for _ in range(50):
        listeners.listeners = (Listener(),)
        listeners.listeners = ()
    assert seen == [()] * 50


@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_weak_reference_to_a_decorated_function_calls_back_while_it_goes() -> None:
    called: list[object] = []
    for _ in range(50):
        breaker = provider().get_breaker("a")
        guarded: Any = breaker(fails)
        guarded.me = guarded
        refs = [weakref.ref(guarded, called.append), weakref.ref(breaker, called.append)]
        del guarded, breaker
        gc.collect()
        assert all(ref() is None for ref in refs)
    assert len(called) == 100


# -- errors by hand --


@in_a_process()
def test_a_group_whose_class_hides_its_children_is_classified_by_those_it_has() -> None:
    class Hiding(ExceptionGroup[Any]):
        @property
        def exceptions(self) -> Any:
            raise StopIteration("hidden")

    breaker = provider(Policy(3)).get_breaker("a", ignore_on=KeyError)
    error = Hiding("hides", [KeyError("x"), KeyError("y")])

    def raises() -> None:
        raise error

    with pytest.raises(Hiding):
        breaker.do(raises)
    assert breaker.snapshot().ignored == 1


@pytest.mark.parametrize("what", ["truth", "length", "eq"])
@in_a_process()
def test_a_result_of_a_predicate_that_cannot_say_whether_it_is_true(what: str) -> None:
    class Strange:
        def __eq__(self, other: object) -> bool:
            raise RecursionError("eq")

        def __hash__(self) -> int:
            raise RecursionError("hash")

    if what == "truth":
        Strange.__bool__ = lambda self: 1  # type: ignore[attr-defined]
    elif what == "length":
        Strange.__len__ = lambda self: -1  # type: ignore[attr-defined]
    breaker = provider(Policy(9)).get_breaker("a", failed_result=lambda value: Strange())
    if what == "eq":
        assert breaker.do(int) == 0
    else:
        with pytest.raises((TypeError, ValueError)):
            breaker.do(int)
    assert breaker.snapshot().failures == 1
    with contextlib.suppress(TypeError, ValueError):
        next(breaker.do(coroutine).__await__(), None)
    seen = breaker.snapshot()
    assert (seen.failures, seen.successes) == (2, 0)


@in_a_process()
def test_an_error_whose_text_changes_the_breaker_counts_once() -> None:
    made = provider(Policy(1, 1, 60.0))
    breaker = made.get_breaker("a")

    class Meddling(Exception):
        def __str__(self) -> str:
            with contextlib.suppress(BreakerOpenError, ZeroDivisionError):
                breaker.do(lambda: 1 // 0)
            breaker.reset()
            return "x" * 10_000

    def raises() -> None:
        raise Meddling

    for number in range(1, 4):
        with pytest.raises(Meddling):
            breaker.do(raises)
        assert breaker.state is State.OPEN  # nobody has read the text
        seen = breaker.snapshot()  # reads it: the call within is rejected, and the reset closes
        assert (seen.failures, seen.late, seen.rejected) == (number, 0, number - 1)
        assert seen.last_error is not None
        assert seen.last_error.startswith("Meddling: xxx")
        assert breaker.state is State.CLOSED


@in_a_process("-W", "ignore::RuntimeWarning")
def test_closing_what_ignores_that_it_is_closed_is_an_error_and_one_count() -> None:
    def stubborn() -> Iterator[int]:
        while True:
            with contextlib.suppress(GeneratorExit):
                yield 1

    breaker = provider(Policy(9)).get_breaker("a")
    items: Any = breaker.do(stubborn)
    next(items)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            items.close()
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        items.throw(StopIteration("thrown"))
    seen = breaker.snapshot()
    assert seen.failures + seen.ignored + seen.successes <= 1


# -- openings that must be told --


@in_a_process()
def test_an_opening_whose_listener_ends_the_delivery_is_told_to_all_others() -> None:
    made = provider(Policy(1, 1, 60.0))
    seen: list[Any] = []
    made.subscribe(lambda event: seen.append(event))

    def interrupt(event: object) -> None:
        if isinstance(event, StateChanged):
            raise KeyboardInterrupt

    made.subscribe(interrupt)
    late: list[Any] = []
    made.subscribe(late.append)
    breaker = made.get_breaker("a")
    for _ in range(20):
        with pytest.raises((KeyboardInterrupt, ValueError)):
            breaker.do(fails)
        with contextlib.suppress(KeyboardInterrupt):
            breaker.reset()
        with contextlib.suppress(KeyboardInterrupt):
            breaker.clear_override()
    for _ in range(3):
        with contextlib.suppress(KeyboardInterrupt, BreakerOpenError):
            breaker.do(int)
            breaker.force_open()
            breaker.clear_override()
    assert late == seen
    assert sum(isinstance(event, CallFailed) for event in seen) == 20
    moves = [event.to_state for event in seen if isinstance(event, StateChanged)]
    assert moves == [State.OPEN, State.CLOSED] * 20


@in_a_process()
def test_an_opening_in_a_finalizer_at_the_end_of_the_interpreter_does_not_hang_or_crash() -> None:
    made = provider(Policy(1, 1, 60.0))
    made.subscribe(lambda event: None)
    breaker = made.get_breaker("a")

    class AtTheEnd:
        def __del__(self) -> None:
            with contextlib.suppress(ValueError, BreakerOpenError, ImportError):
                breaker.do(fails)
            with contextlib.suppress(ImportError):
                breaker.reset()
                breaker.snapshot()

    sys.kept = [AtTheEnd(), breaker.acquire(), breaker.do(generator)]  # type: ignore[attr-defined]
    module = types.ModuleType("kept_too")
    module.kept = [AtTheEnd(), breaker.acquire()]  # type: ignore[attr-defined]
    sys.modules["kept_too"] = module


# -- chains and cycles --


@in_a_process(seconds=55)
def test_long_chains_of_decorated_functions_and_permits_are_freed() -> None:
    made = provider()
    breaker = made.get_breaker("a")
    chain: Any = None
    for _ in range(20_000):

        def fn(held: object = chain) -> object:
            return held

        chain = breaker(fn)
    del chain
    rejections: Any = None
    trip(breaker)
    for _ in range(20_000):
        try:
            breaker.do(int)
        except BreakerOpenError as error:
            error.__traceback__ = None
            error.chain = rejections  # type: ignore[attr-defined]
            rejections = error
    del rejections
    gc.collect()


@in_a_process()
def test_a_rejection_raised_while_its_own_kind_is_handled_has_one_context() -> None:
    breaker = provider().get_breaker("a")
    trip(breaker)

    def nested(depth: int) -> None:
        try:
            breaker.do(int)
        except BreakerOpenError:
            if depth:
                nested(depth - 1)
            raise

    with pytest.raises(BreakerOpenError) as caught:
        nested(200)
    length, at = 0, caught.value
    seen = set()
    while at is not None:
        assert id(at) not in seen
        seen.add(id(at))
        at, length = at.__context__, length + 1  # type: ignore[assignment]
    assert length <= 201


# -- imports inside calls --


@in_a_process()
def test_a_program_that_hides_modules_after_its_import_goes_on() -> None:
    made = provider(Policy(1, 1, 60.0))
    seen: list[Any] = []
    made.subscribe(seen.append)
    breaker = made.get_breaker("a")
    for name in [name for name in sys.modules if name.startswith(("breaker", "functools", "collections"))]:
        sys.modules[name] = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="broken"):
        breaker.do(fails)
    breaker.reset()
    assert [event.to_state for event in seen if type(event).__name__ == "StateChanged"] == [State.OPEN, State.CLOSED]


@in_a_process()
def test_an_async_generator_that_a_loop_closes_after_its_breaker_is_gone() -> None:
    import asyncio

    async def use() -> None:
        items: Any = provider().get_breaker("a").do(async_generator)
        assert await anext(items) == 1
        gc.collect()
        del items

    asyncio.run(use())
    gc.collect()
