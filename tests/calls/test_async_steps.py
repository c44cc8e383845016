"""The steps of an async generator, each by itself: left half done, driven twice, two at once, cancelled, given up."""

import asyncio
import gc
import sys
from functools import partial
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, drive_to
from support.reading import counts
from support.samples import AsyncGen, Pause
from support.scripts import Step, drive, outcome, steps_of


async def pausing() -> AsyncGen:
    for number in range(3):
        await Pause()
        yield number


async def tidying() -> AsyncGen:
    """Takes a pause over its end."""
    try:
        yield 1
    finally:
        await Pause()


async def tenacious() -> AsyncGen:
    """Ends well whatever is thrown while it pauses over its end."""
    cause: BaseException | None = None
    try:
        yield 1
    except BaseException as thrown:
        cause = thrown
    try:
        await Pause()
    except BaseException:
        return
    if cause is not None:
        raise cause


SCRIPTS: list[list[Step]] = [
    [("send", None), ("send", "answer"), ("send", None), ("throw", Boom("x")), ("close",)],
    [("send", "too early"), ("send", None), ("send", None)],
    [("send", None), ("throw", Boom("x")), ("send", None)],
    [("send", None), ("close",), ("send", None), ("close",)],
    [("throw", Boom("x")), ("send", None), ("throw", Boom("y"))],
    [("close",), ("send", None), ("throw", Boom("x"))],
    [("__next__",), ("__next__",), ("__next__",)],
]
METHODS: list[Step] = [
    ("__anext__",),
    ("asend", None),
    ("asend", "too early"),
    ("athrow", KeyError("k")),
    ("aclose",),
]


@pytest.mark.filterwarnings("ignore")  # dropped, some pause where they should end; Python says so aside
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("begun", [False, True], ids=["fresh", "suspended"])
def test_a_step_answers_as_that_of_a_native_one(
    make_breaker: Make, method: Step, begun: bool, script: list[Step]
) -> None:
    breaker = make_breaker(Policy(1000))
    for function in (pausing, tidying, tenacious):
        answered = []
        for generator in (function(), breaker.do(function), breaker.do(lambda: function())):  # noqa: B023 - called now
            first = [drive(anext(generator))] if begun else []
            step = getattr(generator, method[0])(*method[1:])
            answered.append([first, steps_of(step, script), drive(anext(generator)), drive(anext(generator))])
        assert answered[0] == answered[1] == answered[2]


def test_a_step_is_awaited_once(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    step = breaker.do(pausing).__anext__()
    assert drive(step) == ("stop", 0)
    assert outcome(partial(step.send, None))[1] is RuntimeError
    assert outcome(partial(step.throw, Boom("x")))[1] is RuntimeError
    step.close()
    assert counts(breaker) == {}
    del step  # and with it the generator
    gc.collect()
    assert counts(breaker) == {"successes": 1}


@pytest.mark.parametrize("method", [("__anext__",), ("asend", None), ("athrow", Boom("x")), ("aclose",)], ids=str)
def test_a_second_step_at_once_is_refused_and_settles_nothing(make_breaker: Make, method: Step) -> None:
    # S35
    breaker = make_breaker(Policy(1))
    generator = breaker.do(pausing)
    first = anext(generator)
    assert first.send(None) == "paused"
    second = getattr(generator, method[0])(*method[1:])
    with pytest.raises(RuntimeError, match="already running"):
        second.send(None)
    assert counts(breaker) == {}
    assert outcome(partial(first.send, None)) == ("stop", 0)
    assert [drive(anext(generator)) for _ in range(3)] == [("stop", 1), ("stop", 2), ("stop",)]
    assert counts(breaker) == {"successes": 1}


def test_a_generator_that_meddles_with_itself_is_refused_and_counts_once(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    answered: list[Any] = []

    async def meddles() -> AsyncGen:
        answered.extend(drive(getattr(generator, name)(*args)) for name, *args in METHODS)
        yield 1

    generator = breaker.do(meddles)
    assert [drive(anext(generator)) for _ in range(2)] == [("stop", 1), ("stop",)]
    assert [answer[1] for answer in answered] == [RuntimeError] * len(METHODS)
    assert counts(breaker) == {"successes": 1}


@pytest.mark.parametrize("state", [State.CLOSED, State.OPEN])
@pytest.mark.parametrize("method", [("__anext__",), ("asend", None), ("athrow", Boom("x")), ("aclose",)], ids=str)
def test_a_step_that_is_cancelled_before_it_starts_takes_no_permit(
    make_breaker: Make, method: Step, state: State
) -> None:
    # S35: by the cancellation of a task, whose first step then throws
    breaker = make_breaker(Policy(1))
    if state is State.OPEN:
        breaker.acquire().failure()
    before, ran = counts(breaker), []

    async def work() -> AsyncGen:
        ran.append(True)
        yield 1

    async def main() -> None:
        generator = breaker.do(work)
        task = asyncio.create_task(getattr(generator, method[0])(*method[1:]))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [value async for value in generator] == []

    asyncio.run(main())
    assert (ran, counts(breaker)) == ([], before)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([("close",), ("send", None)], RuntimeError),
        ([("throw", Boom("x")), ("send", None)], RuntimeError),
        ([("send", "too early")], TypeError),
        ([("send", "too early"), ("send", None)], RuntimeError),
    ],
    ids=["after its end", "after an error", "with a value", "after that"],
)
def test_a_step_that_cannot_start_takes_no_permit(make_breaker: Make, script: list[Step], error: type) -> None:
    breaker = make_breaker(Policy(1))
    breaker.acquire().failure()  # were a permit asked for, there would be a rejection
    assert steps_of(breaker.do(pausing).__anext__(), script)[-1][1] is error
    assert counts(breaker) == {"failures": 1}


