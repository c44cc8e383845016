"""With the allocator failing at each place in turn: `MemoryError`, nothing silent, and the books stay right.

`_testcapi.set_nomemory` makes the interpreter's allocators fail, so every allocation of every form of call is tried, by
itself and with all that follow it. Each form is a process of its own. A run of the suite tries each form in two
situations; ``make test-memory`` tries it in all of them.
"""

import itertools
import logging
import os
import sys
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, Provider, State, Window, get_default_config
from breaker.events import StateChanged
from breaker.testing import ManualClock, trip
from support.call_forms import BROKEN, FORMS, NO_CALLS, Refused, Unguarded, decorate
from support.processes import in_a_process
from support.tally import count

_testcapi: Any = pytest.importorskip("_testcapi", reason="this interpreter was built without its test modules")

MOST = 400  # allocations in one call; each form asserts that it came to its end before


# An exception that was lost: a call returned NULL and no exception, which the interpreter or Cython's code says
# afterwards. The first is what the interpreter makes of any exception that leaves a Python function while there is no
# memory for the frame's object (`_PyFrame_MakeAndSetFrameObject`), so it has to happen without a breaker too.
LOST = (
    "error return without exception set",
    "NULL result without error in PyObject_Call",
    "returned NULL without setting an exception",
)

PLAIN = Policy(2, 2, 60.0, half_open_max_calls=2)
RECOVERS = Policy(3, 2, 60.0, recovery_time=2.0)
BY_CALLS = Policy(
    None,
    2,
    60.0,
    failure_rate_threshold=0.5,
    slow_call_rate_threshold=0.5,
    slow_call_duration=1.0,
    window=Window(calls=100),
    minimum_calls=2,
)
BY_TIME = Policy(3, 2, 60.0, failure_rate_threshold=0.5, window=Window(time=5.0), recovery_time=2.0)


class Setting:
    """A breaker in a state, with or without listeners, and what it looked like before a call."""

    def __init__(self, state: str, listening: bool, policy: Policy = PLAIN, **options: Any) -> None:
        self.clock = ManualClock()
        self.provider = Provider(get_default_config("svc", "dev"), default_policy=policy, clock=self.clock)
        for name in ("breaker", "concurrent.futures"):  # a listener or a callback without memory fails too
            logging.getLogger(name).disabled = True
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


def outcome(call: Callable[[Any], object], breaker: Any) -> object:
    """What a call gives: its value, or the type of what it raises; `LOST` for an exception that was lost."""
    try:
        return call(breaker)
    except BaseException as error:
        error.__traceback__ = None
        if type(error) is SystemError and error.args[0].endswith(LOST):
            return LOST
        return type(error)


def without_memory(call: Callable[[Any], object], breaker: Any, start: int, stop: int) -> object:
    """The same, with allocations from the ``start``-th to before the ``stop``-th failing (0: all that follow)."""
    _testcapi.set_nomemory(start, stop)
    try:
        return outcome(call, breaker)
    finally:
        _testcapi.remove_mem_hooks()


def report_what_is_ours(unraisable: Any) -> None:
    """A generator of Python's own says so itself where it is closed without memory."""
    if not (
        isinstance(unraisable.object, GeneratorType | AsyncGeneratorType)
        and isinstance(unraisable.exc_value, MemoryError)
    ):
        sys.__unraisablehook__(unraisable)


def faults_without(form: str, refused: bool, following: bool) -> set[object]:
    """What else the same form ends in where there is no breaker: those are the interpreter's own faults."""
    call, expected = FORMS[form]
    expected = KeyError if refused else expected
    unguarded = Refused() if refused else Unguarded()
    found = set()
    for place in range(0 if form in NO_CALLS else MOST // 4):
        decorate(unguarded)
        found.add(without_memory(call, unguarded, place, 0 if following else place + 1))
    return found - {expected, MemoryError}


def try_all(state: str, listening: bool, form: str, **options: Any) -> None:
    """Fail each allocation of a form once, then each and all that follow."""
    call, expected = FORMS[form]
    sys.unraisablehook = report_what_is_ours
    refused = state == "open" and form not in NO_CALLS
    expected = BreakerOpenError if refused else expected
    for following in (False, True):
        faults = faults_without(form, refused, following)
        clean = 0
        for place in range(MOST):
            setting = Setting(state, listening, **options)
            decorate(setting.breaker, setting.provider)
            before = setting.settled()
            got = without_memory(call, setting.breaker, place, 0 if following else place + 1)
            decorate(setting.breaker, setting.provider)  # a future that never ended is dropped
            assert got in (expected, MemoryError) or got in faults, (form, place, following, got)
            settled = setting.settled() - before
            assert settled <= 1
            if got not in (MemoryError, LOST) and form not in NO_CALLS:
                assert settled == (0 if state == "open" else 1), (form, place, following, got)
            setting.check()
            count(
                {
                    "allocations that failed": got is MemoryError,
                    "ended as without a breaker": got in faults,
                    "calls with a failing allocator": 1,
                }
            )
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


@pytest.mark.parametrize("form", ["do that fails", "do that fails with a group", "acquire that fails"])
@pytest.mark.parametrize("state", ["closed", "half-open"])
@in_a_process("-W", "ignore::RuntimeWarning", seconds=110)
def test_each_allocation_fails_where_a_predicate_judges_errors(state: str, form: str) -> None:
    try_all(state, True, form, failed_error=lambda error: True)


@pytest.mark.parametrize("form", ["do", "do that fails", "await", "acquire that fails"])
@pytest.mark.parametrize("state", ["closed", "half-open"])
@in_a_process("-W", "ignore::RuntimeWarning", seconds=110)
def test_each_allocation_fails_where_rates_and_calls_in_flight_are_counted(state: str, form: str) -> None:
    try_all(state, True, form, policy=BY_CALLS)
    try_all(state, True, form, policy=BY_TIME)


def taking(policy: Policy) -> Callable[[Any], object]:
    return lambda breaker: breaker._replace_policy(policy, None, 0)


@pytest.mark.parametrize("following", [False, True])
@in_a_process("-W", "ignore::RuntimeWarning")
def test_a_policy_is_taken_as_a_whole_or_not_at_all(following: bool) -> None:
    # S17, S110: the old one goes on to decide if there is no memory for the new one's window
    for old, new in itertools.permutations((PLAIN, RECOVERS, BY_CALLS, BY_TIME), 2):
        refused = 0
        for place in range(MOST):
            provider = Provider(get_default_config("svc", "dev"), default_policy=old, clock=ManualClock())
            breaker = provider.get_breaker("a")
            breaker.do(int)
            got = without_memory(taking(new), breaker, place, 0 if following else place + 1)
            assert got in (True, MemoryError), (old, new, place, got)
            refused += got is MemoryError
            taken = old if got is MemoryError else new
            assert breaker.snapshot().policy == taken
            opens = taken in (PLAIN, BY_CALLS)
            for _ in range(2):
                outcome(lambda breaker: breaker.do(lambda: 1 // 0), breaker)
            assert breaker.state is (State.OPEN if opens else State.CLOSED), (old, new, place, got)
            if got is True and place > refused + 12:
                break
        assert 0 < refused < MOST // 2
        count({"allocations that failed": refused})
