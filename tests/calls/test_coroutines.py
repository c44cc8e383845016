"""Coroutines: admitted at the first ``await``, settled at their end, otherwise like native ones."""

import asyncio
import gc
import inspect
import types
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, HangUp, Make, drive_to, rejected, succeed
from support.reading import counts
from support.samples import Coro, Pause, at_once, fails
from support.scripts import Step, drive, outcome, steps_of


@types.coroutine
def old_style(value: Any = None) -> Any:
    return (value, (yield "paused"))


async def twice(value: Any = None) -> Any:
    first = await Pause()
    second = await Pause()
    return (value, first, second)


async def recovers() -> str:
    try:
        await Pause()
    except KeyError as error:
        return f"caught {error}"
    return "not thrown"


async def stops() -> None:
    raise StopIteration("no end of a coroutine")


async def clings() -> None:
    try:
        await Pause()
    except GeneratorExit:
        await Pause()


SCRIPTS: list[list[Step]] = [
    [("send", None), ("send", 1), ("send", 2), ("send", 3)],
    [("send", "too early"), ("send", None), ("close",)],
    [("throw", Boom("before")), ("send", None)],
    [("send", None), ("throw", KeyError("k")), ("send", None)],
    [("close",), ("send", None), ("close",)],
    [("send", None), ("close",), ("send", None), ("throw", Boom("x"))],
    [("send", None), ("throw", asyncio.CancelledError())],
    [("throw", StopIteration(1)), ("send", None)],
    [("send", None), ("throw", GeneratorExit()), ("send", None)],
]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("function", [twice, at_once, fails, recovers, stops, clings])
def test_a_guarded_coroutine_answers_as_the_native_one(make_breaker: Make, function: Any, script: list[Step]) -> None:
    breaker = make_breaker(Policy(1000))
    assert steps_of(breaker.do(function), script) == steps_of(function(), script)
    assert steps_of(breaker(function)(), script) == steps_of(function(), script)


VALUES = [None, 5, (), (1, 2), (None,), ValueError("a value"), StopIteration(3), StopIteration, [None], at_once]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_value_of_an_await_is_the_functions_own(make_breaker: Make, value: Any) -> None:
    breaker = make_breaker(Policy())

    async def main() -> None:
        assert await breaker.do(at_once, value) is value
        assert await breaker(at_once)(value) is value
        assert await breaker.do(lambda: at_once(value)) is value
        assert await asyncio.create_task(breaker.do(at_once, value)) is value
        assert drive(breaker.do(at_once, value))[1] is value

    asyncio.run(main())
    assert counts(breaker) == {"successes": 5}


class Chatty:
    """A value whose end awaits one more."""

    def __init__(self, breaker: Breaker, heard: list[Any]) -> None:
        self.breaker, self.heard = breaker, heard

    def __del__(self) -> None:
        self.heard.append(drive(self.breaker.do(at_once, "last words")))


def test_a_stop_that_is_kept_keeps_its_value(make_breaker: Make) -> None:
    # driven by hand: where the interpreter drives, nobody sees the StopIteration that carries a value
    breaker = make_breaker(Policy())
    stops: list[StopIteration] = []
    heard: list[Any] = []
    for value in [(1,), None, StopIteration(2), (), 5] * 20:
        link = (value, stops[-1:], Chatty(breaker, heard))
        with pytest.raises(StopIteration) as caught:
            next(breaker.do(at_once, link).__await__())
        stops.append(caught.value)
        assert drive(breaker.do(at_once, value)) == ("stop", value)
        assert caught.value.value is link
    assert all(later.value[1] == [earlier] for earlier, later in pairwise(stops))
    assert heard == []
    del stops, caught, link
    gc.collect()
    assert heard == [("stop", "last words")] * 100
    assert counts(breaker) == {"successes": 300}


@pytest.mark.parametrize(
    ("function", "script", "ends"),
    [
        (at_once, [("send", None)], {"successes": 1}),
        (fails, [("send", None)], {"failures": 1}),
        (stops, [("send", None)], {"failures": 1}),
        (twice, [("send", None), ("close",)], {"ignored": 1}),
        (twice, [("send", None), ("throw", asyncio.CancelledError())], {"ignored": 1}),
        (twice, [("send", None), ("throw", Boom("x"))], {"failures": 1}),  # S40
        (recovers, [("send", None), ("throw", KeyError("k"))], {"successes": 1}),
        (clings, [("send", None), ("close",)], {"failures": 1}),
        (twice, [("close",)], {}),
        (twice, [("throw", asyncio.CancelledError())], {}),  # S35
        (twice, [("throw", Boom)], {}),
        (twice, [("throw", StopIteration(1))], {}),
    ],
)
def test_a_coroutine_ends_in_exactly_one_count(
    make_breaker: Make, function: Any, script: list[Step], ends: dict[str, int]
) -> None:
    # S1
    breaker = make_breaker(Policy(1000))
    coroutine = breaker.do(function)
    assert counts(breaker) == {}
    steps_of(coroutine, script)
    assert counts(breaker) == ends
    steps_of(coroutine, [("send", None), ("throw", Boom("again")), ("close",)])
    assert counts(breaker) == ends


