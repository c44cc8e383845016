"""Ways to read what a breaker did: its events, its totals."""

from collections.abc import Iterable
from typing import Any, TypeVar

from breaker import Breaker, State
from breaker.events import StateChanged

E = TypeVar("E")

# State changes as `transitions` gives them.
OPENED = (State.CLOSED, State.OPEN, "tripped")
PROBING = (State.OPEN, State.HALF_OPEN, "timeout")
REOPENED = (State.HALF_OPEN, State.OPEN, "probe_failed")
RECOVERED = (State.HALF_OPEN, State.CLOSED, "recovered")


def probing(breaker: Breaker) -> tuple[State, int, int]:
    """State, probe successes, probes in flight."""
    snapshot = breaker.snapshot()
    return snapshot.state, snapshot.half_open_successes, snapshot.half_open_in_flight


def standing(breaker: Breaker) -> tuple[State, int, int, int, int]:
    """What decides of calls: state, epoch, streak, probe successes, probes in flight."""
    snapshot = breaker.snapshot()
    return (
        snapshot.state,
        snapshot.epoch,
        snapshot.consecutive_failures,
        snapshot.half_open_successes,
        snapshot.half_open_in_flight,
    )


def of_type(events: Iterable[Any], kind: type[E]) -> list[E]:
    """The events of one kind, in order."""
    return [event for event in events if isinstance(event, kind)]


def transitions(events: Iterable[Any]) -> list[tuple[State, State, str]]:
    """``(from, to, reason)`` of every state change, in order."""
    changes = of_type(events, StateChanged)
    return [(change.from_state, change.to_state, change.reason) for change in changes]


def assert_chain(events: Iterable[Any], end: State) -> None:
    """The state changes form one chain from CLOSED to ``end``, and the epochs rise."""
    state, epoch = State.CLOSED, -1
    for change in of_type(events, StateChanged):
        assert change.from_state is state
        assert change.epoch > epoch
        state, epoch = change.to_state, change.epoch
    assert state is end


def counts(breaker: Breaker) -> dict[str, int]:
    """The totals that are not zero: ``{"successes": 2}``."""
    snapshot = breaker.snapshot()
    names = ("successes", "failures", "ignored", "rejected", "late", "overdue")
    return {name: getattr(snapshot, name) for name in names if getattr(snapshot, name)}


def since(breaker: Breaker, before: dict[str, int]) -> dict[str, int]:
    """What was added to the totals since `counts` gave ``before``."""
    after = counts(breaker)
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
