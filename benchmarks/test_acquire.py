"""A permit taken and settled while the breaker is closed."""

from benchmarks.cases import ACQUIRE, Case
from benchmarks.checks import run, subjects
from benchmarks.meter import Meter


@subjects(ACQUIRE)
def test_acquire(meter: Meter, case: Case, kind: str) -> None:
    run(meter, case, kind)
