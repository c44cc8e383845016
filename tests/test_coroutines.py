"""Coroutines: admitted at the first ``await``, settled at their end, otherwise like native ones."""

import asyncio
import contextvars
import gc
import inspect
import types
import warnings
from collections.abc import Coroutine
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, HangUp, Make, counts, drive_to, rejected, succeed
from support.scripts import Step, drive, outcome, steps_of

Coro = Coroutine[Any, Any, Any]


class Pause:
    """An awaitable that suspends once and gives back what it is sent."""

    def __await__(self) -> Any:
        return (yield "paused")


async def twice(value: Any = None) -> Any:
    first = await Pause()
    second = await Pause()
    return (value, first, second)


async def at_once(value: Any = None) -> Any:
    return value


async def fails(error: BaseException | None = None) -> None:
    raise error or Boom("down")


async def recovers() -> str:
    try:
        await Pause()
    except KeyError as error:
        return f"caught {error}"
    return "not thrown"


SCRIPTS: list[list[Step]] = [
    [("send", None), ("send", 1), ("send", 2), ("send", 3)],
    [("send", "too early"), ("send", None), ("close",)],
    [("throw", Boom("before")), ("send", None)],
    [("send", None), ("throw", KeyError("k")), ("send", None)],
    [("close",), ("send", None), ("close",)],
    [("send", None), ("close",), ("send", None), ("throw", Boom("x"))],
    [("send", None), ("throw", asyncio.CancelledError())],
]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("function", [twice, at_once, fails, recovers])
def test_a_guarded_coroutine_answers_as_the_native_one(make_breaker: Make, function: Any, script: list[Step]) -> None:
    breaker = make_breaker(Policy(1000))
    assert steps_of(breaker.do(function), script) == steps_of(function(), script)
    assert steps_of(breaker(function)(), script) == steps_of(function(), script)


@pytest.mark.parametrize("value", [None, 5, (), (1, 2), ValueError("a value"), StopIteration(3), [None]], ids=repr)
def test_the_value_of_an_await_is_the_functions_own(make_breaker: Make, value: Any) -> None:
    breaker = make_breaker(Policy())

    async def main() -> None:
        assert await breaker.do(at_once, value) is value
        assert await breaker(at_once)(value) is value
        assert await asyncio.create_task(breaker.do(at_once, value)) is value

    asyncio.run(main())
    assert counts(breaker) == {"successes": 3}


@pytest.mark.parametrize(
    ("function", "script", "ends"),
    [
        (at_once, [("send", None)], {"successes": 1}),
        (fails, [("send", None)], {"failures": 1}),
        (twice, [("send", None), ("close",)], {"ignored": 1}),
        (twice, [("send", None), ("throw", asyncio.CancelledError())], {"ignored": 1}),
        (twice, [("send", None), ("throw", Boom("x"))], {"failures": 1}),  # F9
        (recovers, [("send", None), ("throw", KeyError("k"))], {"successes": 1}),
        (twice, [("close",)], {}),
        (twice, [("throw", asyncio.CancelledError())], {}),  # F7
    ],
)
def test_a_coroutine_ends_in_exactly_one_count(
    make_breaker: Make, function: Any, script: list[Step], ends: dict[str, int]
) -> None:
    breaker = make_breaker(Policy(1000))
    coroutine = breaker.do(function)
    assert counts(breaker) == {}
    steps_of(coroutine, script)
    assert counts(breaker) == ends
    steps_of(coroutine, [("send", None), ("close",)])
    assert counts(breaker) == ends


def test_cancelled_before_the_start_nothing_runs_and_no_permit_is_taken(make_breaker: Make) -> None:
    # F7
    breaker = make_breaker(Policy(1))
    ran: list[bool] = []

    async def work() -> None:
        ran.append(True)

    async def main() -> None:
        task = asyncio.create_task(breaker.do(work))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (ran, counts(breaker)) == ([], {})


