"""A command or a statement with each client of a store: without a breaker, with a closed one, with an open one."""

from typing import Any

import pytest

from benchmarks.meter import Meter
from support.servers.binaries import POSTGRES, REDIS

CASES = [("sqlalchemy, SQLite", kind) for kind in ("bare", "breaker", "rejected")]
CASES += [(store, kind) for store in ("redis", "redis, async") for kind in ("bare", "breaker", "rejected") if REDIS]
CASES += [(store, "breaker") for store in ("sqlalchemy, psycopg", "sqlalchemy, asyncpg") if POSTGRES]  # slow to start


@pytest.mark.parametrize(("store", "kind"), CASES)
def test_stores(meter: Meter, store: str, kind: str) -> None:
    from benchmarks.store_clients import STORES as subjects

    meter.fixture.group = f"stores: {store}"
    made: Any
    with subjects[store]() as made:
        before = made.counted()
        calls = meter.measure(made.loops[kind].run, calls=20, rounds=50)
        after = made.counted()
        assert {name: after[name] - before[name] for name in after} == {
            name: calls if name == kind else 0 for name in after
        }
