"""A request of each kind of web application: without `install`, with it, and rejected."""

from typing import Any

import pytest

from benchmarks.meter import Meter
from benchmarks.web_apps import APPLICATIONS, KINDS


@pytest.mark.parametrize("application", APPLICATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_web(meter: Meter, application: str, kind: str) -> None:
    meter.fixture.group = f"web: {application}"
    made: Any
    with APPLICATIONS[application]() as made:
        meter.measure(made[kind].run, calls=20, rounds=50)
