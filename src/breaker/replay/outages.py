"""Outages in recorded calls, seen by the failures alone: what policies are measured against.

Time is cut into seconds. One is bad if at least half of the calls that began in it failed, and good otherwise; one in
which no call succeeded or failed says nothing. Bad seconds with no good one between them are an outage, if at least
five calls failed in it. It begins with its first failed call, and ends with the first call after the last failed one
that succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from breaker.replay.calls import Call

_SECOND = 1_000_000_000
_LEAST = 5  # failures
_BAD = 0.5  # of the calls of a second


class Outage(NamedTuple):
    """A time in which a dependency failed.

    Attributes:
        begins: nanoseconds since the recording began.
        ends: the same; None: it lasts to the end of the recording.
        failures: the calls that failed.
    """

    begins: int
    ends: int | None
    failures: int


def find_outages(calls: Iterable[Call]) -> list[Outage]:
    """The outages of one breaker's dependency.

    Args:
        calls: of one breaker, in the order of their beginnings.
    """
    judged = [call for call in calls if call.outcome in ("success", "failure")]
    found = []
    for first, after in _stretches(judged):
        failed = [place for place in range(first, after) if judged[place].outcome == "failure"]
        if len(failed) < _LEAST:
            continue
        later = (judged[place] for place in range(failed[-1] + 1, len(judged)))
        ends = next((call.at for call in later if call.outcome == "success"), None)
        found.append(Outage(judged[failed[0]].at, ends, len(failed)))
    return found


def _stretches(judged: list[Call]) -> Iterator[tuple[int, int]]:
    """The places of the calls of bad seconds in a row: the first one's, and the one after the last one's."""
    place = 0
    first: int | None = None
    for _, group in groupby(judged, key=lambda call: call.at // _SECOND):
        outcomes = [call.outcome for call in group]
        if outcomes.count("failure") >= _BAD * len(outcomes):
            first = place if first is None else first
        elif first is not None:
            yield first, place
            first = None
        place += len(outcomes)
    if first is not None:
        yield first, place
