"""Calls per second of the last two minutes, made of what snapshots count whenever somebody asks.

There is no thread and no timer: a sample is taken when the page is asked for, and what happened since the sample before
is spread evenly over the time between. While nobody asks nothing is counted.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from breaker.snapshot import Snapshot

KINDS = ("success", "failure", "ignored", "late", "rejected")
BIN_SECONDS = 2.0
BINS = 60
_RECENT_BINS = 6  # the one that goes on and five before it: ten seconds at least


class Recent(NamedTuple):
    """What one breaker did in the last ten seconds or a little more."""

    seconds: float  # that the samples say something of; 0: none do
    calls: tuple[float, ...]  # in those seconds, in the order of `KINDS`


Line = list[tuple[float, ...] | None]  # calls per second in the order of `KINDS`, for each bin, oldest first


def totals(shot: Snapshot) -> tuple[int, ...]:
    """What a snapshot has counted, in the order of `KINDS`."""
    return shot.successes, shot.failures, shot.ignored, shot.late, shot.rejected


class Samples:
    """The samples of one provider.

    Thread safety:
        All of it may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: float | None = None  # when the last sample was
        self._newest = 0  # number of the bin that goes on
        self._covered = array("d", bytes(8 * BINS))  # seconds of each bin that lie between two samples
        self._seen: dict[str, tuple[int, ...]] = {}
        self._calls: dict[str, array[float]] = {}  # name → calls by bin and kind

    def take(self, shots: Iterable[Snapshot], now: float) -> None:
        """Take a sample.

        Args:
            shots: One for each breaker; those that are missing are forgotten.
            now: Monotonic seconds at which they were taken. A sample older than the last one is passed over.
        """
        with self._lock:
            if self._taken is not None and now <= self._taken:
                return
            parts = self._advance_locked(now)
            seen = {shot.name: totals(shot) for shot in shots}
            for name, counted in seen.items():
                calls = self._calls.get(name)
                if calls is None:
                    calls = self._calls[name] = array("d", bytes(8 * BINS * len(KINDS)))
                before = self._seen.get(name, (0,) * len(KINDS))
                if any(now < then for now, then in zip(counted, before, strict=True)):
                    before = (0,) * len(KINDS)  # another breaker of this name
                _spread(calls, before, counted, parts)
            for name in self._calls.keys() - seen.keys():
                del self._calls[name]
            self._seen = seen

    def recent(self, name: str) -> Recent:
        """What the breaker of this name did lately, by the samples so far."""
        with self._lock:
            calls = self._calls.get(name)
            if calls is None:
                return Recent(0.0, (0.0,) * len(KINDS))
            slots = [(self._newest - back) % BINS for back in range(_RECENT_BINS)]
            counts = [sum([calls[slot * len(KINDS) + kind] for slot in slots]) for kind in range(len(KINDS))]
            return Recent(sum([self._covered[slot] for slot in slots]), tuple(counts))

    def line(self, name: str) -> Line:
        """What it did in each bin, by the samples so far."""
        with self._lock:
            calls = self._calls.get(name)
            if calls is None:
                return [None] * BINS
            line: Line = []
            for slot in [(self._newest + 1 + ahead) % BINS for ahead in range(BINS)]:
                covered = self._covered[slot]
                each = calls[slot * len(KINDS) : (slot + 1) * len(KINDS)]
                line.append(tuple([count / covered for count in each]) if covered else None)
            return line

    def _advance_locked(self, now: float) -> list[tuple[int, float]]:
        """Go on to the bin of now. Returns the slots that what happened since belongs to, each with its part."""
        before, self._taken = self._taken, now
        number = int(now // BIN_SECONDS)
        if before is None or now - before > BINS * BIN_SECONDS:
            self._newest = number
            self._covered = array("d", bytes(8 * BINS))
            self._calls.clear()
            return []
        for skipped in range(self._newest + 1, number + 1):
            self._empty_locked(skipped % BINS)
        self._newest = number
        parts = []
        for each in range(max(int(before // BIN_SECONDS), number - BINS + 1), number + 1):
            begin, end = max(before, each * BIN_SECONDS), min(now, (each + 1) * BIN_SECONDS)
            if end > begin:
                self._covered[each % BINS] += end - begin
                parts.append((each % BINS, (end - begin) / (now - before)))
        return parts

    def _empty_locked(self, slot: int) -> None:
        self._covered[slot] = 0.0
        nothing = array("d", bytes(8 * len(KINDS)))
        for calls in self._calls.values():
            calls[slot * len(KINDS) : (slot + 1) * len(KINDS)] = nothing


def _spread(
    calls: array[float], before: tuple[int, ...], counted: tuple[int, ...], parts: list[tuple[int, float]]
) -> None:
    for kind, (then, now) in enumerate(zip(before, counted, strict=True)):
        if now != then:
            for slot, part in parts:
                calls[slot * len(KINDS) + kind] += (now - then) * part
