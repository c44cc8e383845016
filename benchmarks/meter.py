"""Hands loops to pytest-benchmark, many calls at a time, and counts them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

CALLS = 1000
ROUNDS = 200


@dataclass
class Meter:
    """One benchmark. A round is ``calls`` calls, so microseconds of a round read as nanoseconds of a call."""

    fixture: BenchmarkFixture
    runs: int = 0

    def measure(self, run: Callable[[int], object], *, calls: int = CALLS, rounds: int = ROUNDS) -> int:
        """Measure ``run(calls)``; returns how many calls were made in all, warming up included."""

        def counted() -> None:
            self.runs += 1
            run(calls)

        self.fixture.extra_info["calls"] = calls
        pedantic: Any = self.fixture.pedantic  # pytest-benchmark has no types for it
        pedantic(counted, rounds=rounds, iterations=1, warmup_rounds=3)
        return self.runs * calls
