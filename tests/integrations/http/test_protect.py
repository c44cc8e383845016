"""A client that existed before it was protected goes on as it was configured, and is protected once."""

from typing import Any

import pytest

from breaker import Provider, State
from support.etcd.tls import Tls
from support.http.clients import Kind
from support.http.kinds import KINDS
from support.http.proxy import Proxy
from support.http.server import Server
from support.reading import counts


def test_it_is_protected(kind: Kind, provider: Provider, server: Server) -> None:
    with kind.protect(provider) as client:
        assert client.get(f"{server.url}/status/404") == 404
        assert client.get(f"{server.url}/status/503") == 503
        with pytest.raises(kind.rejection):
            client.get(f"{server.url}/status/200")
    assert counts(provider.breakers[server.name]) == {"successes": 1, "failures": 1, "rejected": 1}
    assert len(server.requests) == 2


def test_it_keeps_its_proxy(kind: Kind, provider: Provider) -> None:
    with Server() as proxy, kind.protect(provider, client=kind.proxied(proxy.url)) as client:
        assert client.get("http://shop.example/status/200") == 200
        assert client.get("http://shop.example/status/503") == 503
        assert client.get("http://other.example:81/status/200") == 200
        seen = ["GET http://shop.example/status/200", "GET http://shop.example/status/503"]
        assert proxy.requests == [*seen, "GET http://other.example:81/status/200"]
        with pytest.raises(kind.rejection) as caught:
            client.get("http://shop.example/status/200")
    assert caught.value.name == "http:shop.example"
    assert set(provider.breakers) == {"http:shop.example", "http:other.example:81"}
    assert len(proxy.requests) == 3


def test_a_proxy_that_is_gone_is_a_failure(kind: Kind, patient: Provider) -> None:
    with Server() as proxy:
        pass
    with kind.protect(patient, client=kind.proxied(proxy.url)) as client, pytest.raises(kind.errors):
        client.get("http://shop.example/status/200")
    assert counts(patient.breakers["http:shop.example"]) == {"failures": 1}


def test_it_keeps_its_tunnel(kind: Kind, provider: Provider, tls: Tls, tls_server: Server) -> None:
    """Through CONNECT the proxy sees bytes: trust and names are those of the server behind it."""
    with Proxy(tls_server.port, "http") as proxy:
        client_of = {**kind.proxied(proxy.url), **kind.trusting(str(tls.ca))}
        with kind.protect(provider, client=client_of) as client:
            assert client.get("https://127.0.0.1:81/status/200") == 200
            assert client.get("https://127.0.0.1:81/status/503") == 503
            with pytest.raises(kind.rejection):
                client.get("https://127.0.0.1:81/status/200")
    assert set(proxy.asked) == {"127.0.0.1:81"}
    assert counts(provider.breakers["http:127.0.0.1:81"]) == {"successes": 1, "failures": 1, "rejected": 1}
    assert len(tls_server.requests) == 2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "aiohttp"], ids=lambda kind: kind.name)
def test_it_keeps_its_socks_proxy(kind: Kind, provider: Provider, server: Server) -> None:
    """aiohttp has none by itself."""
    with Proxy(server.port, "socks5h") as proxy, kind.protect(provider, client=kind.proxied(proxy.url)) as client:
        assert client.get("http://shop.example/status/200") == 200
        assert client.get("http://shop.example/status/503") == 503
        with pytest.raises(kind.rejection):
            client.get("http://shop.example/status/200")
    assert set(proxy.asked) == {"shop.example:80"}
    assert counts(provider.breakers["http:shop.example"]) == {"successes": 1, "failures": 1, "rejected": 1}
    assert len(server.requests) == 2


def test_it_keeps_whom_it_trusts(kind: Kind, patient: Provider, tls: Tls, tls_server: Server) -> None:
    with kind.protect(patient, client=kind.trusting(str(tls.ca))) as client:
        assert client.get(f"{tls_server.url}/status/200") == 200
    assert counts(patient.breakers[tls_server.name]) == {"successes": 1}


def test_a_certificate_that_it_does_not_trust_is_a_failure(
    kind: Kind, patient: Provider, tls: Tls, tls_server: Server, tmp_path: Any
) -> None:
    stranger = Tls(tmp_path / "tls")
    with kind.protect(patient, client=kind.trusting(str(stranger.ca))) as client, pytest.raises(kind.errors):
        client.get(f"{tls_server.url}/status/200")
    assert counts(patient.breakers[tls_server.name]) == {"failures": 1}
    assert tls_server.requests == []


def test_connections_are_kept(kind: Kind, patient: Provider, server: Server) -> None:
    for way in (kind.open, kind.protect):
        before = server.connections
        with way(patient) as client:
            for _ in range(5):
                assert client.get(f"{server.url}/body") == 200
        assert server.connections == before + 1


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(
    kind: Kind, patient: Provider, server: Server
) -> None:
    with kind.open(patient) as client:
        for _ in range(3):
            assert client.get(f"{server.url}/last") == 200
            server.wait_until_closed()
            client.idle()
    assert counts(patient.breakers[server.name]) == {"successes": 3}


def test_both_settings_of_a_client_that_is_open(kind: Kind, provider: Provider, server: Server) -> None:
    """A breaker is found by its name: two clients of one service share it."""
    with kind.open(provider) as one, kind.protect(provider) as other:
        assert one.get(f"{server.url}/status/503") == 503
        with pytest.raises(kind.rejection):
            other.get(f"{server.url}/status/200")
    assert provider.breakers[server.name].state is State.OPEN
    assert len(server.requests) == 1
