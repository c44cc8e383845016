"""Every object of the core can be found before it is filled and after it was cleared, and answers instead of crashing.

The collector's list (`gc.get_objects`) shows objects that nobody has handed out: templates, half-made ones, those that
are kept for the next call. A finalizer or a weak reference's callback meets objects of garbage that is being taken
apart. Each test is a process of its own: what it proves is that the process goes on.
"""

import asyncio
import contextlib
import contextvars
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, Provider, get_default_config
from breaker.testing import ManualClock, trip
from support.attempts import (
    KINDS,
    OPERATIONS,
    async_generator,
    coroutine,
    exercise,
    exercise_all,
    generator,
    of_the_core,
    plain,
    things,
)
from support.processes import in_a_process

CONFIG = get_default_config("svc", "dev")


def provider(**options: Any) -> Provider:
    return Provider(CONFIG, **options)


@in_a_process("-W", "ignore::RuntimeWarning")
def test_after_an_import_everything_that_the_collector_shows_can_be_looked_at() -> None:
    assert all(isinstance(repr(found), str) for found in gc.get_objects())
    exercise_all()


@in_a_process()
def test_an_import_leaves_no_template_to_be_found() -> None:
    assert of_the_core() == []


@in_a_process("-W", "ignore::RuntimeWarning")
def test_what_is_kept_for_the_next_call_can_be_looked_at() -> None:
    breaker = provider().get_breaker("a")

    async def await_many() -> None:
        for _ in range(100):
            await breaker.do(coroutine, 1)
            async for _ in breaker.do(async_generator):
                pass
            assert list(breaker.do(generator)) == [1, 2]
            with breaker.acquire():
                pass

    asyncio.run(await_many())
    exercise_all()
    asyncio.run(await_many())


@pytest.mark.parametrize("kind", KINDS)
@in_a_process("-W", "ignore::RuntimeWarning")
def test_an_object_that_was_used_up_answers_in_any_order(kind: str) -> None:
    found = things(provider().get_breaker("a"))[kind]
    for _ in range(3):
        exercise(found)
    for operate in reversed(OPERATIONS):
        with contextlib.suppress(Exception):
            operate(found)


@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_clock_that_meets_its_half_made_breaker() -> None:
    def clock() -> int:
        exercise_all()
        return 0

    provider(clock=clock).get_breaker("a").do(plain)


@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_metaclass_that_meets_a_half_made_breaker_while_options_are_looked_at() -> None:
    class Meta(type):
        def __subclasscheck__(cls, other: type) -> bool:
            exercise_all()
            return super().__subclasscheck__(other)

        def __instancecheck__(cls, instance: object) -> bool:
            exercise_all()
            return super().__instancecheck__(instance)

        def mro(cls) -> list[type]:
            exercise_all()
            return super().mro()

    class Strange(Exception, metaclass=Meta):
        pass

    class Predicate:
        def __getattribute__(self, name: str) -> Any:
            exercise_all()
            return super().__getattribute__(name)

        def __call__(self, value: object) -> bool:
            return False

    options: Any = {
        "ignore_on": Strange,
        "failure_on": (Strange, OSError),
        "failed_result": Predicate(),
        "failed_error": Predicate(),
    }
    made = provider().get_breaker("made by no operation", **options)
    made.do(plain)


@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_breaker_whose_making_fails_half_way_was_never_there() -> None:
    fails = [False]

    def clock() -> int:
        if fails[0]:
            exercise_all()
            raise LookupError("no time")
        return 0

    made = provider(clock=clock)
    fails[0] = True
    for _ in range(3):
        with pytest.raises(LookupError, match="no time"):
            made.get_breaker("a")
        exercise_all()
    assert not made.breakers
    fails[0] = False
    assert made.get_breaker("a").do(int) == 0


@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_callable_that_meets_its_half_made_decoration() -> None:
    class Strange:
        def __call__(self) -> int:
            return 7

        def __getattr__(self, name: str) -> Any:
            exercise_all()
            raise AttributeError(name)

    assert provider().get_breaker("a")(Strange())() == 7


