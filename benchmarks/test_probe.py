"""A probe: every call is admitted in the half-open state and settles there."""

from benchmarks.cases import PROBE, Case
from benchmarks.checks import run, subjects
from benchmarks.meter import Meter


@subjects(PROBE)
def test_probe(meter: Meter, case: Case, kind: str) -> None:
    run(meter, case, kind)
