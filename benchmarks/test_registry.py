"""Looking an existing breaker up, with 1 … 1,000,000 names; the floor is a dict's own method."""

from functools import cache

import pytest

import breaker
from benchmarks.measure import sync_loop
from benchmarks.meter import Meter
from benchmarks.subjects import CLOSED, provider

SIZES = [1, 1_000, 100_000, 1_000_000]
NAME = "bench:lookup"


@cache
def registry(size: int) -> breaker.Provider:
    made = provider(CLOSED, size - 1)
    made.get_breaker(NAME)
    return made


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["floor", "breaker"])
def test_registry(meter: Meter, size: int, kind: str) -> None:
    if size > 1_000 and not meter.fixture.enabled:
        # Seconds to fill, and the same code: not worth it where nothing is measured.
        size = 1_000
    owner = registry(size)
    table = dict(owner.breakers)
    statement = "owner.get_breaker(name)" if kind == "breaker" else "table.get(name)"
    meter.fixture.group = f"registry: {size} names"
    meter.measure(sync_loop(statement, {"owner": owner, "table": table, "name": NAME}).run)
    assert len(owner.breakers) == size
    assert owner.get_breaker(NAME) is table[NAME]