def test_half_open_a_cancelled_probe_gives_its_slot_back(make_breaker: Make, clock: ManualClock) -> None:
    # F5
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    before = breaker.snapshot().ignored

    async def main() -> None:
        task = asyncio.create_task(breaker.do(asyncio.sleep, 3600))
        await asyncio.sleep(0)
        assert breaker.snapshot().half_open_in_flight == 1
        rejected(breaker)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert breaker.state is State.HALF_OPEN
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.snapshot().ignored == before + 1
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_an_error_of_its_own_while_it_is_cancelled_counts_as_a_failure(make_breaker: Make) -> None:
    # F9
    breaker = make_breaker(Policy(5))

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise Boom("first")

    async def main() -> None:
        task = asyncio.create_task(breaker.do(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(Boom):
            await task

    asyncio.run(main())
    assert counts(breaker) == {"failures": 1}


def test_a_time_limit_inside_is_a_failure_and_one_around_it_is_a_cancellation(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(5))

    async def limited() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(3600)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await breaker.do(limited)
        assert counts(breaker) == {"failures": 1}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await breaker.do(asyncio.sleep, 3600)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(breaker.do(asyncio.sleep, 3600), 0.001)

    asyncio.run(main())
    assert counts(breaker) == {"failures": 1, "ignored": 2}


def test_closed_open_a_coroutine_made_before_the_trip_is_rejected_when_awaited(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    made = [breaker.do(at_once), breaker(at_once)()]
    breaker.acquire().failure()
    for coroutine in made:
        with pytest.raises(BreakerOpenError):
            coroutine.send(None)
        assert outcome(lambda c=coroutine: c.send(None))[1] is RuntimeError  # over: it cannot be awaited again
    del made, coroutine
    gc.collect()  # and nothing warns that it was never awaited
    assert counts(breaker) == {"failures": 1, "rejected": 2}


def test_a_coroutine_that_is_never_awaited_takes_no_permit_and_warns(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    for make in (breaker.do, lambda fn: breaker(fn)()):
        with pytest.warns(RuntimeWarning, match="coroutine 'at_once' was never awaited"):
            make(at_once)
    assert counts(breaker) == {}


def test_wrong_arguments_raise_at_the_call_as_without_a_breaker(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    with pytest.raises(TypeError, match="unexpected keyword"):
        breaker.do(at_once, nothing=1)
    assert counts(breaker) == {}


def test_a_suspended_coroutine_that_is_dropped_is_ignored(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    before = breaker.snapshot().ignored
    for _ in range(3):  # memory is used again
        coroutine = breaker.do(twice)
        coroutine.send(None)
        del coroutine
        assert breaker.snapshot().half_open_in_flight == 0
    box: list[Any] = []
    box.append(breaker.do(twice, box))
    box[0].send(None)
    box = []
    gc.collect()
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.snapshot().ignored == before + 4


def test_a_result_after_the_trip_is_late(make_breaker: Make) -> None:
    # E1, E7
    breaker = make_breaker(Policy(5, 1, 60))
    flying = [breaker.do(twice) for _ in range(100)]
    for coroutine in flying:
        coroutine.send(None)
    for coroutine in flying:
        with pytest.raises(Boom):
            coroutine.throw(Boom("down"))
    assert breaker.state is State.OPEN
    assert counts(breaker) == {"failures": 5, "late": 95}


def test_a_lost_probe_changes_nothing_when_it_ends(make_breaker: Make, clock: ManualClock) -> None:
    # F11
    breaker = make_breaker(Policy(1, 2, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    hung = breaker.do(twice)
    hung.send(None)
    clock.advance(60)
    succeed(breaker)
    before = breaker.snapshot()
    steps_of(hung, [("send", 1), ("send", 2)])
    assert breaker.snapshot() == before
    assert before.lost == 1


def test_failed_result_sees_the_awaited_value(make_breaker: Make) -> None:
    seen: list[Any] = []
    breaker = make_breaker(Policy(2, 1, 60), failed_result=lambda value: seen.append(value) or value == "bad")
    for function in (at_once, lambda value: at_once(value)):
        assert drive(breaker.do(function, "bad")) == ("stop", "bad")
    assert seen == ["bad", "bad"]
    assert breaker.state is State.OPEN
    assert rejected(breaker).last_error == "failed result"


def test_a_raising_failed_result_is_a_failure_and_is_raised_from_the_await(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(5), failed_result=lambda value: 1 / value)
    assert drive(breaker.do(at_once, 0))[1] is ZeroDivisionError
    assert steps_of(breaker.do(recovers), [("send", None), ("throw", KeyError("k"))])[1][1] is TypeError
    assert counts(breaker) == {"failures": 2}


def test_awaiting_twice_is_refused_as_for_a_native_coroutine(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))

    async def main() -> None:
        coroutine = breaker.do(asyncio.sleep, 0.01)
        first = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)

        async def again() -> None:
            await coroutine

        with pytest.raises(RuntimeError, match="being awaited already"):
            await again()
        await first
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await coroutine

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1}


def test_gather_and_task_groups_run_guarded_coroutines(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1000))

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        if number % 3 == 0:
            raise Boom(str(number))
        return number

    async def main() -> None:
        results = await asyncio.gather(*(breaker.do(work, n) for n in range(300)), return_exceptions=True)
        assert [isinstance(result, Boom) for result in results] == [n % 3 == 0 for n in range(300)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(breaker.do(at_once, n)) for n in range(5)]
        assert [task.result() for task in tasks] == list(range(5))

    asyncio.run(main())
    assert counts(breaker) == {"successes": 205, "failures": 100}


def test_an_exception_group_of_a_task_group_is_judged_by_its_leaves(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60), success_on=KeyError)

    async def both(error: BaseException) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(3600))
            group.create_task(fails(error))

    with pytest.raises(ExceptionGroup):
        asyncio.run(breaker.do(both, KeyError("healthy")))
    assert counts(breaker) == {"successes": 1}
    with pytest.raises(ExceptionGroup):
        asyncio.run(breaker.do(both, Boom("down")))
    assert breaker.state is State.OPEN


def test_a_permit_around_awaits_settles_by_what_leaves_the_block(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(5))

    async def main() -> None:
        with breaker.acquire():
            await asyncio.sleep(0)
        with pytest.raises(Boom), breaker.acquire():
            await fails()
        task = asyncio.create_task(hold(breaker))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1}


async def hold(breaker: Breaker) -> None:
    with breaker.acquire():
        await asyncio.sleep(3600)


def test_futures_and_other_awaitables_are_plain_values(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))

    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        assert breaker.do(lambda: future) is future
        pause = Pause()
        assert breaker.do(lambda: pause) is pause
        task = breaker.do(lambda: asyncio.create_task(fails()))
        assert counts(breaker) == {"successes": 3}
        with pytest.raises(Boom):
            await task

    asyncio.run(main())
    assert breaker.state is State.CLOSED


