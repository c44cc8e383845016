"""Calls of boto3, messages and tasks of Celery: without a breaker, with a closed one, with an open one."""

from typing import Any

import pytest

from benchmarks.job_clients import JOBS
from benchmarks.meter import Meter

KINDS = [(job, kind) for job in JOBS for kind in ("bare", "breaker", "rejected")]


@pytest.mark.parametrize(("job", "kind"), KINDS[:-1])  # a task that is rejected is a message
def test_jobs(meter: Meter, job: str, kind: str) -> None:
    meter.fixture.group = f"jobs: {job}"
    made: Any
    with JOBS[job]() as made:
        calls = meter.measure(made.loops[kind].run, calls=20, rounds=50)
        counts = kind in made.counted() and job != "Celery, a task"
        assert made.counted() == {"breaker": 0, "rejected": 0} | ({kind: calls} if counts else {})
