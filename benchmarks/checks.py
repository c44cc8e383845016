"""What every measured case has in common: a benchmark per subject, and totals that add up exactly."""

from collections.abc import Sequence

import pytest

from benchmarks.cases import Case, ready
from benchmarks.meter import Meter


def subjects(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """One test for each case and each of its subjects, named ``case-subject``."""
    parameters = []
    for case in cases:
        kinds = ["floor", "breaker"] if case.bare is None else ["bare", "floor", "breaker"]
        parameters += [pytest.param(case, kind, id=f"{case.name}-{kind}") for kind in kinds]
    return pytest.mark.parametrize(("case", "kind"), parameters)


def run(meter: Meter, case: Case, kind: str) -> None:
    """Measure one subject. The breaker has counted every one of its calls; the others none."""
    prepared = ready(case)
    try:
        meter.fixture.group = f"{case.group}: {case.name}"
        before = prepared.total()
        calls = meter.measure(prepared.loops[kind].run)
        assert prepared.total() - before == (calls if kind == "breaker" else 0)
    finally:
        prepared.close()