SLIPS: list[Step] = [("send", "too early"), ("send",), ("throw",), ("throw", 5), ("throw", 1, 2, 3, 4)]


@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_closed_open_a_slip_before_the_start_does_not_let_it_start(make_breaker: Make, slip: Step) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    coroutine = breaker.do(twice)
    assert steps_of(coroutine, [slip])[0][1] is TypeError
    breaker.acquire().failure()
    with pytest.raises(BreakerOpenError):
        coroutine.send(None)
    assert counts(breaker) == {"failures": 1, "rejected": 1}


@pytest.mark.parametrize("slip", SLIPS, ids=str)
@pytest.mark.parametrize("make", [twice, lambda: twice()], ids=["admitted at the await", "at the call"])
def test_a_slip_before_the_start_is_no_end(make_breaker: Make, slip: Step, make: Callable[[], Coro]) -> None:
    # S35
    breaker = make_breaker(Policy(1, 1, 60))
    coroutine = breaker.do(make)
    assert steps_of(coroutine, [slip, ("send", None), ("send", 1), ("send", 2)])[-1] == ("stop", (None, 1, 2))
    assert counts(breaker) == {"successes": 1}


@pytest.mark.parametrize("end", [("send", None), ("close",), ("throw", KeyError())], ids=["awaits", "closes", "throws"])
def test_a_coroutine_that_meddles_with_itself_is_refused_and_counts_once(make_breaker: Make, end: Step) -> None:
    breaker = make_breaker(Policy(1000))
    answered: list[Any] = []

    async def meddles() -> None:
        try:
            await Pause()
        finally:
            answered.extend(steps_of(coroutine, [("send", None), ("throw", Boom()), ("close",)]))

    coroutine = breaker.do(meddles)
    steps_of(coroutine, [("send", None), end])
    assert [answer[1] for answer in answered] == [ValueError] * 3
    ends = {"send": "successes", "close": "ignored", "throw": "failures"}
    assert counts(breaker) == {ends[end[0]]: 1}


def test_closed_open_a_coroutine_made_before_the_trip_is_rejected_when_awaited(make_breaker: Make) -> None:
    # S31
    breaker = make_breaker(Policy(1, 1, 60))
    made = [breaker.do(at_once), breaker(at_once)(), breaker.do(old_style), breaker.do(breaker(at_once))]
    breaker.acquire().failure()
    for coroutine in made:
        with pytest.raises(BreakerOpenError):
            coroutine.send(None)
        assert steps_of(coroutine, [("close",), ("throw", Boom("x"))])[0] == ("value", None)
    for coroutine in made[:2]:
        assert outcome(partial(coroutine.send, None))[1] is RuntimeError  # over: it cannot be awaited again
        assert inspect.getcoroutinestate(coroutine) == "CORO_CLOSED"
    del made, coroutine
    gc.collect()  # and nothing warns that it was never awaited
    assert counts(breaker) == {"failures": 1, "rejected": 4}


def test_a_coroutine_that_is_never_awaited_takes_no_permit_and_warns(make_breaker: Make) -> None:
    # S35
    breaker = make_breaker(Policy())
    for make in (breaker.do, lambda fn: breaker(fn)(), lambda fn: breaker.do(breaker(fn))):
        with pytest.warns(RuntimeWarning, match="coroutine 'at_once' was never awaited") as warned:
            make(at_once)
        assert len(warned) == 1
    assert counts(breaker) == {}


def test_wrong_arguments_raise_at_the_call_as_without_a_breaker(make_breaker: Make) -> None:
    # S31
    breaker = make_breaker(Policy(1))
    with pytest.raises(TypeError, match="unexpected keyword"):
        breaker.do(at_once, nothing=1)  # type: ignore[call-arg]
    assert counts(breaker) == {}


