"""Generators: admitted at the first ``next``, settled at their end, otherwise like native ones."""

import gc
import inspect
from collections.abc import Generator
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, counts, drive_to, rejected, succeed
from support.scripts import Step, steps_of

Gen = Generator[Any, Any, Any]


def echo() -> Gen:
    """Gives back what it is sent; ends with a value, or with an error of its own."""
    got: Any = "first"
    while got != "end":
        try:
            got = yield got
        except KeyError as error:
            got = f"caught {error}"
    return ("a", "tuple")


def stubborn() -> Gen:
    try:
        yield 1
    except GeneratorExit:
        raise Boom("while closing") from None


def raising() -> Gen:
    yield 1
    raise Boom("inside")


def never_ends_by_exit() -> Gen:
    while True:
        try:
            yield 1
        except GeneratorExit:
            continue


def empty() -> Gen:
    return None
    yield


SCRIPTS: list[list[Step]] = [
    [("__next__",), ("send", "x"), ("send", "end"), ("__next__",), ("send", None)],
    [("send", "too early"), ("__next__",), ("send", "end")],
    [("throw", KeyError("k")), ("__next__",)],
    [("__next__",), ("throw", KeyError("k")), ("throw", Boom("no")), ("__next__",)],
    [("close",), ("__next__",), ("close",), ("send", 1)],
    [("__next__",), ("close",), ("__next__",), ("throw", Boom("late"))],
    [("__next__",), ("__next__",), ("__next__",)],
    [("__next__",), ("throw", GeneratorExit())],
    [("__next__",), ("throw", StopIteration(7))],
]


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("function", [echo, stubborn, raising, empty])
def test_a_guarded_generator_answers_as_the_native_one(make_breaker: Make, function: Any, script: list[Step]) -> None:
    breaker = make_breaker(Policy(1000))
    assert steps_of(breaker.do(function), script) == steps_of(function(), script)
    assert steps_of(breaker(function)(), script) == steps_of(function(), script)


@pytest.mark.parametrize(
    ("function", "script", "ends"),
    [
        (echo, [("__next__",), ("send", "end")], {"successes": 1}),
        (empty, [("__next__",)], {"successes": 1}),
        (raising, [("__next__",), ("__next__",)], {"failures": 1}),
        (echo, [("__next__",), ("close",)], {"ignored": 1}),
        (stubborn, [("__next__",), ("close",)], {"failures": 1}),
        (echo, [("__next__",), ("throw", Boom("x"))], {"failures": 1}),
        (echo, [("__next__",), ("throw", KeyboardInterrupt())], {"ignored": 1}),
        (echo, [("__next__",), ("throw", KeyError("k")), ("send", "end")], {"successes": 1}),
        (never_ends_by_exit, [("__next__",), ("close",)], {"failures": 1}),
        (echo, [("close",)], {}),
        (echo, [("throw", Boom("before it began"))], {}),
        (echo, [("send", "refused"), ("close",)], {}),
    ],
)
def test_a_generator_ends_in_exactly_one_count(
    make_breaker: Make, function: Any, script: list[Step], ends: dict[str, int]
) -> None:
    breaker = make_breaker(Policy(1000))
    generator = breaker.do(function)
    assert counts(breaker) == {}
    steps_of(generator, script)
    assert counts(breaker) == ends
    steps_of(generator, [("__next__",), ("close",), ("throw", Boom("again"))])
    assert counts(breaker) == ends


