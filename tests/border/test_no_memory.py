"""With the allocator failing at each place in turn: `MemoryError`, nothing silent, and the books stay right.

`_testcapi.set_nomemory` makes the interpreter's allocators fail, so every allocation of every form of call is tried, by
itself and with all that follow it. Each form is a process of its own. A run of the suite tries each form in two
situations; ``make test-memory`` tries it in all of them.
"""

import itertools
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from operator import call as called
from types import GeneratorType
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider, State, get_default_config
from breaker.events import StateChanged
from breaker.testing import ManualClock, trip
from support.processes import in_a_process
from support.tally import count

_testcapi: Any = pytest.importorskip("_testcapi", reason="this interpreter was built without its test modules")

MOST = 400  # allocations in one call; each form asserts that it came to its end before


# What the interpreter makes of any exception while it has no memory to unwind a Python function, or the same with
# the function's repr. One that a call of ours would lose has another text: `called` looks at what it gets and names
# what it called, as the interpreter's specialised calls do not.
LOST = "error return without exception set"


class Broken(Exception):
    """What the functions of these tests raise, made before memory runs out."""


BROKEN = Broken("broken")
GROUP = ExceptionGroup("broken", [BROKEN, ExceptionGroup("inside", [ValueError("x"), BROKEN])])


METHOD: Any = classmethod(lambda cls: None)
REJECTION = BreakerOpenError("a", State.OPEN)


def plain() -> int:
    return 5


def method(self: object) -> int:
    return 5


def fails() -> None:
    raise BROKEN


def fails_many() -> None:
    raise GROUP


async def coroutine() -> int:
    return 5


async def coroutine_fails() -> int:
    raise BROKEN


def generator() -> Iterator[int]:
    yield 5


async def async_generator() -> AsyncIterator[int]:
    yield 5


