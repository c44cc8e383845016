"""What is urllib3's own: pools, retries inside, bodies that belong to the request."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import EmptyPoolError, HTTPError, MaxRetryError

from breaker import Provider
from breaker.integrations.urllib3 import BreakerOpenHTTPError, PoolRequest, protect
from support.http.server import BODY, Server
from support.reading import counts


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def test_what_is_no_pool_manager_is_refused(provider: Provider) -> None:
    wrong: Any
    for wrong, got in (
        (urllib3.PoolManager, "the class PoolManager"),
        (urllib3.HTTPConnectionPool("127.0.0.1"), "HTTPConnectionPool"),
        (urllib3, "module"),
    ):
        with pytest.raises(TypeError, match=rf"takes an instance of urllib3\.PoolManager, got {got}"):
            protect(wrong, provider)


def test_a_pool_manager_is_protected_once_and_alone(provider: Provider, server: Server) -> None:
    with urllib3.PoolManager() as other, protect(urllib3.PoolManager(), provider) as manager:
        with pytest.raises(ValueError, match="protected already; each request would count twice"):
            protect(manager, provider)
        assert manager.request("GET", f"{server.url}/status/503").status == 503
        with pytest.raises(BreakerOpenHTTPError):
            manager.request("GET", f"{server.url}/status/200")
        assert other.request("GET", f"{server.url}/status/200").status == 200
    assert counts(provider.breakers[server.name]) == {"failures": 1, "rejected": 1}


def test_pools_that_were_there_are_protected_too(provider: Provider, server: Server) -> None:
    with urllib3.PoolManager() as manager:
        manager.request("GET", f"{server.url}/status/200")
        protect(manager, provider)
        manager.request("GET", f"{server.url}/status/503")
        with pytest.raises(BreakerOpenHTTPError):
            manager.connection_from_url(server.url).request("GET", "/status/200")
    assert len(server.requests) == 2


def test_pools_stay_of_the_managers_classes(provider: Provider) -> None:
    class Own(urllib3.HTTPSConnectionPool):
        pass

    with urllib3.PoolManager(maxsize=7, timeout=3.0) as manager:
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": Own}
        protect(manager, provider)
        pool = manager.connection_from_url("https://shop.example")
        assert isinstance(pool, Own)
        assert pool.timeout.total is None
        assert pool.timeout.connect_timeout == 3.0
        assert pool.pool is not None
        assert pool.pool.maxsize == 7


def test_who_wraps_pools_later_sees_their_requests(
    patient: Provider, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracers replace `urlopen` of urllib3's class when they are switched on."""
    seen: list[str] = []
    plain = urllib3.HTTPConnectionPool.urlopen

    def traced(pool: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(f"{method} {url}")
        return plain(pool, method, url, *args, **kwargs)

    with protect(urllib3.PoolManager(), patient) as manager:
        manager.request("GET", f"{server.url}/status/200")
        monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", traced)
        manager.request("GET", f"{server.url}/status/200")
    assert seen == ["GET /status/200"]
    assert counts(patient.breakers[server.name]) == {"successes": 2}


def test_retries_inside_are_one_request(patient: Provider, server: Server) -> None:
    retry = urllib3.Retry(3, backoff_factor=0, status_forcelist=[503])
    with protect(urllib3.PoolManager(retries=retry), patient) as manager:
        with pytest.raises(MaxRetryError):
            manager.request("GET", f"{server.url}/status/503")
        with pytest.raises(MaxRetryError):
            manager.request("GET", f"{server.url}/drop")
        assert manager.request("GET", f"{server.url}/status/200").status == 200
    assert len(server.requests) == 9
    assert counts(patient.breakers[server.name]) == {"failures": 2, "successes": 1}


@pytest.mark.parametrize("settle", ["headers", "body"])
def test_a_body_that_is_preloaded_belongs_to_the_request(patient: Provider, server: Server, settle: Any) -> None:
    with protect(urllib3.PoolManager(retries=False), patient, settle=settle) as manager:
        assert manager.request("GET", f"{server.url}/body").data == BODY
        assert counts(patient.breakers[server.name]) == {"successes": 1}
        with pytest.raises(HTTPError):
            manager.request("GET", f"{server.url}/half")
    assert counts(patient.breakers[server.name]) == {"successes": 1, "failures": 1}


def test_a_pool_without_a_free_connection_is_the_callers(patient: Provider, server: Server) -> None:
    with protect(urllib3.PoolManager(maxsize=1, block=True, retries=False), patient) as manager:
        held = manager.request("GET", f"{server.url}/stall", preload_content=False)
        with pytest.raises(EmptyPoolError):
            manager.urlopen("GET", f"{server.url}/status/200", pool_timeout=0.01)
        held.close()
    assert counts(patient.breakers[server.name]) == {"successes": 1, "ignored": 1}


def test_a_callable_gets_method_and_url(patient: Provider, server: Server) -> None:
    seen: list[PoolRequest] = []

    def name(request: PoolRequest) -> str:
        seen.append(request)
        return "http:all"

    with protect(urllib3.PoolManager(), patient, name=name) as manager:
        manager.request("POST", f"{server.url}/status/200?x=1")
    assert seen == [PoolRequest("POST", f"{server.url}/status/200?x=1")]


def test_a_request_inside_another_of_the_same_pool_is_a_part_of_it(patient: Provider, server: Server) -> None:
    with protect(urllib3.PoolManager(), patient) as manager:

        def parts() -> Iterator[bytes]:
            yield manager.request("GET", f"{server.url}/status/200").data

        assert manager.request("POST", f"{server.url}/status/200", body=parts()).status == 200
        assert manager.request("GET", f"{server.url}/status/200").status == 200
    assert len(server.requests) == 3
    assert counts(patient.breakers[server.name]) == {"successes": 2}


LEFT: dict[str, tuple[Any, dict[str, int]]] = {
    "read in part": (lambda response: response.read(10), {"successes": 1}),
    "read as text": (lambda response: io.TextIOWrapper(response).read(10), {"successes": 1}),
    "closed unread": (lambda response: response.close(), {"ignored": 1}),
    "released unread": (lambda response: response.release_conn(), {"ignored": 1}),
    "drained": (lambda response: response.drain_conn(), {"successes": 1}),
    "dropped": (lambda response: None, {"ignored": 1}),
}


@pytest.mark.parametrize("how", LEFT)
def test_a_body_that_is_left(patient: Provider, server: Server, how: str) -> None:
    leave, expected = LEFT[how]
    with protect(urllib3.PoolManager(), patient, settle="body") as manager:
        response = manager.urlopen("GET", f"{server.url}/body", preload_content=False)
        leave(response)
        if how.startswith("read"):
            response.close()
        del response
    assert counts(patient.breakers[server.name]) == expected


def test_a_body_that_stalls_while_it_is_drained_is_a_failure(patient: Provider, server: Server) -> None:
    timeout = urllib3.Timeout(connect=30, read=0.5)  # the head must come within it, too
    with protect(urllib3.PoolManager(timeout=timeout), patient, settle="body") as manager:
        response = manager.request("GET", f"{server.url}/stall", preload_content=False, retries=False)
        response.drain_conn()
        response.close()
    assert counts(patient.breakers[server.name]) == {"failures": 1}


def test_the_name_of_a_pools_request(patient: Provider, server: Server) -> None:
    """What a pool is asked for is a path; a query may look like a URL."""
    with protect(urllib3.PoolManager(), patient) as manager:
        pool = manager.connection_from_url(server.url)
        for path in ("/status/200", "/status/200?=http://other.example/"):
            assert pool.request("GET", path).status == 200
    assert list(patient.breakers) == [server.name]
    assert counts(patient.breakers[server.name]) == {"successes": 2}
