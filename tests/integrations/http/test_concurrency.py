"""Requests at once, requests that are given up, and probes."""

from typing import Any

import pytest

from breaker import Policy, Provider, State
from support.drive import Providers, cool
from support.http.clients import Kind
from support.http.kinds import KINDS
from support.http.server import Server
from support.reading import counts

awaited = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.awaited], ids=lambda kind: kind.name)


def test_each_of_many_at_once_counts_once(kind: Kind, patient: Provider, server: Server) -> None:
    paths = ["status/200", "status/503", "drop", "status/404", "half"] * 6
    with kind.open(patient) as client:
        found = client.together([f"{server.url}/{path}" for path in paths])
    assert [status for status in found if isinstance(status, int)] == [200, 503, 404] * 6
    seen = sum(request == "GET /drop" for request in server.requests)  # some clients ask again by themselves
    assert counts(patient.breakers[server.name]) == {"successes": 18, "failures": 6 + seen}


def test_one_probe_of_many_that_ask_at_once(kind: Kind, provider_of: Providers, server: Server, clock: Any) -> None:
    provider = provider_of(Policy(1, 1, 60.0))
    with kind.open(provider) as client:
        client.get(f"{server.url}/status/503")
        breaker = provider.breakers[server.name]
        cool(breaker, clock)
        seen = len(server.requests)
        server.gate = lambda: breaker.snapshot().rejected == 7
        found = client.together([f"{server.url}/gate"] * 8)
    assert sum(isinstance(one, kind.rejection) for one in found) == 7
    assert found.count(200) == 1
    assert len(server.requests) == seen + 1
    assert breaker.state is State.CLOSED


@awaited
def test_a_task_that_is_cancelled_is_ignored(kind: Kind, patient: Provider, server: Server) -> None:
    with kind.open(patient, settle="body") as client:
        opened: Any = client
        opened.cancel(f"{server.url}/hang", lambda: len(server.requests) == 1)
        assert counts(patient.breakers[server.name]) == {"ignored": 1}
        opened.cancel(f"{server.url}/stall", lambda: len(server.requests) == 2)
        assert counts(patient.breakers[server.name]) == {"ignored": 2}
        opened.overrun(f"{server.url}/hang", 0.05)
        assert counts(patient.breakers[server.name]) == {"ignored": 3}
        assert client.get(f"{server.url}/status/200") == 200


@awaited
def test_a_probe_that_is_cancelled_gives_its_slot_back(
    kind: Kind, provider: Provider, server: Server, clock: Any
) -> None:
    with kind.open(provider) as client:
        client.get(f"{server.url}/status/503")
        breaker = provider.breakers[server.name]
        cool(breaker, clock)
        opened: Any = client
        opened.cancel(f"{server.url}/hang", lambda: len(server.requests) == 2)
        assert breaker.state is State.HALF_OPEN
        assert breaker.snapshot().half_open_in_flight == 0
        assert client.get(f"{server.url}/status/200") == 200
        assert breaker.state is State.CLOSED
