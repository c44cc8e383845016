"""The books of a storm: what its actors entered, and what the breakers say."""

import itertools
from collections import Counter
from typing import Any

from breaker import Snapshot, State
from breaker.events import BreakerCreated, CallFailed, ModeChanged, PolicyUpdated, ProbeOverdue, StateChanged

# (what, name of the breaker), by all actors: appending to a list needs no lock, whoever interrupts whom.
# admitted: the call ran. rejected: it did not. either: an interrupt of a listener came in between, it was one of them.
# failed: it was reported as a failure.
Entries = list[tuple[str, str]]


def entered(entries: Entries, name: str) -> Counter[str]:
    return Counter(what for what, whose in entries if whose == name)


def check_totals(entries: Entries, before: Snapshot | None, now: Snapshot) -> None:
    """Each call ended in one count. ``before``: the totals when the books were opened; None: at the beginning."""
    books = entered(entries, now.name)
    ended, rejected = _totals(now)
    if before is not None:
        ended_before, rejected_before = _totals(before)
        ended, rejected = ended - ended_before, rejected - rejected_before
    said = (now, books, ended, rejected)
    if books["either"]:
        assert ended + rejected == books["admitted"] + books["rejected"] + books["either"], said
        assert ended >= books["admitted"], said
        assert rejected >= books["rejected"], said
    else:
        assert (ended, rejected) == (books["admitted"], books["rejected"]), said
    assert now.half_open_in_flight == 0, said


def _totals(seen: Snapshot) -> tuple[int, int]:
    return seen.successes + seen.failures + seen.ignored + seen.late, seen.rejected


def check_chains(entries: Entries, events: list[Any], now: Snapshot, *, interrupted: bool) -> None:
    """Every event came once, in order, and each begins where the one before it ended."""
    kinds = Counter(type(event) for event in events)
    created = events[0]
    assert isinstance(created, BreakerCreated), events[:3]
    assert kinds[BreakerCreated] == 1
    moves = [event for event in events if isinstance(event, StateChanged)]
    assert not moves or moves[0].from_state is State.CLOSED
    for earlier, later in itertools.pairwise(moves):
        assert earlier.to_state is later.from_state, (earlier, later)
        assert earlier.epoch < later.epoch, (earlier, later)
    assert not moves or moves[-1].to_state is now.state is State.CLOSED
    modes = [event for event in events if isinstance(event, ModeChanged)]
    assert not modes or modes[0].from_mode is created.policy.mode
    for before, after in itertools.pairwise(modes):
        assert before.to_mode is after.from_mode, (before, after)
    assert (modes[-1].to_mode if modes else created.policy.mode) is now.mode
    updates = [event for event in events if isinstance(event, PolicyUpdated)]
    assert not updates or updates[0].old == created.policy
    for old, new in itertools.pairwise(updates):
        assert old.new == new.old, (old, new)
    assert (updates[-1].new if updates else created.policy) == now.policy
    assert kinds[ProbeOverdue] == now.overdue
    failed = entered(entries, now.name)["failed"]
    if interrupted:
        assert kinds[CallFailed] >= now.failures
    else:
        assert kinds[CallFailed] == failed, (now, kinds, failed)
