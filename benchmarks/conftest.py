"""Measured under ``--benchmark-only``; run once and checked, in milliseconds, in an ordinary test run."""

import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

# The tests import the package that they stand in, from a checkout that is not on the path.
ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)

from benchmarks.meter import Meter  # noqa: E402 - needs the path above


@pytest.fixture
def meter(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Meter:
    options = request.config.option
    if not (options.benchmark_only or options.benchmark_enable):
        benchmark.disabled = True
    return Meter(benchmark)
