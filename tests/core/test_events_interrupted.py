"""What happens in the very moment in which an event is made: an interrupt, a fork. No later event may be lost."""

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from breaker import Policy, State
from breaker.events import CallFailed, StateChanged
from breaker.testing import ManualClock
from support.drive import NAME, HangUp, Make, drive_to, fail, trip
from support.processes import fork_and_check
from support.reading import of_type, transitions
from support.threads import Crowd


class Moment:
    """Calls ``happen`` once when an event with this field is about to be made, in the thread that has ``watch``."""

    def __init__(self, field: str, happen: Callable[[], Any]) -> None:
        self.field = field
        self.happen: Callable[[], Any] | None = happen

    def watch(self, frame: FrameType, what: str, _: Any) -> None:
        code = frame.f_code
        if what == "call" and self.happen and code.co_name == "__init__" and self.field in code.co_varnames:
            happen, self.happen = self.happen, None
            happen()


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    yield
    sys.setprofile(None)


def hang_up() -> None:
    raise HangUp


@pytest.mark.parametrize("field", ["error", "from_state"], ids=["at the first of two", "at the second of two"])
def test_an_interrupt_while_an_event_is_made_costs_no_event(make_breaker: Make, events: list[Any], field: str) -> None:
    # S79, S83: a signal handler that raises: the failure that trips reports `CallFailed` and `StateChanged`
    breaker = make_breaker(Policy(1))
    del events[:]
    moment = Moment(field, hang_up)
    permit = breaker.acquire()
    sys.setprofile(moment.watch)
    with pytest.raises(HangUp):
        permit.failure()
    sys.setprofile(None)
    assert breaker.state is State.OPEN
    breaker.reset()
    assert [type(event) for event in events] == [CallFailed, StateChanged, StateChanged]
    assert transitions(events) == [(State.CLOSED, State.OPEN, "tripped"), (State.OPEN, State.CLOSED, "reset")]


def test_a_fork_while_another_thread_makes_an_event_leaves_the_childs_events_in_order(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S152
    inside, go, crowd = threading.Event(), threading.Event(), Crowd()

    def pause() -> None:
        inside.set()
        assert go.wait(20)

    moment = Moment("from_state", pause)

    def slow() -> None:
        sys.setprofile(moment.watch)
        trip(breaker)

    breaker = make_breaker(Policy(2), NAME)
    crowd.start(slow)
    assert inside.wait(20)

    def child() -> None:
        del events[:]
        drive_to(breaker, clock, State.CLOSED)
        fail(breaker)
        heard = [(before, after) for before, after, _ in transitions(events)]
        assert heard[-2:] == [(State.OPEN, State.HALF_OPEN), (State.HALF_OPEN, State.CLOSED)]
        assert type(events[-1]) is CallFailed

    fork_and_check(child)
    go.set()
    crowd.join()
    assert [change.to_state for change in of_type(events, StateChanged)] == [State.OPEN]


def test_a_listener_without_memory_is_notified_of_that_event_once_more(
    make_breaker: Make, listeners: list[Any]
) -> None:
    # S79
    heard: list[tuple[str, str]] = []
    fails = [2]

    def greedy(event: Any) -> None:
        if isinstance(event, StateChanged) and fails[0]:
            fails[0] -= 1
            raise MemoryError
        heard.append(("greedy", type(event).__name__))

    listeners += [greedy, lambda event: heard.append(("other", type(event).__name__))]
    breaker = make_breaker(Policy(1))
    del heard[:]
    fails[0] = 1
    fail(breaker)
    others = [("greedy", "CallFailed"), ("other", "CallFailed"), ("other", "StateChanged")]
    assert heard == others
    breaker.reset()
    assert heard[3:] == [("greedy", "StateChanged"), ("greedy", "StateChanged"), ("other", "StateChanged")]
