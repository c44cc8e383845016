"""A call through ``do`` while the breaker is closed."""

from benchmarks.cases import CLOSED, Case
from benchmarks.checks import run, subjects
from benchmarks.meter import Meter


@subjects(CLOSED)
def test_closed(meter: Meter, case: Case, kind: str) -> None:
    run(meter, case, kind)