def test_half_open_a_step_that_is_cancelled_ends_the_probe_as_ignored(make_breaker: Make, clock: ManualClock) -> None:
    # S40, S52
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)

    async def main() -> None:
        generator = breaker.do(pausing_in_a_loop)
        task = asyncio.ensure_future(anext(generator))
        await asyncio.sleep(0)
        assert breaker.snapshot().half_open_in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert breaker.snapshot().half_open_in_flight == 0
        assert [value async for value in generator] == []

    asyncio.run(main())
    assert breaker.state is State.HALF_OPEN


async def pausing_in_a_loop() -> AsyncGen:
    await asyncio.get_running_loop().create_future()
    yield 1


@pytest.mark.parametrize(
    ("function", "script", "ends"),
    [
        (tidying, [("send", None), ("send", None)], "successes"),
        (tidying, [("send", None), ("throw", asyncio.CancelledError())], "ignored"),
        (tidying, [("send", None), ("throw", Boom("while closing"))], "failures"),
        (tenacious, [("send", None), ("send", None)], "successes"),
        (tenacious, [("send", None), ("throw", asyncio.CancelledError())], "successes"),
        (tenacious, [("send", None), ("throw", Boom("while closing"))], "successes"),
    ],
)
def test_a_closing_that_takes_its_time_settles_when_it_is_done(
    make_breaker: Make, function: Any, script: list[Step], ends: str
) -> None:
    breaker = make_breaker(Policy(1000))
    generator = breaker.do(function)
    drive(anext(generator))
    closing = generator.aclose()
    steps_of(closing, script[:1])
    assert counts(breaker) == {}
    steps_of(closing, script[1:])
    assert counts(breaker) == {ends: 1}
    drive(anext(generator))  # over; but before 3.13 a closing that something was thrown into seems to go on for ever
    assert counts(breaker) == {ends: 1}


def test_half_open_a_step_left_half_done_keeps_the_slot_as_long_as_the_generator_lives(
    make_breaker: Make, clock: ManualClock
) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    before = breaker.snapshot().ignored
    for give_up in (lambda step: None, lambda step: step.close(), lambda step: outcome(partial(step.throw, Boom))):
        generator = breaker.do(pausing)
        step = anext(generator)
        assert step.send(None) == "paused"
        assert breaker.snapshot().half_open_in_flight == 1
        give_up(step)
        del step, generator
        gc.collect()
        assert breaker.snapshot().half_open_in_flight == 0
        if breaker.state is State.OPEN:  # by the Boom
            break
    assert breaker.snapshot().ignored == before + 2
    assert breaker.state is State.OPEN


def test_a_step_given_up_that_ends_the_generator_settles_it_as_ignored(make_breaker: Make) -> None:
    # Since 3.13 closing a step throws GeneratorExit where it waits; before, it leaves the generator as if it still ran.
    breaker = make_breaker(Policy(1))
    generator: Any = breaker.do(pausing)
    step = anext(generator)
    step.send(None)
    step.close()
    over = generator.ag_frame is None
    assert over is (sys.version_info >= (3, 13))
    assert counts(breaker) == ({"ignored": 1} if over else {})
    assert drive(anext(generator)) == (("stop",) if over else ("error", RuntimeError, ""))
    del step, generator
    gc.collect()
    assert counts(breaker) == {"ignored": 1}


def test_a_step_that_was_rejected_is_over(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    breaker.acquire().failure()
    step = anext(breaker.do(pausing))
    with pytest.raises(BreakerOpenError):
        step.send(None)
    assert outcome(partial(step.send, None))[1] is RuntimeError
    step.close()
    assert counts(breaker) == {"failures": 1, "rejected": 1}


@pytest.mark.filterwarnings("ignore:coroutine method:RuntimeWarning")  # Python says so of unawaited steps since 3.13
def test_a_step_that_is_never_awaited_takes_no_permit(make_breaker: Make) -> None:
    # S35
    breaker = make_breaker(Policy(1))
    generator = breaker.do(pausing)
    anext(generator)
    generator.asend(None)
    generator.aclose()
    assert counts(breaker) == {}
    assert drive(anext(generator)) == ("stop", 0)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python warns of unawaited steps since 3.13")
def test_a_step_that_is_never_awaited_warns_as_pythons_does(make_breaker: Make) -> None:
    # S35
    for generator in (pausing(), make_breaker(Policy()).do(pausing)):
        with pytest.warns(RuntimeWarning, match="coroutine method '.*' of 'pausing' was never awaited"):
            anext(generator)


def test_a_hook_of_the_loop_sees_the_generator_when_its_first_step_is_made(make_breaker: Make) -> None:
    seen: list[Any] = []
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=seen.append)
    try:
        generator = make_breaker(Policy()).do(pausing)
        assert seen == []
        anext(generator).close()
        assert [hooked.__name__ for hooked in seen] == ["pausing"]
    finally:
        sys.set_asyncgen_hooks(*before)
