"""What has been left of a probe, the block of its permit or the function, is in nobody's context any more."""

import contextlib
import contextvars
import gc
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from breaker import Breaker, Policy, State
from breaker.testing import ManualClock
from support.drive import Make, cooled, succeed
from support.reading import probing


@pytest.fixture
def breaker(make_breaker: Make, clock: ManualClock) -> Breaker:
    """The next call is a probe, and two of them close."""
    return cooled(make_breaker, clock, Policy(1, 2, 60))


def test_nothing_is_kept_by_a_context_that_is_left(make_breaker: Make, clock: ManualClock) -> None:
    # S55
    breaker = cooled(make_breaker, clock, Policy(1, 20, 60))
    before = list(contextvars.copy_context().items())
    left: list[Any] = []

    def layer() -> None:
        left.append(contextvars.copy_context())

    for _ in range(5):
        contextvars.copy_context().run(breaker.do, layer)
        left[-1].run(succeed, breaker)
    assert probing(breaker) == (State.HALF_OPEN, 10, 0)
    assert list(contextvars.copy_context().items()) == before


def with_block(breaker: Breaker) -> None:
    with breaker.acquire():
        pass


def block_that_raises(breaker: Breaker) -> None:
    with contextlib.suppress(KeyboardInterrupt), breaker.acquire():
        raise KeyboardInterrupt


def whole_coroutine(coroutine: Any) -> None:
    with contextlib.suppress(StopIteration):
        coroutine.send(None)


async def async_with_block(breaker: Breaker) -> None:
    async with breaker.acquire():
        pass


def call_and_yield(breaker: Breaker) -> Generator[int, None, None]:
    try:
        for number in range(3):
            succeed(breaker)
            yield number
    finally:
        succeed(breaker)


async def coroutine() -> None:
    pass


async def async_generator() -> AsyncGenerator[int, None]:
    yield 1


FORMS: dict[str, Callable[[Breaker], object]] = {
    "do": lambda breaker: breaker.do(int),
    "with": with_block,
    "with that raises": block_that_raises,
    "async with": lambda breaker: whole_coroutine(async_with_block(breaker)),
    "await": lambda breaker: whole_coroutine(breaker.do(coroutine)),
    "next": lambda breaker: next(breaker.do(call_and_yield, breaker)),
    "close": lambda breaker: breaker.do(call_and_yield, breaker).close(),
    "anext": lambda breaker: whole_coroutine(anext(breaker.do(async_generator))),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_has_been_left_is_in_the_context_no_more(breaker: Breaker, form: str) -> None:
    # S56
    context = contextvars.Context()
    context.run(FORMS[form], breaker)
    assert set(context.values()) <= {None}


def test_contexts_that_inherit_each_other_for_long_make_no_chain(make_breaker: Make, clock: ManualClock) -> None:
    # S56: a worker that starts its successor inside a probe, a thousand times
    breaker = cooled(make_breaker, clock, Policy(1, 2000, 60))
    context = contextvars.Context()

    def marks() -> int:
        """How many marks of probes, that contexts hold, are alive."""
        return sum(type(found).__name__ == "Around" for found in gc.get_objects())

    alive: list[int] = []
    before = marks()
    context.run(breaker.do, lambda: alive.append(marks()))
    assert alive == [before + 1]
    for _ in range(1000):
        copies: list[contextvars.Context] = []

        def probe(copies: list[contextvars.Context] = copies) -> None:
            copies.append(contextvars.copy_context())

        context.run(breaker.do, probe)
        context = copies[0]
    gc.collect()
    assert marks() <= before + 2
    assert breaker.snapshot().half_open_successes == 1001
