"""Generators: admitted at the first ``next``, settled at their end, otherwise like native ones."""

import contextlib
import gc
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, drive_to, rejected, succeed
from support.reading import counts
from support.samples import Gen, raising, stubborn
from support.scripts import Step, steps_of


def echo() -> Gen:
    """Gives back what it is sent; ends with a value, or with an error of its own."""
    got: Any = "first"
    while got != "end":
        try:
            got = yield got
        except KeyError as error:
            got = f"caught {error}"
    return ("a", "tuple")


def never_ends_by_exit() -> Gen:
    while True:
        try:
            yield 1
        except GeneratorExit:
            continue


def ends_by_exit_with_a_value() -> Gen:
    try:
        yield 1
    except GeneratorExit:
        return "a value"


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
    [("__next__",), ("throw", 5), ("__next__",), ("close",)],
]


@pytest.mark.filterwarnings("ignore")  # dropped, some do not end; Python says so aside
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize(
    "function",
    [echo, stubborn, raising, empty, never_ends_by_exit, ends_by_exit_with_a_value],
    ids=lambda f: f.__name__,
)
def test_a_guarded_generator_answers_as_the_native_one(make_breaker: Make, function: Any, script: list[Step]) -> None:
    breaker = make_breaker(Policy(1000))
    assert steps_of(breaker.do(function), script) == steps_of(function(), script)
    assert steps_of(breaker(function)(), script) == steps_of(function(), script)


@pytest.mark.parametrize(
    "value", [None, (), (1, 2), (None,), ValueError("v"), StopIteration(3), StopIteration], ids=repr
)
def test_the_return_value_is_the_functions_own(make_breaker: Make, value: Any) -> None:
    breaker = make_breaker(Policy())

    def returns() -> Gen:
        return value
        yield

    def outer(inner: Gen) -> Gen:
        yield (yield from inner)

    assert next(outer(breaker.do(returns))) is value
    with pytest.raises(StopIteration) as caught:
        next(breaker.do(returns))
    assert caught.value.value is value
    with pytest.raises(StopIteration) as native:
        next(returns())
    assert caught.value.args == native.value.args


@pytest.mark.parametrize(
    ("function", "script", "ends"),
    [
        (echo, [("__next__",), ("send", "end")], {"successes": 1}),
        (empty, [("__next__",)], {"successes": 1}),
        (raising, [("__next__",), ("__next__",)], {"failures": 1}),
        (echo, [("__next__",), ("close",)], {"successes": 1}),
        (ends_by_exit_with_a_value, [("__next__",), ("close",)], {"successes": 1}),
        (stubborn, [("__next__",), ("close",)], {"failures": 1}),
        (echo, [("__next__",), ("throw", Boom("x"))], {"failures": 1}),
        (echo, [("__next__",), ("throw", KeyboardInterrupt())], {"ignored": 1}),
        (echo, [("__next__",), ("throw", GeneratorExit())], {"ignored": 1}),
        (echo, [("__next__",), ("throw", KeyError("k")), ("send", "end")], {"successes": 1}),
        (echo, [("__next__",), ("throw", 5), ("throw",), ("send",), ("send", "end")], {"successes": 1}),
        (never_ends_by_exit, [("__next__",), ("close",)], {"failures": 1}),
        (never_ends_by_exit, [("__next__",), ("close",), ("__next__",), ("throw", KeyError())], {"failures": 1}),
        (echo, [("close",)], {}),
        (echo, [("throw", Boom("before it began"))], {}),
        (echo, [("throw", StopIteration(1))], {}),
        (echo, [("send", "refused"), ("close",)], {}),
        (echo, [("send", "refused"), ("throw", 5), ("throw",), ("__next__",), ("send", "end")], {"successes": 1}),
    ],
)
def test_a_generator_ends_in_exactly_one_count(
    make_breaker: Make, function: Any, script: list[Step], ends: dict[str, int]
) -> None:
    # S1, S34
    breaker = make_breaker(Policy(1000))
    generator = breaker.do(function)
    assert counts(breaker) == {}
    steps_of(generator, script)
    assert counts(breaker) == ends
    steps_of(generator, [("__next__",), ("throw", Boom("again")), ("close",)])
    assert counts(breaker) == ends


@pytest.mark.parametrize("slip", [("send", "too early"), ("send",), ("throw",), ("throw", 5), ("throw", 1, 2, 3, 4)])
def test_closed_open_a_slip_before_the_start_does_not_let_it_start(make_breaker: Make, slip: Step) -> None:
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(echo)
    assert steps_of(generator, [slip])[0][1] is TypeError
    breaker.acquire().failure()
    with pytest.raises(BreakerOpenError):
        next(generator)
    assert counts(breaker) == {"failures": 1, "rejected": 1}


