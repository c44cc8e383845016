"""What a run of the demo leaves to be drawn: counts in steps of equal length, and when something happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from breaker.snapshot import Snapshot
from breaker.states import State

STEPS = 120
OUTCOMES = ("success", "failure", "other", "rejected")


def counted(shot: Snapshot) -> tuple[int, ...]:
    """How many calls of each kind of `OUTCOMES` there have been."""
    return shot.successes, shot.failures, shot.ignored + shot.late, shot.rejected


@dataclass
class History:
    """Filled by the main loop and by a listener, read at the end.

    Args:
        seconds: How long the run is meant to be.
    """

    seconds: float
    length: float = 0.0  # how long it was
    states: list[tuple[float, str, State]] = field(default_factory=list)  # entered: when, by whom, which
    conditions: list[tuple[float, str]] = field(default_factory=list)  # of the service that is called
    edits: list[tuple[float, str, str]] = field(default_factory=list)  # of policies: when, of whom, what
    _counts: dict[int, dict[str, tuple[int, ...]]] = field(default_factory=dict)  # step → at its end, by breaker

    def look(self, at: float, shots: Mapping[str, Snapshot]) -> None:
        """Note what has been counted ``at`` seconds after the start."""
        self.length = max(self.length, at)
        step = min(int(at / self.seconds * STEPS), STEPS - 1)
        self._counts[step] = {name: counted(shot) for name, shot in shots.items()}

    def calls(self, name: str) -> list[tuple[float, ...]]:
        """Calls per second of one breaker in each step, by kind; 0 in steps in which nobody looked."""
        rates: list[tuple[float, ...]] = []
        before: tuple[int, ...] = (0,) * len(OUTCOMES)
        last = -1
        for step in range(STEPS):
            now = self._counts.get(step, {}).get(name)
            if now is None:
                rates.append((0.0,) * len(OUTCOMES))
                continue
            span = (step - last) * self.seconds / STEPS
            each = tuple((after - then) / span for then, after in zip(before, now, strict=True))
            rates[last + 1 :] = [each] * (step - last)
            before, last = now, step
        return rates

    def visits(self, name: str) -> list[tuple[float, float, State]]:
        """The states of one breaker: from when, until when, which."""
        entered = [(0.0, State.CLOSED), *((at, state) for at, who, state in self.states if who == name)]
        ends = [at for at, _ in entered[1:]] + [self.length]
        return [(at, end, state) for (at, state), end in zip(entered, ends, strict=True) if end > at]
