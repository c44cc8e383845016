"""A rejection: raised with its data and caught."""

from benchmarks.cases import REJECTED, Case
from benchmarks.checks import run, subjects
from benchmarks.meter import Meter


@subjects(REJECTED)
def test_rejected(meter: Meter, case: Case, kind: str) -> None:
    run(meter, case, kind)
