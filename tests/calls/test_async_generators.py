"""Async generators: admitted at the first step, settled at their end, otherwise like native ones."""

import asyncio
import contextlib
import gc
import inspect
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, drive_to, rejected, succeed
from support.reading import counts
from support.samples import AsyncGen, raising_later, stubborn_later
from support.scripts import Step


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


async def never_ends_by_exit() -> AsyncGen:
    for _ in range(3):
        with contextlib.suppress(GeneratorExit):
            yield 1


async def swallows() -> AsyncGen:
    with contextlib.suppress(BaseException):
        yield 1


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
    [("__anext__",), ("athrow", StopAsyncIteration()), ("__anext__",)],
    [("__anext__",), ("athrow", 5), ("__anext__",), ("aclose",)],
]
FUNCTIONS = [echo, awaiting, raising_later, stubborn_later, never_ends_by_exit, swallows, empty]


async def answers(target: Any, script: list[Step]) -> list[Any]:
    """What each awaited operation gives."""
    found: list[Any] = []
    for name, *args in script:
        try:
            found.append(("value", await getattr(target, name)(*args)))
        except BaseException as error:
            found.append((type(error), str(error) if isinstance(error, Boom | KeyError) else ""))
    return found


@pytest.mark.filterwarnings("ignore")  # dropped, some do not end; Python says so aside
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("function", FUNCTIONS)
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
        (raising_later, [("__anext__",), ("__anext__",)], {"failures": 1}),
        (echo, [("__anext__",), ("aclose",)], {"successes": 1}),
        (swallows, [("__anext__",), ("aclose",)], {"successes": 1}),
        (stubborn_later, [("__anext__",), ("aclose",)], {"failures": 1}),
        (never_ends_by_exit, [("__anext__",), ("aclose",)], {"failures": 1}),
        (never_ends_by_exit, [("__anext__",), ("aclose",), ("__anext__",), ("__anext__",)], {"failures": 1}),
        (echo, [("__anext__",), ("athrow", Boom("x"))], {"failures": 1}),
        (swallows, [("__anext__",), ("athrow", Boom("x"))], {"successes": 1}),
        (echo, [("__anext__",), ("athrow", asyncio.CancelledError())], {"ignored": 1}),
        (echo, [("__anext__",), ("athrow", KeyboardInterrupt())], {"ignored": 1}),
        (echo, [("__anext__",), ("athrow", KeyError("k")), ("asend", "end")], {"successes": 1}),
        (echo, [("__anext__",), ("athrow", 5), ("athrow", 5)], {}),
        (echo, [("aclose",)], {}),
        (echo, [("athrow", Boom("before it began"))], {}),
        (echo, [("athrow", StopIteration(1))], {}),
        (echo, [("asend", "refused"), ("aclose",)], {}),
        (echo, [("asend", "refused"), ("athrow", 5), ("__anext__",), ("asend", "end")], {"successes": 1}),
    ],
)
def test_an_async_generator_ends_in_exactly_one_count(
    make_breaker: Make, function: Any, script: list[Step], ends: dict[str, int]
) -> None:
    # S1, S34
    breaker = make_breaker(Policy(1000))

    async def main() -> None:
        generator = breaker.do(function)
        assert counts(breaker) == {}
        await answers(generator, script)
        assert counts(breaker) == ends
        await answers(generator, [("__anext__",), ("__anext__",), ("aclose",), ("__anext__",)])
        assert counts(breaker) == (ends or counts(breaker))

    asyncio.run(main())


@pytest.mark.parametrize("slip", [("asend", "too early"), ("athrow", 5)], ids=str)
def test_closed_open_a_slip_before_the_start_does_not_let_it_start(make_breaker: Make, slip: Step) -> None:
    breaker = make_breaker(Policy(1, 1, 60))

    async def main() -> None:
        generator = breaker.do(echo)
        assert (await answers(generator, [slip]))[0][0] is TypeError
        breaker.acquire().failure()
        with pytest.raises(BreakerOpenError):
            await anext(generator)

    asyncio.run(main())
    assert counts(breaker) == {"failures": 1, "rejected": 1}


def test_async_for_counts_one_call_however_many_values(make_breaker: Make) -> None:
    # S34
    breaker = make_breaker(Policy())

    async def main() -> list[int]:
        return [number async for number in breaker.do(awaiting)]

    assert asyncio.run(main()) == [0, 1, 2]
    assert counts(breaker) == {"successes": 1}


def test_anext_with_a_default_settles_at_the_default(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    async def main() -> None:
        generator = breaker.do(awaiting)
        assert [await anext(generator, "over") for _ in range(3)] == [0, 1, 2]
        assert counts(breaker) == {}
        assert [await anext(generator, "over") for _ in range(2)] == ["over", "over"]

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1}


def test_half_open_a_suspended_async_generator_holds_the_probe_slot(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 2, 60))
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
    # S31
    breaker = make_breaker(Policy(1, 1, 60))
    after: list[Step] = [("__anext__",), ("athrow", Boom("x")), ("asend", 1), ("aclose",)]

    async def over() -> list[Any]:
        generator = raising_later()
        await anext(generator)
        await answers(generator, [("__anext__",)])
        return await answers(generator, after)

    async def main() -> None:
        generators: list[Any] = [breaker.do(echo), breaker(echo)(), breaker.do(breaker(echo))]
        for generator in generators:
            with pytest.raises(BreakerOpenError):
                await anext(generator)
            assert [value async for value in generator] == []
            assert generator.ag_frame is None
            assert await answers(generator, after) == await over()

    breaker.acquire().failure()
    asyncio.run(main())
    assert counts(breaker) == {"failures": 1, "rejected": 3}