def run(coroutine: Any) -> Any:
    """Drive a coroutine that does not wait. No event loop: it has allocations of its own."""
    try:
        called(coroutine.send, None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Obj:
    """Its method is decorated in `decorate`."""

    method: Any = None


OBJ = Obj()


class Setting:
    """A breaker in a state, with or without listeners, and what it looked like before a call."""

    def __init__(self, state: str, listening: bool, **options: Any) -> None:
        self.clock = ManualClock()
        policy = Policy(2, 2, 60.0, half_open_max_calls=2)
        self.provider = Provider(get_default_config("svc", "dev"), default_policy=policy, clock=self.clock)
        logging.getLogger("breaker").disabled = True  # a listener without memory fails too, and that is reported
        self.events: list[Any] = []
        if listening:
            self.provider.subscribe(self.events.append)
        self.breaker = self.provider.get_breaker("a", **options)
        self.breaker.snapshot()  # what is imported at first use is imported now
        if state != "closed":
            trip(self.breaker, BROKEN)
        if state == "half-open":
            self.clock.advance(60)
            self.breaker.acquire().success()

    def settled(self) -> int:
        """How many calls have ended in a count."""
        seen = self.breaker.snapshot()
        return seen.successes + seen.failures + seen.ignored + seen.late

    def check(self) -> None:
        """Nothing in flight, an unbroken chain of events, and a breaker that goes on."""
        assert self.breaker.snapshot().half_open_in_flight == 0
        self.breaker.reset()
        assert self.breaker.state is State.CLOSED
        assert self.breaker.do(int) == 0
        if self.events:
            moves = [event for event in self.events if isinstance(event, StateChanged)]
            for before, after in itertools.pairwise(moves):
                assert before.to_state is after.from_state
            assert not moves or moves[-1].to_state is State.CLOSED


Call = Callable[[Breaker], object]
# form → the call, and what it returns or raises where memory is there
FORMS: dict[str, tuple[Call, object]] = {
    "do": (lambda b: called(b.do, int), 0),
    "do that fails": (lambda b: called(b.do, fails), Broken),
    "do that fails with a group": (lambda b: called(b.do, fails_many), ExceptionGroup),
    "decorated": (lambda b: called(DECORATED), 5),
    "method": (lambda b: called(OBJ.method), 5),
    "method looked up": (lambda b: getattr(OBJ, "method") is not None, True),  # noqa: B009 - the look-up is the point
    "await": (lambda b: run(called(b.do, coroutine)), 5),
    "await that fails": (lambda b: run(called(b.do, coroutine_fails)), Broken),
    "decorated coroutine": (lambda b: run(called(DECORATED_COROUTINE)), 5),
    "generator": (lambda b: [*b.do(generator)] == [5], True),
    "async generator": (lambda b: run(exhaust(b.do(async_generator))) == [5], True),
    "returned coroutine": (lambda b: run(called(b.do, lambda: coroutine())), 5),
    "acquire": (lambda b: called(called(b.acquire).success), None),
    "acquire with": (lambda b: with_permit(b, None), None),
    "acquire that fails": (lambda b: with_permit(b, BROKEN), Broken),
    "acquire dropped": (lambda b: b.acquire() is None, False),
    "acquire that reports": (lambda b: b.acquire().failure(BROKEN), None),
    "generator closed": (lambda b: begun(b.do(generator)).close(), None),
    "generator thrown into": (lambda b: begun(b.do(generator)).throw(BROKEN), Broken),
    "generator dropped": (lambda b: begun(b.do(generator)) is None, False),
    "async generator closed": (lambda b: run(begun_async(b.do(async_generator)).aclose()), None),
    "async generator thrown into": (lambda b: run(begun_async(b.do(async_generator)).athrow(BROKEN)), Broken),
    "coroutine closed": (lambda b: b.do(coroutine).close(), None),
    "decorate": (lambda b: b(fails) is None, False),
    "decorated inside a class": (lambda b: b(METHOD) is None, False),
    "get": (lambda b: PROVIDER.get_breaker("another").name, "another"),
    "show": (lambda b: (repr(b), repr(DECORATED), str(REJECTION), repr(REJECTION)) is None, False),
    "read": (lambda b: (b.snapshot(), b.state, b.mode, b.policy, b.retry_after) is None, False),
    "operate": (lambda b: (b.force_open(), b.clear_override(), b.shadow(), b.clear_override()) is None, False),
}
# Those that ask for no leave.
NO_CALLS = frozenset(
    {
        *(
            "method looked up",
            "decorate",
            "decorated inside a class",
            "read",
            "operate",
            "get",
            "show",
            "coroutine closed",
        ),
    }
)
PROVIDER: Any = None
DECORATED: Any = None
DECORATED_COROUTINE: Any = None


def with_permit(breaker: Breaker, error: BaseException | None) -> None:
    with breaker.acquire():
        if error is not None:
            raise error


def begun(items: Any) -> Any:
    next(items)
    return items


def begun_async(items: Any) -> Any:
    run(items.__anext__())
    return items


async def exhaust(items: AsyncIterator[int]) -> list[int]:
    return [item async for item in items]


def outcome(call: Call, breaker: Breaker) -> object:
    """What a call gives: its value, or the type of what it raises."""
    try:
        return call(breaker)
    except BaseException as error:
        error.__traceback__ = None
        lost = type(error) is SystemError and (error.args[0] == LOST or error.args[0].startswith("<function "))
        return MemoryError if lost else type(error)


def without_memory(call: Call, breaker: Breaker, start: int, stop: int) -> object:
    """The same, with allocations from the ``start``-th to before the ``stop``-th failing (0: all that follow)."""
    _testcapi.set_nomemory(start, stop)
    try:
        return outcome(call, breaker)
    finally:
        _testcapi.remove_mem_hooks()


def decorate(provider: Provider, breaker: Breaker) -> None:
    global PROVIDER, DECORATED, DECORATED_COROUTINE
    PROVIDER = provider
    DECORATED = breaker(plain)
    DECORATED_COROUTINE = breaker(coroutine)
    Obj.method = breaker(method)


def report_what_is_ours(unraisable: Any) -> None:
    """A generator of Python's own says so itself where it is closed without memory."""
    if not (isinstance(unraisable.object, GeneratorType) and isinstance(unraisable.exc_value, MemoryError)):
        sys.__unraisablehook__(unraisable)


def try_all(state: str, listening: bool, form: str, **options: Any) -> None:
    """Fail each allocation of a form once, then each and all that follow."""
    call, expected = FORMS[form]
    sys.unraisablehook = report_what_is_ours
    if state == "open" and form not in NO_CALLS:
        expected = BreakerOpenError
    for following in (False, True):
        clean = 0
        for place in range(MOST):
            setting = Setting(state, listening, **options)
            decorate(setting.provider, setting.breaker)
            before = setting.settled()
            got = without_memory(call, setting.breaker, place, 0 if following else place + 1)
            assert got in (expected, MemoryError), (form, place, following, got)
            assert setting.settled() - before <= 1
            if got is not MemoryError and form not in NO_CALLS:
                assert setting.settled() - before == (0 if state == "open" else 1), (form, place, following, got)
            setting.check()
            count({"allocations that failed": got is MemoryError, "calls with a failing allocator": 1})
            clean = clean + 1 if got == expected else 0
            if clean > 12:  # past the last allocation: nothing has failed for long
                break
        else:
            raise AssertionError(f"{form} allocates more than {MOST} times")


SITUATIONS = [(state, listening) for state in ("closed", "open", "half-open") for listening in (False, True)]
# Those on which most of the core's lines run: nothing to do but the call, and everything.
ALWAYS = [("closed", False), ("half-open", True)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("state", "listening"), SITUATIONS if os.environ.get("MEMORY") == "everything" else ALWAYS)
@pytest.mark.timeout(120)
@in_a_process("-W", "ignore::RuntimeWarning", seconds=110)
def test_each_allocation_fails_with_a_memory_error_and_the_books_are_right(
    state: str, listening: bool, form: str
) -> None:
    # S17
    try_all(state, listening, form)


@pytest.mark.parametrize("form", ["do", "await"])
@pytest.mark.parametrize("state", ["closed", "half-open"])
@in_a_process("-W", "ignore::RuntimeWarning", seconds=110)
def test_each_allocation_fails_where_a_predicate_judges(state: str, form: str) -> None:
    try_all(state, True, form, failed_result=lambda value: False)
