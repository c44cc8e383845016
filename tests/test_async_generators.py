"""Async generators: admitted at the first step, settled at their end, otherwise like native ones."""

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, counts, drive_to, rejected, succeed
from support.scripts import Step, drive, outcome

AsyncGen = AsyncGenerator[Any, Any]


async def echo() -> AsyncGen:
    got: Any = "first"
    while got != "end":
        try:
            got = yield got
        except KeyError as error:
            got = f"caught {error}"


async def awaiting() -> AsyncGen:
    for number in range(3):
        await asyncio.sleep(0)
        yield number


async def raising() -> AsyncGen:
    yield 1
    raise Boom("inside")


async def stubborn() -> AsyncGen:
    try:
        yield 1
    except GeneratorExit:
        raise Boom("while closing") from None


async def empty() -> AsyncGen:
    return
    yield


SCRIPTS: list[list[Step]] = [
    [("__anext__",), ("asend", "x"), ("asend", "end"), ("__anext__",), ("aclose",)],
    [("asend", "too early"), ("__anext__",), ("asend", "end")],
    [("athrow", KeyError("k")), ("__anext__",)],
    [("__anext__",), ("athrow", KeyError("k")), ("athrow", Boom("no")), ("__anext__",)],
    [("aclose",), ("__anext__",), ("aclose",), ("asend", None)],
    [("__anext__",), ("aclose",), ("__anext__",), ("aclose",)],
    [("__anext__",), ("__anext__",), ("__anext__",), ("__anext__",), ("__anext__",)],
    [("__anext__",), ("athrow", GeneratorExit())],
]


async def answers(target: AsyncGen, script: list[Step]) -> list[Any]:
    """What each awaited operation gives."""
    found = []
    for name, *args in script:
        try:
            found.append(("value", await getattr(target, name)(*args)))
        except BaseException as error:
            found.append((type(error), str(error) if isinstance(error, Boom | KeyError) else ""))
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("function", [echo, awaiting, raising, stubborn, empty])
def test_a_guarded_async_generator_answers_as_the_native_one(
    make_breaker: Make, function: Any, script: list[Step]
) -> None:
    breaker = make_breaker(Policy(1000))
    native = asyncio.run(answers(function(), script))
    assert asyncio.run(answers(breaker.do(function), script)) == native
    assert asyncio.run(answers(breaker(function)(), script)) == native


@pytest.mark.parametrize(
    ("function", "script", "ends"),
    [
        (echo, [("__anext__",), ("asend", "end")], {"successes": 1}),
        (empty, [("__anext__",)], {"successes": 1}),
        (raising, [("__anext__",), ("__anext__",)], {"failures": 1}),
        (echo, [("__anext__",), ("aclose",)], {"ignored": 1}),
        (stubborn, [("__anext__",), ("aclose",)], {"failures": 1}),
        (echo, [("__anext__",), ("athrow", Boom("x"))], {"failures": 1}),
        (echo, [("__anext__",), ("athrow", asyncio.CancelledError())], {"ignored": 1}),
        (echo, [("__anext__",), ("athrow", KeyError("k")), ("asend", "end")], {"successes": 1}),
        (echo, [("aclose",)], {}),
        (echo, [("athrow", Boom("before it began"))], {}),
        (echo, [("asend", "refused"), ("aclose",)], {}),
    ],
)
def test_an_async_generator_ends_in_exactly_one_count(
    make_breaker: Make, function: Any, script: list[Step], ends: dict[str, int]
) -> None:
    breaker = make_breaker(Policy(1000))

    async def main() -> None:
        generator = breaker.do(function)
        assert counts(breaker) == {}
        await answers(generator, script)
        assert counts(breaker) == ends
        await answers(generator, [("__anext__",), ("aclose",), ("__anext__",)])
        assert counts(breaker) == ends

    asyncio.run(main())