def test_closed_open_a_generator_begins_after_the_trip_and_is_rejected_at_next(make_breaker: Make) -> None:
    # S31
    breaker = make_breaker(Policy(1, 1, 60))
    made = [breaker.do(echo), breaker(echo)(), breaker.do(breaker(echo))]
    breaker.acquire().failure()
    for generator in made:
        with pytest.raises(BreakerOpenError):
            next(generator)
        assert list(generator) == []  # over, as any generator that raised
        assert inspect.getgeneratorstate(generator) == "GEN_CLOSED"
    assert counts(breaker) == {"failures": 1, "rejected": 3}


def test_half_open_a_suspended_generator_holds_the_probe_slot(make_breaker: Make, clock: ManualClock) -> None:
    breaker = make_breaker(Policy(1, 2, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    generator = breaker.do(echo)
    assert breaker.snapshot().half_open_in_flight == 0
    assert next(generator) == "first"
    assert breaker.snapshot().half_open_in_flight == 1
    rejected(breaker)
    generator.close()
    assert breaker.snapshot().half_open_in_flight == 0
    assert (breaker.state, breaker.snapshot().half_open_successes) == (State.HALF_OPEN, 1)
    assert list(breaker.do(empty)) == []
    assert breaker.state is State.CLOSED


def test_a_generator_that_is_left_after_an_item_succeeded_and_gives_its_slot_back(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S34
    breaker = make_breaker(Policy(1, 6, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    before = breaker.snapshot().successes
    for _ in range(3):  # memory is used again
        generator = breaker.do(echo)
        next(generator)
        del generator
        assert breaker.snapshot().half_open_in_flight == 0
    for _ in breaker.do(echo):
        break
    assert breaker.snapshot().half_open_in_flight == 0
    box: list[Any] = []

    def holding(box: list[Any]) -> Gen:
        yield box

    box.append(breaker.do(holding, box))  # a cycle through the generator's own frame
    assert next(box[0]) is box
    box = []
    gc.collect()
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.snapshot().successes == before + 5
    assert breaker.state is State.HALF_OPEN
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_a_generator_left_before_it_has_given_an_item_is_ignored(make_breaker: Make) -> None:
    # S34: admitted at the call (S32), and closed or dropped before its first step
    breaker = make_breaker(Policy(1))
    breaker.do(lambda: echo()).close()
    breaker.do(lambda: echo())
    gc.collect()
    assert counts(breaker) == {"ignored": 2}


@pytest.mark.parametrize(
    ("end", "state"),
    [(("__next__",), State.OPEN), (("close",), State.CLOSED), (("throw", KeyError()), State.OPEN)],
    ids=["fails", "closed", "thrown"],
)
def test_an_overdue_generator_still_decides_when_it_ends(
    make_breaker: Make, clock: ManualClock, end: Step, state: State
) -> None:
    # S67
    breaker = make_breaker(Policy(1, 2, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    hung = breaker.do(raising)
    next(hung)
    clock.advance(60)
    succeed(breaker)
    assert (breaker.state, breaker.snapshot().overdue) == (State.HALF_OPEN, 1)
    steps_of(hung, [end])
    assert inspect.getgeneratorstate(hung) == "GEN_CLOSED"
    assert breaker.state is state


def test_a_generator_that_outlives_a_trip_is_late(make_breaker: Make) -> None:
    # S60
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(echo_once)
    next(generator)
    breaker.acquire().failure()
    assert list(generator) == []
    assert counts(breaker) == {"failures": 1, "late": 1}


def test_yield_from_passes_everything_through(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1000))

    def outer(inner: Any) -> Gen:
        return (yield from inner)

    script = [("__next__",), ("send", 5), ("throw", KeyError("k")), ("send", "end")]
    assert steps_of(outer(breaker.do(echo)), script) == steps_of(outer(echo()), script)
    closing = [("__next__",), ("close",)]
    assert steps_of(outer(breaker.do(echo)), closing) == steps_of(outer(echo()), closing)
    assert counts(breaker) == {"successes": 2}


def test_whatever_takes_iterators_takes_it(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    @breaker
    def numbers() -> Gen:
        yield from range(3)

    assert (list(numbers()), sum(numbers())) == ([0, 1, 2], 3)
    assert dict(zip("abc", numbers(), strict=True)) == {"a": 0, "b": 1, "c": 2}
    assert [*itertools.chain(numbers(), numbers())] == [0, 1, 2, 0, 1, 2]
    assert counts(breaker) == {"successes": 5}
    assert [*itertools.islice(numbers(), 2)] == [0, 1]
    assert counts(breaker) == {"successes": 6}


def test_a_context_manager_made_of_it_is_one_call_as_long_as_its_block(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1000))

    @contextlib.contextmanager
    @breaker
    def connection(swallow: bool = False) -> Iterator[str]:
        try:
            yield "connection"
        except KeyError:
            if not swallow:
                raise

    with connection() as opened:
        assert (opened, counts(breaker)) == ("connection", {})
    assert counts(breaker) == {"successes": 1}
    with connection(swallow=True):
        raise KeyError
    assert counts(breaker) == {"successes": 2}
    for error, ends in ((KeyError(), "failures"), (StopIteration(), "failures"), (KeyboardInterrupt(), "ignored")):
        before = counts(breaker).get(ends, 0)
        with pytest.raises(type(error)) as caught, connection():
            raise error
        assert caught.value is error
        assert counts(breaker)[ends] == before + 1
    with contextlib.closing(breaker.do(echo)) as generator:
        next(generator)
    assert counts(breaker) == {"successes": 3, "failures": 2, "ignored": 1}


def test_a_plain_function_that_returns_a_generator_is_admitted_at_the_call(make_breaker: Make) -> None:
    # S32
    breaker = make_breaker(Policy(1, 1, 60))
    generator = breaker.do(lambda: echo())
    breaker.acquire().failure()
    script: list[Step] = [("send", "too early"), ("__next__",), ("send", "end")]
    assert steps_of(generator, script)[1:] == [("value", "first"), ("stop", ("a", "tuple"))]
    assert counts(breaker) == {"failures": 1, "late": 1}
    with pytest.raises(BreakerOpenError):
        breaker.do(lambda: echo())


@pytest.mark.parametrize("end", [("__next__",), ("close",), ("throw", KeyError())], ids=["goes on", "closes", "throws"])
def test_a_generator_that_meddles_with_itself_is_refused_and_counts_once(make_breaker: Make, end: Step) -> None:
    breaker = make_breaker(Policy(1000))
    answered: list[Any] = []

    def meddles() -> Gen:
        try:
            yield 1
        finally:
            answered.extend(steps_of(generator, [("__next__",), ("send", 1), ("throw", Boom("x")), ("close",)]))

    generator = breaker.do(meddles)
    steps_of(generator, [("__next__",), end])
    assert [answer[1] for answer in answered] == [ValueError] * 4
    ends = {"__next__": "successes", "close": "successes", "throw": "failures"}
    assert counts(breaker) == {ends[end[0]]: 1}


def test_a_generator_that_is_left_before_its_first_item_is_ignored(make_breaker: Make) -> None:
    # S34, S39
    breaker = make_breaker(Policy(1))
    admitted = breaker.do(lambda: echo())
    admitted.close()
    assert counts(breaker) == {"ignored": 1}
    del admitted
    breaker.do(lambda: echo())  # dropped
    assert counts(breaker) == {"ignored": 2}


def test_failed_result_does_not_see_generators(make_breaker: Make) -> None:
    # S43
    seen: list[Any] = []
    breaker = make_breaker(Policy(1), failed_result=lambda value: seen.append(value) or True)
    assert list(breaker.do(echo_once)) == [1]
    assert list(breaker.do(lambda: echo_once())) == [1]
    assert (seen, counts(breaker)) == ([], {"successes": 2})


def echo_once() -> Gen:
    yield 1
    return "failed?"


def test_a_guarded_generator_is_a_generator_to_those_who_ask(make_breaker: Make) -> None:
    from collections.abc import Generator as AbstractGenerator

    generator: Any = make_breaker(Policy()).do(echo)
    assert iter(generator) is generator
    assert (generator.__name__, generator.gi_running, generator.gi_code) == ("echo", False, echo.__code__)
    assert "echo" in repr(generator)
    assert inspect.getgeneratorstate(generator) == "GEN_CREATED"
    with pytest.raises(AttributeError, match="nothing"):
        generator.nothing  # noqa: B018 - the read is the point
    assert isinstance(generator, AbstractGenerator)
    generator.close()


def test_nested_breakers_each_count_one_generator(make_breaker: Make) -> None:
    outer, inner = make_breaker(Policy(), name="outer"), make_breaker(Policy(), name="inner")
    assert list(outer.do(inner(echo_once))) == [1]
    assert list(outer.do(lambda: inner.do(echo_once))) == [1]
    assert counts(outer) == counts(inner) == {"successes": 2}
