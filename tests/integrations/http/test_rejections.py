"""A rejected request: whose error it is, what it says, and that the server never sees it."""

import copy
import pickle
from typing import Any

import pytest

from breaker import BreakerOpenError, Provider, State
from support.collector import no_collector
from support.http.clients import Kind
from support.http.server import Server
from support.reading import counts


def reject(client: Any, kind: Kind, url: str) -> BreakerOpenError:
    with pytest.raises(kind.rejection) as caught:
        client.get(url)
    return caught.value


def test_it_is_the_librarys_error_and_ours(kind: Kind, provider: Provider, server: Server) -> None:
    provider.get_breaker(server.name).force_open()
    with kind.open(provider) as client:
        rejected = reject(client, kind, f"{server.url}/status/200")
    assert isinstance(rejected, BreakerOpenError)
    assert isinstance(rejected, kind.family)
    assert isinstance(rejected, kind.errors)
    assert (rejected.name, rejected.state, rejected.reason) == (server.name, State.OPEN, "operator")
    assert rejected.retry_after == 60.0
    assert str(rejected) == f"circuit breaker '{server.name}' is forced open by an operator, retry in 60 s"
    assert rejected.__cause__ is None
    assert server.requests == []
    assert server.connections == 0


def test_it_survives_pickle_and_copy(kind: Kind, provider: Provider, server: Server) -> None:
    with kind.open(provider) as client:
        client.get(f"{server.url}/status/500")
        rejected = reject(client, kind, f"{server.url}/status/200")
    for again in (pickle.loads(pickle.dumps(rejected)), copy.copy(rejected), copy.deepcopy(rejected)):
        assert type(again) is kind.rejection
        assert repr(again) == repr(rejected)
        assert (again.name, again.state, again.retry_after, again.reason, again.last_error) == (
            server.name,
            State.OPEN,
            60.0,
            "open",
            "FailedStatus: 500",
        )


def test_many_are_freed_without_the_collector(kind: Kind, provider: Provider, server: Server) -> None:
    provider.get_breaker(server.name).force_open()
    with kind.open(provider) as client:
        reject(client, kind, f"{server.url}/status/200")
        with no_collector():
            assert client.lasting(f"{server.url}/status/200", 30) == 0
    assert counts(provider.breakers[server.name]) == {"rejected": 31}
    assert server.requests == []


def test_an_unprotected_request_passes_an_open_breaker(kind: Kind, provider: Provider, server: Server) -> None:
    provider.get_breaker(server.name).force_open()
    with kind.open(provider, name=lambda request: None) as client:
        assert client.get(f"{server.url}/status/200") == 200
        assert client.get(f"{server.url}/status/503") == 503
        with pytest.raises(kind.errors):
            client.get(f"{server.url}/drop")
    assert counts(provider.breakers[server.name]) == {}
    assert len(server.requests) >= 3


def test_each_hop_of_a_redirect_asks(kind: Kind, provider: Provider, server: Server) -> None:
    with Server() as other, kind.open(provider) as client:
        assert client.follow(f"{server.url}/redirect/3") == 200
        assert counts(provider.breakers[server.name]) == {"successes": 4}
        assert client.follow(f"{server.url}/elsewhere/{other.port}/status/200") == 200
        assert counts(provider.breakers[server.name]) == {"successes": 5}
        assert counts(provider.breakers[other.name]) == {"successes": 1}
        assert client.follow(f"{server.url}/elsewhere/{other.port}/status/503") == 503
        assert provider.breakers[other.name].state is State.OPEN
        assert provider.breakers[server.name].state is State.CLOSED
        seen = list(other.requests)
        with pytest.raises(kind.rejection) as caught:
            client.follow(f"{server.url}/elsewhere/{other.port}/status/200")
        assert caught.value.name == other.name
        assert other.requests == seen
        assert counts(provider.breakers[server.name]) == {"successes": 7}