def test_a_suspended_coroutine_that_is_dropped_is_ignored(make_breaker: Make, clock: ManualClock) -> None:
    # S39
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
    # S60
    breaker = make_breaker(Policy(5, 1, 60))
    flying = [breaker.do(twice) for _ in range(100)]
    for coroutine in flying:
        coroutine.send(None)
    for coroutine in flying:
        with pytest.raises(Boom):
            coroutine.throw(Boom("down"))
    assert breaker.state is State.OPEN
    assert counts(breaker) == {"failures": 5, "late": 95}


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ([("send", 1), ("send", 2)], State.CLOSED),
        ([("throw", Boom("x"))], State.OPEN),
        ([("close",)], State.HALF_OPEN),
    ],
    ids=["returns", "fails", "is closed"],
)
def test_an_overdue_probe_still_decides_when_it_ends(
    make_breaker: Make, clock: ManualClock, end: list[Step], state: State
) -> None:
    # S67
    breaker = make_breaker(Policy(1, 2, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    hung = breaker.do(twice)
    hung.send(None)
    rejected(breaker)
    clock.advance(60)
    succeed(breaker)
    assert (breaker.state, counts(breaker)["overdue"]) == (State.HALF_OPEN, 1)
    steps_of(hung, end)
    assert breaker.state is state


def test_failed_result_sees_the_awaited_value(make_breaker: Make) -> None:
    # S43
    seen: list[Any] = []
    breaker = make_breaker(Policy(2, 1, 60), failed_result=lambda value: seen.append(value) or value == "bad")
    for function in (at_once, lambda value: at_once(value)):
        assert drive(breaker.do(function, "bad")) == ("stop", "bad")
    assert seen == ["bad", "bad"]
    assert breaker.state is State.OPEN
    assert rejected(breaker).last_error == "failed result"


def test_a_raising_failed_result_is_a_failure_and_is_raised_from_the_await(make_breaker: Make) -> None:
    # S43
    breaker = make_breaker(Policy(5), failed_result=lambda value: 1 / value)
    assert drive(breaker.do(at_once, 0))[1] is ZeroDivisionError
    assert steps_of(breaker.do(recovers), [("send", None), ("throw", KeyError("k"))])[1][1] is TypeError
    assert counts(breaker) == {"failures": 2}


def test_awaiting_it_while_it_is_awaited_is_refused_as_for_a_native_one(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))

    async def wait(coroutine: Coro) -> Any:
        return await coroutine

    for coroutine in (twice(), breaker.do(twice), breaker.do(lambda: twice()), breaker.do(breaker(twice))):
        first, second = wait(coroutine), wait(coroutine)
        assert first.send(None) == "paused"
        with pytest.raises(RuntimeError, match="being awaited already"):
            second.send(None)
        assert steps_of(first, [("send", 1), ("send", 2)]) == [("value", "paused"), ("stop", (None, 1, 2))]
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            wait(coroutine).send(None)
    assert counts(breaker) == {"successes": 4}


def test_a_plain_function_that_returns_a_coroutine_is_admitted_at_the_call(make_breaker: Make) -> None:
    # S32
    breaker = make_breaker(Policy(1, 1, 60))
    coroutine = breaker.do(lambda: twice())
    breaker.acquire().failure()
    steps_of(coroutine, [("send", None), ("send", 1), ("send", 2)])
    assert counts(breaker) == {"failures": 1, "late": 1}
    with pytest.raises(BreakerOpenError):
        breaker.do(lambda: at_once())


@pytest.mark.parametrize("function", [old_style, lambda value: old_style(value)], ids=["itself", "returned"])
def test_a_generator_based_coroutine_is_awaited_like_any(make_breaker: Make, function: Any) -> None:
    # S31
    breaker = make_breaker(Policy())

    async def main() -> Any:
        return await breaker.do(function, 1)

    assert drive(main(), [2]) == ("stop", (1, 2))
    assert counts(breaker) == {"successes": 1}


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(3), HangUp(), asyncio.CancelledError()])
def test_an_interrupt_inside_is_ignored_and_passes_as_it_is(make_breaker: Make, interrupt: BaseException) -> None:
    # S40
    breaker = make_breaker(Policy(1))
    with pytest.raises(type(interrupt)) as caught:
        breaker.do(fails, interrupt).send(None)
    assert caught.value is interrupt
    assert counts(breaker) == {"ignored": 1}


def test_a_guarded_coroutine_is_a_coroutine_to_those_who_ask(make_breaker: Make) -> None:
    from collections.abc import Coroutine as AbstractCoroutine

    coroutine: Any = make_breaker(Policy()).do(twice)
    assert inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
    coroutine.send(None)
    assert inspect.getcoroutinestate(coroutine) == "CORO_SUSPENDED"
    assert (coroutine.__name__, coroutine.__qualname__, coroutine.cr_code) == ("twice", "twice", twice.__code__)
    assert "twice" in repr(coroutine)
    assert not hasattr(coroutine, "__iter__")
    with pytest.raises(AttributeError, match="nothing"):
        coroutine.nothing  # noqa: B018 - the read is the point
    assert isinstance(coroutine, AbstractCoroutine)
    assert inspect.isawaitable(coroutine)
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()
    assert inspect.getcoroutinestate(coroutine) == "CORO_CLOSED"


def test_nested_breakers_each_count_one_coroutine(make_breaker: Make) -> None:
    outer, inner = make_breaker(Policy(), name="outer"), make_breaker(Policy(1, 1, 60), name="inner")
    assert drive(outer.do(inner(at_once), 1)) == ("stop", 1)
    assert drive(outer.do(lambda: inner.do(at_once, 2))) == ("stop", 2)
    inner.acquire().failure()
    assert drive(outer.do(inner(at_once), 3))[1] is BreakerOpenError
    assert counts(outer) == {"successes": 2, "ignored": 1}
