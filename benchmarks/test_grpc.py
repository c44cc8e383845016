"""Unary calls of gRPC over loopback: with nothing between, with an interceptor that does nothing, with ours."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from benchmarks.meter import Meter
from benchmarks.rpc import KINDS, Subjects, aio_subjects, sync_subjects


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("subjects", [pytest.param(sync_subjects, id="sync"), pytest.param(aio_subjects, id="aio")])
def test_grpc(meter: Meter, subjects: Callable[[], AbstractContextManager[Subjects]], kind: str) -> None:
    meter.fixture.group = f"grpc: unary, {subjects.__name__.removesuffix('_subjects')}"
    with subjects() as made:
        calls = meter.measure(made.loops[kind].run, calls=20, rounds=100)
        assert made.counted() == dict.fromkeys(made.counted(), 0) | ({kind: calls} if kind in made.counted() else {})
