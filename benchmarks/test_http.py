"""GET requests over loopback with each HTTP client: without a breaker, with a closed one, with an open one."""

from typing import Any

import pytest

from benchmarks.http_clients import CLIENTS
from benchmarks.meter import Meter


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("kind", ["bare", "breaker", "rejected"])
def test_http(meter: Meter, client: str, kind: str) -> None:
    meter.fixture.group = f"http: {client}"
    made: Any
    with CLIENTS[client]() as made:
        calls = meter.measure(made.loops[kind].run, calls=20, rounds=50)
        assert made.counted() == {"breaker": 0, "rejected": 0} | ({kind: calls} if kind in made.counted() else {})
