"""What is read of a provider at one scrape, with counters that never fall.

A breaker that is removed and made again counts from 0; its series go on from where they were (S232). So for each name
there is kept what the breakers of before had counted: their objects until the next reading, then the sums.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import NamedTuple

from breaker._core import Breaker
from breaker.metrics._table import ProviderSeen, Row, Values
from breaker.provider import Provider
from breaker.snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Reading", "Readings"]

MOST_GONE = 10_000  # names of removed breakers whose sums are kept

Sums = dict[str, Values]  # name of a row → what breakers of before had counted


class Line(NamedTuple):
    """The breakers of one name. Replaced, never changed."""

    breaker: Breaker | None  # of now
    before: tuple[Breaker, ...] = ()  # that are not in ``sums`` yet
    sums: Sums | None = None


class Reading(NamedTuple):
    """One moment of a provider.

    Args:
        service: the value of the label.
        provider: of it as a whole.
        breakers: name, snapshot, and what breakers of that name had counted before; None: there were none.
    """

    service: str
    provider: ProviderSeen
    breakers: list[tuple[str, Snapshot, Sums | None]]


class Readings:
    """Readings of one provider.

    Args:
        provider: which is kept alive.
        service: the value of the label.
        rows: the metrics whose counters must not fall.

    Thread safety: `read` may run in any number of threads at once.
    """

    def __init__(self, provider: Provider, service: str, rows: Sequence[Row]) -> None:
        self.provider = provider
        self.service = service
        self._counters = [row for row in rows if row.kind == "counter"]
        self._lock = threading.RLock()  # of the two below; the collector may run a finalizer that reads
        self._lines: dict[str, Line] = {}
        self._gone: dict[str, Line] = {}  # of names without a breaker, the oldest first
        _all.add(self)

    def read(self) -> Reading:
        """Read everything now. A breaker whose clock raises is left out and counted."""
        unreadable = 0
        breakers = []
        for name, breaker, line in self._look():
            try:
                sums = self._sum_up(self._lines, name, line) if line.before else line.sums
                breakers.append((name, breaker.snapshot(), sums))
            except Exception:
                unreadable += 1
        updates = dict(self.provider.policy_updates)
        return Reading(self.service, ProviderSeen(updates, self.provider.source_status, unreadable), breakers)

    def _look(self) -> list[tuple[str, Breaker, Line]]:
        """Which breakers there are now, and which there were."""
        lines = []
        with self._lock:
            before, self._lines = self._lines, {}
            for name, breaker in self.provider.breakers.items():
                line = before.pop(name, None) or self._gone.pop(name, None) or Line(None)
                if line.breaker is not breaker:
                    older = line.before if line.breaker is None else (*line.before, line.breaker)
                    line = Line(breaker, older, line.sums)
                self._lines[name] = line
                lines.append((name, breaker, line))
            for name, line in before.items():
                assert line.breaker is not None
                self._gone[name] = Line(None, (*line.before, line.breaker), line.sums)
            while len(self._gone) > MOST_GONE:
                del self._gone[next(iter(self._gone))]
            gone = [(name, line) for name, line in self._gone.items() if name in before]
        for name, line in gone:
            try:
                self._sum_up(self._gone, name, line)
            except Exception:  # its clock raises: its object is kept for another attempt
                continue
        return lines

    def _sum_up(self, lines: dict[str, Line], name: str, line: Line) -> Sums:
        """What the breakers of before had counted. Their snapshots read the user's clock, so without the lock."""
        sums = dict(line.sums or {})
        for breaker in line.before:
            seen = breaker.snapshot()
            for row in self._counters:
                sums[row.name] = added(row.read(seen), sums.get(row.name))
        summed = Line(line.breaker, (), sums)
        with self._lock:
            if lines.get(name) is line:  # no other reading was faster, and nothing has changed meanwhile
                lines[name] = summed
        return sums

    def renew_after_fork(self) -> None:
        self._lock = threading.RLock()


def added(values: Values, sums: Values | None) -> Values:
    """The values of a counter, with what breakers of before had counted."""
    return values if sums is None else tuple([(a or 0) + (b or 0) for a, b in zip(values, sums, strict=True)])


_all: weakref.WeakSet[Readings] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for readings in list(_all):
        readings.renew_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
