"""Which breaker a request has, and arguments that cannot be."""

from typing import Any

import pytest

from breaker import Provider
from breaker.integrations._http import host_of
from support.http.clients import Kind
from support.http.server import Server
from support.reading import counts


@pytest.mark.parametrize(
    ("scheme", "host", "port", "name"),
    [
        ("http", "api.example.com", None, "http:api.example.com"),
        ("https", "api.example.com", None, "http:api.example.com"),
        ("http", "api.example.com", 80, "http:api.example.com"),
        ("https", "api.example.com", 443, "http:api.example.com"),
        ("https", "api.example.com", 80, "http:api.example.com:80"),
        ("http", "api.example.com", 443, "http:api.example.com:443"),
        ("https", "API.Example.COM", 8443, "http:api.example.com:8443"),
        ("http", "127.0.0.1", 8000, "http:127.0.0.1:8000"),
        ("http", "::1", None, "http:[::1]"),
        ("http", "[::1]", 8000, "http:[::1]:8000"),
        ("http", "api.example.com.", None, "http:api.example.com"),
        ("ws", "api.example.com", 80, "http:api.example.com"),
        ("wss", "api.example.com", 443, "http:api.example.com"),
        ("http", "", 80, None),
        ("http", ".", 80, None),
        ("http", "no host", None, None),
        ("http", None, None, None),
        ("http", "a" * 250, None, "http:" + "a" * 250),
        ("http", "a" * 251, None, None),
    ],
)
def test_the_default_name(scheme: str, host: str | None, port: int | None, name: str | None) -> None:
    assert host_of(scheme, host, port) == name


def test_hosts_are_apart_and_paths_are_not(kind: Kind, patient: Provider, server: Server) -> None:
    with Server() as other, kind.open(patient) as client:
        for url in (f"{server.url}/status/200", f"{server.url}/body?x=1", f"{other.url}/status/200"):
            client.get(url)
        assert set(patient.breakers) == {server.name, other.name}
        assert counts(patient.breakers[server.name]) == {"successes": 2}


def test_a_password_is_in_no_name(kind: Kind, patient: Provider, server: Server) -> None:
    with kind.open(patient) as client:
        assert client.get(server.url.replace("//", "//user:secret@") + "/status/200") == 200
    assert list(patient.breakers) == [server.name]


def test_one_name_for_all_hosts(kind: Kind, patient: Provider, server: Server) -> None:
    with Server() as other, kind.open(patient, name="http:billing") as client:
        client.get(f"{server.url}/status/200")
        client.get(f"{other.url}/status/503")
    assert set(patient.breakers) == {"http:billing"}
    assert counts(patient.breakers["http:billing"]) == {"successes": 1, "failures": 1}


def test_a_callable_gets_the_request(kind: Kind, patient: Provider, server: Server) -> None:
    seen: list[Any] = []

    def name(request: Any) -> str | None:
        seen.append(request)
        return None if str(request.url).endswith("/health") else f"{request.method} x"

    with kind.open(patient, name=name) as client:
        client.get(f"{server.url}/status/200")
    assert counts(patient.breakers["GET x"]) == {"successes": 1}
    assert str(seen[0].url) == f"{server.url}/status/200"


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (ZeroDivisionError("no"), RuntimeError, "raised ZeroDivisionError"),
        (5, TypeError, "must return the name of a breaker"),
        (b"http:x", TypeError, "must return the name of a breaker"),
        ("", ValueError, "name"),
        ("default", ValueError, "default"),
    ],
)
def test_a_callable_that_names_no_breaker(
    kind: Kind, patient: Provider, server: Server, answer: Any, error: type[Exception], text: str
) -> None:
    def name(request: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with kind.open(patient, name=name) as client, pytest.raises(error, match=text):
        client.get(f"{server.url}/status/200")
    assert server.requests == []
    assert list(patient.breakers) == []


@pytest.mark.parametrize("way", ["open", "protect"])
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"name": 5}, TypeError, r"name= of \w+ must be a callable that makes a breaker's name of the request"),
        ({"name": "default"}, ValueError, "default"),
        ({"settle": "end"}, ValueError, r"settle= of \w+ must be \"headers\" or \"body\", got 'end'"),
        ({"failure_statuses": 503}, TypeError, r"must be a collection of numbers, got 503; for one status: \{503\}"),
        ({"failure_statuses": "503"}, TypeError, "must be a collection of numbers, got '503'"),
        ({"failure_statuses": ["503"]}, TypeError, "holds numbers from 100 to 999, got '503'"),
        ({"failure_statuses": [True]}, TypeError, "holds numbers from 100 to 999, got True"),
        ({"failure_statuses": [99]}, ValueError, "holds numbers from 100 to 999, got 99"),
    ],
    ids=str,
)
def test_an_argument_that_cannot_be(
    kind: Kind, patient: Provider, way: str, options: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text), getattr(kind, way)(patient, **options):
        raise AssertionError("not reached")


@pytest.mark.parametrize("way", ["open", "protect"])
def test_a_provider_that_is_none(kind: Kind, patient: Provider, way: str) -> None:
    wrong: Any = Provider
    with (
        pytest.raises(TypeError, match=r"takes a breaker\.Provider, got the class Provider; pass an instance"),
        getattr(kind, way)(wrong),
    ):
        raise AssertionError("not reached")
    nothing: Any = None
    with (
        pytest.raises(TypeError, match=r"takes a breaker\.Provider, got NoneType"),
        getattr(kind, way)(nothing),
    ):
        raise AssertionError("not reached")