def in_a_cycle(kind: str, meet: Callable[[Any], None]) -> None:
    """Make garbage in which a finalizer and a callback meet an object of this kind, and collect it."""
    met: list[str] = []

    class Owner:
        """Its finalizer runs before the garbage is taken apart."""

        held: Any

        def __del__(self) -> None:
            met.append("finalizer")
            meet(self.held)

    class Cleared:
        """In the garbage; its weak reference is not, so the callback runs while the garbage is taken apart."""

    breaker = provider().get_breaker("a")
    owner, cleared = Owner(), Cleared()

    def fn(*_: object, holds: object = (owner, cleared)) -> object:
        return holds

    async def fn_async(holds: object = (owner, cleared)) -> object:
        return holds

    made = things(breaker) | {"function": breaker(fn), "coroutine function": breaker(fn_async)}
    if kind == "coroutine":
        made[kind] = breaker.do(fn_async, (owner, cleared))
    owner.held = made[kind]
    owner.me = cleared.me = owner  # type: ignore[attr-defined]
    cleared.held = made[kind]  # type: ignore[attr-defined]

    def callback(_: object) -> None:
        met.append("callback")
        for found in of_the_core():
            meet(found)

    seen = weakref.ref(cleared, callback)
    del owner, cleared, fn, fn_async, made, breaker
    gc.collect()
    gc.collect()
    del seen
    assert "finalizer" in met


@pytest.mark.parametrize("kind", KINDS)
@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_finalizer_of_the_same_garbage(kind: str) -> None:
    in_a_cycle(kind, exercise)


@pytest.mark.parametrize("kind", KINDS)
@in_a_process("-W", "ignore::RuntimeWarning")
def test_an_object_that_came_back_from_the_garbage(kind: str) -> None:
    kept: list[Any] = []
    in_a_cycle(kind, kept.append)
    gc.collect()
    for found in kept:
        exercise(found)
    kept.clear()
    gc.collect()
    exercise_all()


@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_clock_and_a_listener_of_the_same_garbage_as_a_held_permit() -> None:
    class Clock:
        def __init__(self) -> None:
            self.held: list[Any] = []

        def __call__(self) -> int:
            for found in self.held:
                exercise(found) if found is not self.held[0] else repr(found)
            return 0

    class Listener:
        held: Any = None

        def __call__(self, event: object) -> None:
            repr((self.held, event))

    for _ in range(20):
        clock, listener = Clock(), Listener()
        made = provider(clock=clock, default_policy=Policy(1, 1, 60.0))
        made.subscribe(listener)
        breaker = made.get_breaker("a")
        clock.held = [breaker, *things(breaker).values()]
        listener.held = (made, breaker, clock)
        del made, breaker, clock, listener
        gc.collect()
        exercise_all()


@in_a_process()
def test_a_provider_that_was_never_filled_can_be_looked_at() -> None:
    assert repr(Provider.__new__(Provider)) == "<Provider of None: 0 breakers>"


@in_a_process("-W", "ignore::RuntimeWarning")
def test_contexts_that_know_a_probe_are_met_by_a_finalizer_of_the_same_garbage() -> None:
    # S56
    met: list[object] = []

    class Owner:
        contexts: list[contextvars.Context]

        def __del__(self) -> None:
            for context in self.contexts:
                with contextlib.suppress(BreakerOpenError):
                    met.append(context.run(self.breaker.do, int))
            exercise_all()

        def inside(self, deeper: int) -> int:
            self.contexts.append(contextvars.copy_context())
            return self.breaker.do(self.inside, deeper - 1) if deeper else 5

        def __init__(self) -> None:
            clock = ManualClock()
            policy = Policy(1, 5, 60.0, half_open_max_calls=3)
            self.contexts, self.me = [], self
            self.breaker = provider(default_policy=policy, clock=clock).get_breaker("a")
            trip(self.breaker, ValueError("broken"))
            clock.advance(60)
            assert self.breaker.do(self.inside, 20) == 5

    owner = Owner()
    exercise_all()
    del owner
    gc.collect()
    assert met
