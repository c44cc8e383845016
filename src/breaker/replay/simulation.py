"""Recorded calls through real breakers: what a policy would have done to them.

Each call begins and ends when it did. One that the breaker admits ends as it did in the recording; one that it rejects
is known to have succeeded or failed, and that is what the rejection spoilt or spared. A call that was rejected in the
recording has no outcome: admitted here, it is ignored.
"""

from __future__ import annotations

import errno
import heapq
import os
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from breaker._core import Breaker, BreakerOpenError, Permit
from breaker.config import Config
from breaker.events import Event, StateChanged
from breaker.policies.names import DEFAULT_NAME, NAME_HINT, SUFFIX, document_name
from breaker.policies.policy import Policy
from breaker.policies.resolution import Resolution
from breaker.provider import Provider
from breaker.replay.calls import Call
from breaker.replay.outages import Outage, find_outages
from breaker.sources.memory import MemorySource
from breaker.states import State
from breaker.testing import ManualClock


class Candidate(NamedTuple):
    """A policy that is tried, or the documents of a directory.

    Attributes:
        label: what it is called in reports.
        documents: by name of breaker, and ``"default"``.
        unknown: what no policy has and was left out, as text: ``"default.json: maxCalls"``; names of files likewise.
    """

    label: str
    documents: Mapping[str, bytes]
    unknown: tuple[str, ...] = ()


class Played(NamedTuple):
    """What one policy did to the calls of one breaker. Times are in nanoseconds since the recording began.

    Attributes:
        name: of the breaker.
        policy: what it had.
        calls: of the recording.
        openings: how often it opened.
        rejected_successes: calls it rejected that have succeeded in the recording: rejected in vain.
        rejected_failures: calls it rejected that have failed: failures spared.
        rejected_others: calls it rejected that were ignored or rejected in the recording.
        unknown: calls it admitted that were rejected in the recording, so that nobody knows their outcome.
        not_closed: how long it was OPEN or HALF_OPEN.
        states: when it changed to which state.
        outages: of its dependency, by the recording.
        detected: for each outage, how long after its beginning the breaker was not CLOSED; None: never in it.
        recovered: for each outage, how long after its end the breaker was CLOSED; None: not by the recording's end, or
            the outage has none.
    """

    name: str
    policy: Policy
    calls: int
    openings: int
    rejected_successes: int
    rejected_failures: int
    rejected_others: int
    unknown: int
    not_closed: int
    states: list[tuple[int, State]]
    outages: list[Outage]
    detected: list[int | None]
    recovered: list[int | None]


class Result(NamedTuple):
    """What one candidate did to all breakers of a recording, in the order of their names."""

    label: str
    played: list[Played]


def read_candidate(path: str | os.PathLike[str]) -> Candidate:
    """A policy document, for all breakers, or a directory of them as `FileSource` reads it.

    Raises:
        PolicyError: a document that is wrong, or documents that contradict each other; ``where`` is the file.
        OSError: what cannot be read.
    """
    place = Path(path)
    files = {file.name: file for file in place.glob("*" + SUFFIX)} if place.is_dir() else {DEFAULT_NAME + SUFFIX: place}
    if not files:
        raise FileNotFoundError(errno.ENOENT, f"no {SUFFIX} document in it", os.fspath(path))
    documents = {key: file.read_bytes() for key, file in sorted(files.items())}
    found = Resolution(Policy()).update(documents)
    for key, error in found.rejected:
        raise error.at(os.fspath(files[key]))
    unknown = [f"{files[key]}: {field}" for key, fields in found.unknown_fields.items() for field in fields]
    unknown += [f"{files[key]}: {NAME_HINT}" for key in documents if document_name(key) is None]
    by_name = {name: document for key, document in documents.items() if (name := document_name(key)) is not None}
    return Candidate(os.fspath(path), by_name, tuple(unknown))


def replay(calls: Iterable[Call], candidates: Iterable[Candidate]) -> list[Result]:
    """Run recorded calls through breakers with each of some policies.

    Args:
        calls: in any order.
        candidates: what is tried.

    Returns:
        A result for each candidate, in their order.
    """
    by_name: defaultdict[str, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.at):
        by_name[call.name].append(call)
    outages = {name: find_outages(own) for name, own in by_name.items()}
    results = []
    for candidate in candidates:
        played = [_play(name, by_name[name], candidate.documents, outages[name]) for name in sorted(by_name)]
        results.append(Result(candidate.label, played))
    return results