def test_closed_open_a_generator_begins_after_the_trip_and_is_rejected_at_next(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(echo)
    breaker.acquire().failure()
    with pytest.raises(BreakerOpenError):
        next(generator)
    assert list(generator) == []  # over, as any generator that raised
    assert inspect.getgeneratorstate(generator) == "GEN_CLOSED"
    assert counts(breaker) == {"failures": 1, "rejected": 1}


def test_half_open_a_suspended_generator_holds_the_probe_slot(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    generator = breaker.do(echo)
    assert breaker.snapshot().half_open_in_flight == 0
    assert next(generator) == "first"
    assert breaker.snapshot().half_open_in_flight == 1
    rejected(breaker)
    generator.close()
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.state is State.HALF_OPEN
    assert list(breaker.do(empty)) == []
    assert breaker.state is State.CLOSED


def test_an_abandoned_generator_is_ignored_and_gives_its_slot_back(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    before = breaker.snapshot().ignored
    for _ in range(3):  # memory is used again
        generator = breaker.do(echo)
        next(generator)
        del generator
        assert breaker.snapshot().half_open_in_flight == 0
    box: list[Any] = []
    box.append(breaker.do(lambda box: (yield box), box))  # a cycle through the generator's own frame
    assert next(box[0]) is box
    box = []
    gc.collect()
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.snapshot().ignored == before + 4
    succeed(breaker)


def test_a_lost_generator_changes_nothing_when_it_ends(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    hung = breaker.do(raising)
    next(hung)
    clock.advance(60)
    succeed(breaker)
    with pytest.raises(Boom):
        next(hung)
    assert breaker.state is State.CLOSED
    assert counts(breaker)["lost"] == 1
    assert counts(breaker)["failures"] == 1


def test_a_generator_that_outlives_a_trip_is_late(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(empty_after_one)
    next(generator)
    breaker.acquire().failure()
    assert list(generator) == []
    assert counts(breaker) == {"failures": 1, "late": 1}


def empty_after_one() -> Gen:
    yield 1


def test_yield_from_passes_everything_through(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1000))

    def outer(inner: Any) -> Gen:
        return (yield from inner)

    script = [("__next__",), ("send", 5), ("throw", KeyError("k")), ("send", "end")]
    assert steps_of(outer(breaker.do(echo)), script) == steps_of(outer(echo()), script)
    closing = [("__next__",), ("close",)]
    assert steps_of(outer(breaker.do(echo)), closing) == steps_of(outer(echo()), closing)
    assert counts(breaker) == {"successes": 1, "ignored": 1}


def test_a_plain_function_that_returns_a_generator_is_admitted_at_the_call(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(lambda: echo())
    breaker.acquire().failure()
    assert steps_of(generator, [("__next__",), ("send", "end")]) == [("value", "first"), ("stop", ("a", "tuple"))]
    assert counts(breaker) == {"failures": 1, "late": 1}
    with pytest.raises(BreakerOpenError):
        breaker.do(lambda: echo())


def test_a_generator_that_asks_itself_for_the_next_value_is_told_so_and_not_settled(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    box: list[Any] = []

    def selfish() -> Gen:
        with pytest.raises(ValueError, match="already executing"):
            next(box[0])
        with pytest.raises(ValueError, match="already executing"):
            box[0].close()
        with pytest.raises(ValueError, match="already executing"):
            box[0].throw(Boom("x"))
        yield 1

    box.append(breaker.do(selfish))
    assert list(box[0]) == [1]
    assert counts(breaker) == {"successes": 1}


def test_failed_result_does_not_see_generators(make_breaker: Make) -> None:
    seen: list[Any] = []
    breaker = make_breaker(Policy(1), failed_result=lambda value: seen.append(value) or True)
    assert list(breaker.do(echo_once)) == [1]
    assert seen == []
    assert counts(breaker) == {"successes": 1}


def echo_once() -> Gen:
    yield 1
    return "failed?"


def test_a_guarded_generator_is_a_generator_to_those_who_ask(make_breaker: Make) -> None:
    from collections.abc import Generator as AbstractGenerator

    generator = make_breaker(Policy()).do(echo)
    assert isinstance(generator, AbstractGenerator)
    assert (generator.__name__, generator.gi_running, generator.gi_code) == ("echo", False, echo.__code__)
    assert "echo" in repr(generator)
    with pytest.raises(AttributeError, match="nothing"):
        generator.nothing  # noqa: B018 - the read is the point
    generator.close()


def test_nested_breakers_each_count_one_generator(make_breaker: Make) -> None:
    outer, inner = make_breaker(Policy(), name="outer"), make_breaker(Policy(), name="inner")
    assert list(outer.do(inner(echo_once))) == [1]
    assert list(outer.do(lambda: inner.do(echo_once))) == [1]
    assert counts(outer) == counts(inner) == {"successes": 2}