def test_a_plain_function_that_returns_a_coroutine_is_admitted_at_the_call(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    coroutine = breaker.do(lambda: twice())
    breaker.acquire().failure()
    steps_of(coroutine, [("send", None), ("send", 1), ("send", 2)])
    assert counts(breaker) == {"failures": 1, "late": 1}
    with pytest.raises(BreakerOpenError):
        breaker.do(lambda: at_once())


def test_a_generator_based_coroutine_is_awaited_like_any(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    @types.coroutine
    def old_style(value: Any) -> Any:
        got = yield "paused"
        return (value, got)

    async def main() -> Any:
        return await breaker.do(old_style, 1)

    assert drive(main(), [2]) == ("stop", (1, 2))
    assert counts(breaker) == {"successes": 1}


def test_context_variables_and_interrupts_pass_through(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def work() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    async def main() -> None:
        variable.set(5)
        assert await breaker.do(work) == 6
        assert variable.get() == 6

    asyncio.run(main())
    for interrupt in (KeyboardInterrupt(), HangUp()):
        assert drive(breaker.do(fails, interrupt))[1] is type(interrupt)
    assert counts(breaker) == {"successes": 1, "ignored": 2}


def test_a_guarded_coroutine_is_a_coroutine_to_those_who_ask(make_breaker: Make) -> None:
    from collections.abc import Coroutine as AbstractCoroutine

    coroutine = make_breaker(Policy()).do(twice)
    assert isinstance(coroutine, AbstractCoroutine)
    assert inspect.isawaitable(coroutine)
    assert asyncio.iscoroutine(coroutine)
    assert inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
    coroutine.send(None)
    assert inspect.getcoroutinestate(coroutine) == "CORO_SUSPENDED"
    assert (coroutine.__name__, coroutine.cr_code) == ("twice", twice.__code__)
    assert "twice" in repr(coroutine)
    coroutine.close()
    assert inspect.getcoroutinestate(coroutine) == "CORO_CLOSED"


def test_nested_breakers_each_count_one_coroutine(make_breaker: Make) -> None:
    outer, inner = make_breaker(Policy(), name="outer"), make_breaker(Policy(1, 1, 60), name="inner")
    assert drive(outer.do(inner(at_once), 1)) == ("stop", 1)
    assert drive(outer.do(lambda: inner.do(at_once, 2))) == ("stop", 2)
    inner.acquire().failure()
    assert drive(outer.do(inner(at_once), 3))[1] is BreakerOpenError
    assert counts(outer) == {"successes": 2, "ignored": 1}


def test_no_warning_is_left_when_a_loop_ends_with_calls_in_flight(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    async def main() -> None:
        tasks = [asyncio.ensure_future(breaker.do(asyncio.sleep, 3600)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())
        gc.collect()
    assert counts(breaker) == {"ignored": 3}
