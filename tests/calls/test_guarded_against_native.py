"""Random functions under random handling: the guarded object answers as the native one does, and counts one call.

A function is a list of turns, each an action and what it does with an exception that comes of it. The handling is a
list of operations, senseless ones too. Both objects get the same, and must give the same values and errors and run the
same lines at the same operation; how the native one ended says what the breaker must have counted.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker import Breaker, Policy
from support.drive import Boom, HangUp, Make
from support.reading import counts
from support.samples import Pause
from support.scripts import outcome

Operation = tuple[Any, ...]
Turn = tuple[str, str, Operation]
Answers = list[tuple[Any, ...]]
Log = list[tuple[int, Any]]

# Dropped unawaited, or closed by being dropped and failing at it: natively and guarded alike, Python says so aside.
pytestmark = pytest.mark.filterwarnings("ignore")
LENIENT = settings(max_examples=400, deadline=None, database=None)

ACTIONS = ["yield", "yield", "yield", "await", "await", "Boom", "HangUp", "stop", "return", "step itself"]
REACTIONS = ["raise", "raise", "go on", "raise another", "return"]
THROWN = [Boom, KeyError, HangUp, GeneratorExit, StopIteration, StopAsyncIteration, asyncio.CancelledError]
# What cannot be thrown: too little, no exception, a value for one that has its own, too much.
NOT_THROWN: list[Operation] = [(), (5,), (Boom("x"), Boom("y")), (1, 2, 3, 4)]


class Life:
    """What a function notes of itself, each note with the number of the operation during which it was made."""

    def __init__(self) -> None:
        self.at = 0
        self.log: Log = []
        self.target: Any = None

    def note(self, what: Any) -> None:
        self.log.append((self.at, what))

    def act(self, action: str, operation: Operation) -> None:
        if action == "Boom":
            raise Boom("its own")
        if action == "HangUp":
            raise HangUp("its own")
        if action == "stop":
            raise StopAsyncIteration if hasattr(self.target, "asend") else StopIteration
        self.note(answer(self.target, operation, {}))

    def react(self, error: BaseException, reaction: str) -> bool:
        """Whether to return."""
        self.note(type(error))
        if reaction == "raise":
            raise error
        if reaction == "raise another":
            raise Boom("another") from None
        return reaction == "return"

    def end(self) -> None:
        self.note(("end", sys.exc_info()[0]))


def a_generator(turns: list[Turn], life: Life) -> Generator[Any, Any, Any]:
    life.note("begin")
    try:
        for number, (action, reaction, operation) in enumerate(turns):
            try:
                if action in ("yield", "await"):
                    life.note("gives")
                    life.note((yield number))
                elif action == "return":
                    return ("returned", number)
                else:
                    life.act(action, operation)
            except BaseException as error:
                if life.react(error, reaction):
                    return None
        return "done"
    finally:
        life.end()


async def a_coroutine(turns: list[Turn], life: Life) -> Any:
    life.note("begin")
    try:
        for number, (action, reaction, operation) in enumerate(turns):
            try:
                if action in ("yield", "await"):
                    life.note(await Pause(("paused", number)))
                elif action == "return":
                    return ("returned", number)
                else:
                    life.act(action, operation)
            except BaseException as error:
                if life.react(error, reaction):
                    return None
        return "done"
    finally:
        life.end()


async def an_async_generator(turns: list[Turn], life: Life) -> AsyncGenerator[Any, Any]:
    life.note("begin")
    try:
        for number, (action, reaction, operation) in enumerate(turns):
            try:
                if action == "yield":
                    life.note("gives")
                    life.note((yield number))
                elif action == "await":
                    life.note(await Pause(("paused", number)))
                elif action == "return":
                    return
                else:
                    life.act(action, operation)
            except BaseException as error:
                if life.react(error, reaction):
                    return
    finally:
        life.end()


def answer(target: Any, operation: Operation, steps: dict[int, Any]) -> tuple[Any, ...]:
    """What an operation gives. The texts of type errors name the type, so they are not compared."""
    given = outcome(partial(perform, target, operation, steps))
    return given[:2] if given[:2] == ("error", TypeError) else given


def perform(target: Any, operation: Operation, steps: dict[int, Any]) -> Any:
    """One operation: on the object, or on a step of it that was made before (``steps``)."""
    name, *args = operation
    args = [arg("thrown") if isinstance(arg, type) else arg for arg in args]
    if name == "whole":
        return whole(getattr(target, args[0])(*args[1:]))
    if name == "new":
        steps[args[0]] = getattr(target, args[1])(*args[2:])
        return None
    if name == "drop":
        return steps.pop(args[0], None) and None
    if name in ("step.send", "step.throw", "step.close"):
        return getattr(steps[args[0]], name[5:])(*args[1:]) if args[0] in steps else "no such step"
    return getattr(target, name)(*args)


def whole(step: Coroutine[Any, Any, Any]) -> Any:
    """Await a step to its end; the values of its pauses and its own."""
    paused: list[Any] = []
    iterator = step.__await__()
    with suppress(StopIteration):
        paused.append(next(iterator))
        while True:
            paused.append(iterator.send(len(paused)))
    return paused


def live(target: Any, operations: list[Operation], life: Life) -> Answers:
    """Do all that to the object and let it go."""
    life.target = target
    steps: dict[int, Any] = {}
    answers: Answers = []
    for life.at, operation in enumerate(operations):
        answers.append(answer(target, operation, steps))
    life.at, life.target = len(operations), None
    return answers


def expected(operations: list[Operation], answers: Answers, log: Log) -> set[str]:
    """What may be counted of a native life that went like this; the empty set: nothing."""
    if (began := next((at for at, what in log if what == "begin"), None)) is None:
        return set()
    ended = next((at for at, what in log if isinstance(what, tuple) and what[0] == "end"), len(operations))
    closes = [at for at, operation in enumerate(operations) if operation[-1] in ("close", "aclose")]
    if any(began <= at < ended and answers[at][0] == "error" for at in closes) or any(
        began <= at < ended and step_refuses_to_close(at, operations, answers, log) for at in range(len(operations))
    ):
        return {"failures"}
    if ended == len(operations) or (ended in closes and answers[ended][0] != "error"):
        return {"successes"} if any(what == "gives" and at < ended for at, what in log) else {"ignored"}  # S34
    if operations[ended][0].startswith("step."):
        return {"successes", "failures", "ignored"}
    if answers[ended][0] == "stop" and (len(answers[ended]) == 2) is (operations[ended][0] != "whole"):
        return {"successes"}
    kind = answers[ended][1] if answers[ended][0] == "error" else StopAsyncIteration
    return {"failures"} if issubclass(kind, Exception) else {"ignored"}


def step_refuses_to_close(at: int, operations: list[Operation], answers: Answers, log: Log) -> bool:
    """Whether a step of ``aclose()`` that was made before has met an item in place of the end."""
    if not operations[at][0].startswith("step.") or answers[at][:2] != ("error", RuntimeError):
        return False
    made = [operation[2] for operation in operations[:at] if operation[:2] == ("new", operations[at][1])]
    happened = [what for when, what in log if when == at]
    return made[-1:] == ["aclose"] and (GeneratorExit, "gives") in pairwise(happened)


def decorated(breaker: Breaker, function: Any, *args: Any) -> Any:
    return breaker(function)(*args)


def handed_on(breaker: Breaker, function: Any, *args: Any) -> Any:
    return breaker.do(lambda: function(*args))


def assert_same(make_breaker: Make, function: Any, turns: list[Turn], operations: list[Operation]) -> None:
    native = Life()
    answers = live(function(turns, native), operations, native)
    may = expected(operations, answers, native.log)
    ways: list[Any] = [Breaker.do, decorated, handed_on, partial(Breaker.do, make_breaker(Policy(1000)))]
    for way in ways:
        breaker, guarded = make_breaker(Policy(1000)), Life()
        nested = isinstance(way, partial)
        target = way(breaker(function), turns, guarded) if nested else way(breaker, function, turns, guarded)
        assert live(target, operations, guarded) == answers
        del target
        due = bool(may) or way is handed_on
        if len(guarded.log) < len(native.log) or len(counts(breaker)) < due:
            gc.collect()  # an exception and the frame that caught it hold each other
        assert guarded.log == native.log
        assert sum(counts(breaker).values()) == due
        assert not may or set(counts(breaker)) <= may
        if nested:
            assert counts(way.args[0]) == counts(breaker)


THROWS = st.sampled_from([("throw", kind) for kind in THROWN] + [("throw", *args) for args in NOT_THROWN])
STEPPED = st.one_of(
    st.sampled_from([("send", None), ("send", None), ("send", None), ("send", 1), ("send",)]),
    THROWS,
    st.just(("close",)),
)
METHODS = st.one_of(
    st.sampled_from([("__anext__",), ("__anext__",), ("__anext__",), ("asend", None), ("asend", 1), ("aclose",)]),
    THROWS.filter(lambda throw: 1 < len(throw) < 4).map(lambda throw: ("athrow", *throw[1:])),  # others jam it: CPython
)
STEP = st.integers(0, 1)
WHOLE = METHODS.map(lambda method: ("whole", *method))
HALVES = st.one_of(
    WHOLE,
    st.tuples(st.just("new"), STEP, METHODS).map(lambda parts: (*parts[:2], *parts[2])),
    st.tuples(st.just("step.send"), STEP, st.none()),
    st.tuples(st.just("step.send"), STEP, st.none()),
    st.tuples(st.just("step.throw"), STEP, st.sampled_from(THROWN)),
    st.tuples(st.sampled_from(["step.close", "drop"]), STEP),
)


def turns_of(operations: st.SearchStrategy[Operation]) -> st.SearchStrategy[list[Turn]]:
    return st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(REACTIONS), operations), max_size=4)


@pytest.mark.parametrize("function", [a_generator, a_coroutine])
def test_stepped(make_breaker: Make, function: Any) -> None:
    @LENIENT
    @given(turns_of(STEPPED), st.lists(STEPPED, min_size=1, max_size=6))
    def same(turns: list[Turn], operations: list[Operation]) -> None:
        assert_same(make_breaker, function, turns, operations)

    same()


def test_a_step_of_aclose_that_meets_an_item_is_a_failure(make_breaker: Make) -> None:
    # S34
    turns: list[Turn] = [("yield", "go on", ("whole", "__anext__")), ("yield", "raise", ("whole", "__anext__"))]
    operations: list[Operation] = [("whole", "__anext__"), ("new", 0, "aclose"), ("step.send", 0, None)]
    assert_same(make_breaker, an_async_generator, turns, operations)


@pytest.mark.parametrize("operations", [WHOLE, HALVES], ids=["whole steps", "steps left half done"])
def test_async_generators(make_breaker: Make, operations: st.SearchStrategy[Operation]) -> None:
    @LENIENT
    @given(turns_of(WHOLE), st.lists(operations, min_size=1, max_size=6))
    def same(turns: list[Turn], operations: list[Operation]) -> None:
        assert_same(make_breaker, an_async_generator, turns, operations)

    same()
