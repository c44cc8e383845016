"""Calls of each form, ended in each way, leave no object, no reference and no slot behind."""

import asyncio
import contextlib
import gc
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from typing import Any

import pytest

from breaker import Breaker, Policy
from support.drive import Boom, HangUp, Make, identity
from support.long import times
from support.samples import Pause
from support.scripts import outcome

TIMES = times(20_000, 100_000)
TASKS = 100_000


async def a_coroutine(value: Any) -> Any:
    await Pause(None)
    return value


async def a_failing_coroutine(value: Any) -> Any:
    await Pause(None)
    raise Boom


def a_generator(value: Any) -> Generator[Any, Any, Any]:
    yield value
    return value


async def an_async_generator(value: Any) -> AsyncGenerator[Any, Any]:
    yield value
    await Pause(None)


def plain(breaker: Breaker, value: Any) -> None:
    breaker.do(identity, value)
    breaker.do(identity, value=value)


def failing(breaker: Breaker, value: Any) -> None:
    outcome(lambda: breaker.do(lambda: 1 / 0))


def returned(breaker: Breaker, value: Any) -> None:
    later = breaker.do(lambda: a_coroutine(value))
    later.send(None)
    outcome(lambda: later.send(None))


def awaited(breaker: Breaker, value: Any) -> None:
    later = breaker.do(a_coroutine, value)
    later.send(None)
    outcome(lambda: later.send(None))


def awaited_by_its_iterator(breaker: Breaker, value: Any) -> None:
    iterator = breaker.do(a_coroutine, value).__await__()
    next(iterator)
    outcome(lambda: next(iterator))


def failed(breaker: Breaker, value: Any) -> None:
    later = breaker.do(a_failing_coroutine, value)
    later.send(None)
    outcome(lambda: later.send(None))


def thrown_into(breaker: Breaker, value: Any) -> None:
    for later in (breaker.do(a_coroutine, value), breaker.do(a_generator, value)):
        later.send(None)
        outcome(lambda later=later: later.throw(HangUp()))


def closed(breaker: Breaker, value: Any) -> None:
    for later in (breaker.do(a_coroutine, value), breaker.do(a_generator, value)):
        later.send(None)
        later.close()


def dropped(breaker: Breaker, value: Any) -> None:
    for later in (breaker.do(a_coroutine, value), breaker.do(a_generator, value)):
        later.send(None)


def not_begun(breaker: Breaker, value: Any) -> None:
    breaker.do(a_generator, value)
    breaker.do(an_async_generator, value)
    outcome(lambda: breaker.do(a_generator, value).throw(HangUp()))
    breaker.do(a_coroutine, value).close()


def slipped(breaker: Breaker, value: Any) -> None:
    started: list[Any] = [breaker.do(a_coroutine, value), breaker.do(lambda: a_generator(value))]
    for later in started:
        outcome(lambda later=later: later.send("too early"))
        outcome(lambda later=later: later.throw(5))
        later.close()


def iterated(breaker: Breaker, value: Any) -> None:
    for _ in breaker.do(a_generator, value):
        pass
    for _ in breaker(a_generator)(value):
        pass


def stepped(breaker: Breaker, value: Any) -> None:
    generator = breaker.do(an_async_generator, value)
    outcome(lambda: generator.__anext__().send(None))
    step = generator.asend(value)
    step.send(None)
    outcome(lambda: generator.__anext__().send(None))  # two at once
    outcome(lambda: step.send(None))
    outcome(lambda: step.send(None))  # twice
    outcome(lambda: generator.aclose().send(None))


def steps_given_up(breaker: Breaker, value: Any) -> None:
    for give_up in (lambda step: None, lambda step: step.close(), lambda step: outcome(lambda: step.throw(HangUp()))):
        generator = breaker.do(an_async_generator, value)
        outcome(lambda generator=generator: generator.__anext__().send(None))
        step = generator.__anext__()
        step.send(None)
        give_up(step)


def rejected(breaker: Breaker, value: Any) -> None:
    breaker.force_open()
    outcome(lambda: breaker.do(identity, value))
    outcome(lambda: breaker.do(a_coroutine, value).send(None))
    outcome(lambda: next(breaker.do(a_generator, value)))
    outcome(lambda: breaker.do(an_async_generator, value).__anext__().send(None))
    breaker.clear_override()


class Awaits:
    """Awaited without being a coroutine."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        yield None
        return self.value


@contextlib.contextmanager
def a_manager(value: Any) -> Generator[Any, Any, Any]:
    yield value


def of_a_future(breaker: Breaker, value: Any) -> None:
    breaker.do(Future[Any]).set_result(value)
    breaker.do(Future[Any]).cancel()
    breaker.do(Future[Any])


def of_an_awaitable(breaker: Breaker, value: Any) -> None:
    steps = breaker.do(Awaits, value).__await__()
    next(steps)
    outcome(lambda: next(steps))
    next(breaker.do(Awaits, value).__await__())
    breaker.do(Awaits, value)


def of_a_context_manager(breaker: Breaker, value: Any) -> None:
    with breaker.do(a_manager, value) as inside:
        assert inside is value
    breaker.do(a_manager, value)


FORMS = [
    *(of_a_future, of_an_awaitable, of_a_context_manager),
    *(plain, failing, returned, awaited, awaited_by_its_iterator, failed, thrown_into, closed, dropped, not_begun),
    *(slipped, iterated, stepped, steps_given_up, rejected),
]


@pytest.mark.filterwarnings("ignore")  # steps dropped half done
@pytest.mark.parametrize("judged", [False, True], ids=["", "judged"])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_nothing_is_left(make_breaker: Make, form: Callable[[Breaker, Any], None], judged: bool) -> None:
    breaker = make_breaker(Policy(10**9), **({"failed_result": lambda value: False} if judged else {}))
    value, held = object(), (breaker, a_coroutine, a_generator, an_async_generator, identity)

    def references() -> list[int]:
        gc.collect()
        return [sys.getrefcount(value), *map(sys.getrefcount, held)]

    for _ in range(1000):
        form(breaker, value)
    references_before, blocks_before = references(), sys.getallocatedblocks()
    for _ in range(TIMES // 10 if judged else TIMES):
        form(breaker, value)
    assert references() == references_before
    assert sys.getallocatedblocks() - blocks_before < 100


def test_nothing_of_the_core_is_left_after_a_hundred_thousand_tasks(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(10**9))

    async def main(times: int) -> None:
        for _ in range(times // 100):
            await asyncio.gather(*(breaker.do(asyncio.sleep, 0) for _ in range(100)))

    asyncio.run(main(1000))
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.take_snapshot()
        asyncio.run(main(TASKS))
        gc.collect()
        grown = tracemalloc.take_snapshot().compare_to(before, "filename")
        assert sum(part.size_diff for part in grown) < 200_000  # two bytes a call
    finally:
        tracemalloc.stop()
    assert breaker.snapshot().successes == TASKS + 1000