def test_async_for_counts_one_call_however_many_values(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    async def main() -> list[int]:
        return [number async for number in breaker.do(awaiting)]

    assert asyncio.run(main()) == [0, 1, 2]
    assert counts(breaker) == {"successes": 1}


def test_half_open_a_suspended_async_generator_holds_the_probe_slot(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)

    async def main() -> None:
        generator = breaker.do(awaiting)
        assert breaker.snapshot().half_open_in_flight == 0
        assert await anext(generator) == 0
        assert breaker.snapshot().half_open_in_flight == 1
        rejected(breaker)
        await generator.aclose()
        assert breaker.snapshot().half_open_in_flight == 0

    asyncio.run(main())
    assert breaker.state is State.HALF_OPEN
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_closed_open_it_is_rejected_at_its_first_step_and_then_over(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))

    async def main() -> None:
        generator = breaker.do(echo)
        breaker.acquire().failure()
        with pytest.raises(BreakerOpenError):
            await anext(generator)
        assert [value async for value in generator] == []

    asyncio.run(main())
    assert counts(breaker) == {"failures": 1, "rejected": 1}


def test_an_abandoned_async_generator_is_ignored_and_the_loop_closes_it(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    closed: list[bool] = []

    async def resource() -> AsyncGen:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def main() -> None:
        async for _ in breaker.do(resource):
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert (closed, counts(breaker)) == ([True], {"ignored": 1})


def test_a_step_that_is_cancelled_ends_the_call_as_ignored(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))

    async def slow() -> AsyncGen:
        await asyncio.sleep(3600)
        yield 1

    async def main() -> None:
        task = asyncio.ensure_future(anext(breaker.do(slow)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert counts(breaker) == {"ignored": 1}


def test_two_steps_at_once_are_refused_and_settle_nothing(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))

    async def main() -> None:
        generator = breaker.do(awaiting)
        first = asyncio.ensure_future(anext(generator))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already running"):
            await anext(generator)
        assert await first == 0
        assert counts(breaker) == {}
        assert [value async for value in generator] == [1, 2]

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1}


def test_a_step_is_awaited_once(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    step = breaker.do(echo).__anext__()
    assert drive(step) == ("stop", "first")
    assert outcome(partial(step.send, None))[1] is RuntimeError
    assert outcome(partial(step.throw, Boom("x")))[1] is RuntimeError
    step.close()
    assert counts(breaker) == {}
    del step  # and with it the generator
    assert counts(breaker) == {"ignored": 1}


def test_a_lost_async_generator_changes_nothing_when_it_ends(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)

    async def main() -> None:
        hung = breaker.do(raising)
        await anext(hung)
        clock.advance(60)
        succeed(breaker)
        with pytest.raises(Boom):
            await anext(hung)

    asyncio.run(main())
    assert breaker.state is State.CLOSED
    assert counts(breaker)["lost"] == 1


def test_failed_result_does_not_see_async_generators(make_breaker: Make) -> None:
    seen: list[Any] = []
    breaker = make_breaker(Policy(1), failed_result=lambda value: seen.append(value) or True)

    async def main() -> list[Any]:
        return [value async for value in breaker.do(awaiting)]

    assert asyncio.run(main()) == [0, 1, 2]
    assert (seen, counts(breaker)) == ([], {"successes": 1})


def test_a_plain_function_that_returns_an_async_generator_is_admitted_at_the_call(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(lambda: awaiting())
    breaker.acquire().failure()

    async def main() -> list[Any]:
        return [value async for value in generator]

    assert asyncio.run(main()) == [0, 1, 2]
    assert counts(breaker) == {"failures": 1, "late": 1}
    with pytest.raises(BreakerOpenError):
        breaker.do(lambda: awaiting())


def test_a_guarded_async_generator_is_one_to_those_who_ask(make_breaker: Make) -> None:
    from collections.abc import AsyncGenerator as AbstractAsyncGenerator

    outer, inner = make_breaker(Policy(), name="outer"), make_breaker(Policy(), name="inner")
    generator = outer.do(lambda: inner.do(awaiting))
    assert isinstance(generator, AbstractAsyncGenerator)
    assert (generator.__name__, generator.ag_code) == ("awaiting", awaiting.__code__)
    assert inspect.isawaitable(generator.__anext__())
    assert "awaiting" in repr(generator)

    async def main() -> list[Any]:
        return [value async for value in generator]

    assert asyncio.run(main()) == [0, 1, 2]
    assert counts(outer) == counts(inner) == {"successes": 1}