def _play(name: str, calls: list[Call], documents: Mapping[str, bytes], outages: list[Outage]) -> Played:
    clock = ManualClock(calls[0].at / 1e9)
    states: list[tuple[int, State]] = []

    def notice(event: Event) -> None:
        if isinstance(event, StateChanged):
            states.append((clock(), event.to_state))

    with Provider(Config("replay", "/replay/"), policy_source=MemorySource(documents), clock=clock) as provider:
        provider.subscribe(notice)
        run = _Run(clock, provider.get_breaker(name))
        for call in calls:
            run.settle_until(call.at)
            run.begin(call)
        run.settle_until(None)
        seen = run.breaker.snapshot()
    return Played(
        name=name,
        policy=run.breaker.policy,
        calls=len(calls),
        openings=seen.openings,
        rejected_successes=run.rejected["success"],
        rejected_failures=run.rejected["failure"],
        rejected_others=run.rejected["ignored"] + run.rejected["rejected"],
        unknown=run.unknown,
        not_closed=round(1e9 * (seen.state_seconds[State.OPEN] + seen.state_seconds[State.HALF_OPEN])),
        states=states,
        outages=outages,
        detected=[_detected(states, outage) for outage in outages],
        recovered=[_recovered(states, outage) for outage in outages],
    )


class _Run:
    """The calls of one breaker, begun and settled in the order in which they began and ended."""

    def __init__(self, clock: ManualClock, breaker: Breaker) -> None:
        self.breaker = breaker
        self.rejected: Counter[str] = Counter()
        self.unknown = 0
        self._clock = clock
        self._number = 0
        self._running: list[tuple[int, int, Permit, str]] = []  # a heap: end, number, and how it ends

    def begin(self, call: Call) -> None:
        """The next call, at its time."""
        self._move(call.at)
        try:
            permit = self.breaker.acquire()
        except BreakerOpenError:
            self.rejected[call.outcome] += 1
            return
        if call.took is None:
            permit = permit._unmeasured()
        self.unknown += call.outcome == "rejected"
        self._number += 1
        heapq.heappush(self._running, (call.at + (call.took or 0), self._number, permit, call.outcome))

    def settle_until(self, at: int | None) -> None:
        """End the calls that end by this time; None: all."""
        while self._running and (at is None or self._running[0][0] <= at):
            end, _, permit, outcome = heapq.heappop(self._running)
            self._move(end)
            if outcome == "success":
                permit.success()
            elif outcome == "failure":
                permit.failure()
            else:
                permit.ignore()

    def _move(self, at: int) -> None:
        if (step := at - self._clock()) > 0:
            self._clock.advance(step / 1e9)


def _detected(states: list[tuple[int, State]], outage: Outage) -> int | None:
    """How long after its beginning the breaker was not CLOSED."""
    if _state_at(states, outage.begins) is not State.CLOSED:
        return 0
    at = _next(states, outage.begins, closed=False)
    return None if at is None or (outage.ends is not None and at >= outage.ends) else at - outage.begins


def _recovered(states: list[tuple[int, State]], outage: Outage) -> int | None:
    """How long after its end the breaker was CLOSED."""
    if outage.ends is None:
        return None
    if _state_at(states, outage.ends) is State.CLOSED:
        return 0
    at = _next(states, outage.ends, closed=True)
    return None if at is None else at - outage.ends


def _state_at(states: list[tuple[int, State]], moment: int) -> State:
    place = _after(states, moment)
    return states[place - 1][1] if place else State.CLOSED


def _next(states: list[tuple[int, State]], moment: int, *, closed: bool) -> int | None:
    """When it was CLOSED again after that moment, or was not any more."""
    places = range(_after(states, moment), len(states))
    return next((states[place][0] for place in places if (states[place][1] is State.CLOSED) is closed), None)


def _after(states: list[tuple[int, State]], moment: int) -> int:
    """The place of the first change after that moment."""
    return bisect_right(states, moment, key=lambda change: change[0])
