"""A call that fails while the streak is below the threshold."""

from benchmarks.cases import FAILING, Case
from benchmarks.checks import run, subjects
from benchmarks.meter import Meter


@subjects(FAILING)
def test_failing(meter: Meter, case: Case, kind: str) -> None:
    run(meter, case, kind)
