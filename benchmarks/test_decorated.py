"""A decorated function and a decorated method while the breaker is closed."""

from benchmarks.cases import DECORATED, Case
from benchmarks.checks import run, subjects
from benchmarks.meter import Meter


@subjects(DECORATED)
def test_decorated(meter: Meter, case: Case, kind: str) -> None:
    run(meter, case, kind)