def test_an_abandoned_async_generator_that_gave_an_item_succeeded_and_the_loop_closes_it(make_breaker: Make) -> None:
    # S34
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
    assert (closed, counts(breaker)) == ([True], {"successes": 1})


def test_a_loop_that_ends_closes_the_suspended_ones(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    closed: list[str] = []
    kept: list[Any] = []

    async def resource() -> AsyncGen:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async def main() -> None:
        for make in (lambda: breaker.do(resource), breaker(resource), lambda: breaker.do(lambda: resource())):
            kept.append(make())
            await anext(kept[-1])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())
    assert closed == ["closed"] * 3
    kept.clear()
    assert counts(breaker) == {"successes": 3}


@pytest.mark.parametrize("how", ["break", "cancel", "raise"])
def test_aclosing_ends_it_as_a_success_after_an_item(make_breaker: Make, how: str) -> None:
    # S34
    breaker = make_breaker(Policy(1))

    async def read() -> None:
        async with contextlib.aclosing(breaker.do(awaiting)) as generator:
            async for _ in generator:
                if how == "break":
                    break
                if how == "raise":
                    raise Boom("in the reader")
                await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.create_task(read())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(Boom, asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1}


def test_a_context_manager_made_of_it_is_one_call_as_long_as_its_block(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1000))

    @contextlib.asynccontextmanager
    @breaker
    async def connection(swallow: bool = False) -> AsyncIterator[str]:
        await asyncio.sleep(0)
        try:
            yield "connection"
        except KeyError:
            if not swallow:
                raise

    async def main() -> None:
        async with connection() as opened:
            assert (opened, counts(breaker)) == ("connection", {})
        assert counts(breaker) == {"successes": 1}
        async with connection(swallow=True):
            raise KeyError
        assert counts(breaker) == {"successes": 2}
        for error, ends in ((KeyError(), "failures"), (Boom(), "failures"), (asyncio.CancelledError(), "ignored")):
            before = counts(breaker).get(ends, 0)
            with pytest.raises(type(error)) as caught:
                async with connection():
                    raise error
            assert caught.value is error
            assert counts(breaker)[ends] == before + 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("end", "state"),
    [(("__anext__",), State.OPEN), (("aclose",), State.CLOSED), (("athrow", KeyError()), State.OPEN)],
    ids=["fails", "closed", "thrown"],
)
def test_an_overdue_async_generator_still_decides_when_it_ends(
    make_breaker: Make, clock: ManualClock, end: Step, state: State
) -> None:
    # S67
    breaker = make_breaker(Policy(1, 2, 60))
    drive_to(breaker, clock, State.HALF_OPEN)

    async def main() -> None:
        hung: Any = breaker.do(raising_later)
        await anext(hung)
        clock.advance(60)
        succeed(breaker)
        before = breaker.snapshot()
        assert (before.overdue, before.state) == (1, State.HALF_OPEN)
        await answers(hung, [end])
        assert hung.ag_frame is None
        assert breaker.state is state

    asyncio.run(main())


def test_failed_result_does_not_see_async_generators(make_breaker: Make) -> None:
    # S43
    seen: list[Any] = []
    breaker = make_breaker(Policy(1), failed_result=lambda value: seen.append(value) or True)

    async def main() -> list[Any]:
        return [value async for value in breaker.do(awaiting)]

    assert asyncio.run(main()) == [0, 1, 2]
    assert (seen, counts(breaker)) == ([], {"successes": 1})


def test_a_plain_function_that_returns_an_async_generator_is_admitted_at_the_call(make_breaker: Make) -> None:
    # S32
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(lambda: echo())
    breaker.acquire().failure()
    script: list[Step] = [("asend", "too early"), ("__anext__",), ("asend", "end")]
    assert [kind for kind, _ in asyncio.run(answers(generator, script))] == [TypeError, "value", StopAsyncIteration]
    assert counts(breaker) == {"failures": 1, "late": 1}
    with pytest.raises(BreakerOpenError):
        breaker.do(lambda: echo())


def test_a_guarded_async_generator_is_one_to_those_who_ask(make_breaker: Make) -> None:
    from collections.abc import AsyncGenerator as AbstractAsyncGenerator

    outer, inner = make_breaker(Policy(), name="outer"), make_breaker(Policy(), name="inner")
    generator: Any = outer.do(lambda: inner.do(awaiting))
    assert aiter(generator) is generator
    assert (generator.__name__, generator.ag_running, generator.ag_code) == ("awaiting", False, awaiting.__code__)
    assert "awaiting" in repr(generator)
    step: Any = generator.__anext__()
    step.close()
    assert inspect.isawaitable(step)
    with pytest.raises(AttributeError, match="nothing"):
        generator.nothing  # noqa: B018 - the read is the point
    assert isinstance(generator, AbstractAsyncGenerator)
