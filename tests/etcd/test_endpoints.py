"""Endpoints as people write them, and the range of keys below a path."""

import re

import pytest

from breaker.sources import EtcdSource
from breaker.sources.etcd.endpoints import parse_endpoints
from breaker.sources.etcd.keys import range_below
from breaker.sources.etcd.transport import Endpoint


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:2379", [Endpoint("127.0.0.1", 2379, False)]),
        ("etcd-1", [Endpoint("etcd-1", 2379, False)]),
        ("http://etcd-1:4001", [Endpoint("etcd-1", 4001, False)]),
        ("https://etcd-1/", [Endpoint("etcd-1", 2379, True)]),
        ("a:1, https://b:2 ,c", [Endpoint("a", 1, False), Endpoint("b", 2, True), Endpoint("c", 2379, False)]),
        (["[::1]:2379", "b"], [Endpoint("::1", 2379, False), Endpoint("b", 2379, False)]),
        ("a,a", [Endpoint("a", 2379, False)]),
    ],
)
def test_endpoints_are_read_as_people_write_them(given: str | list[str], expected: list[Endpoint]) -> None:
    assert parse_endpoints(given, tls=False) == expected


def test_an_endpoint_without_a_scheme_follows_the_certificates() -> None:
    assert parse_endpoints("a,http://b", tls=True) == [Endpoint("a", 2379, True), Endpoint("b", 2379, False)]


def test_an_endpoint_shows_itself_as_it_may_be_written_again() -> None:
    for endpoint in (Endpoint("::1", 1, False), Endpoint("a", 2379, True)):
        assert parse_endpoints(str(endpoint), tls=False) == [endpoint]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "names no host"),
        ("a,,b", "names no host"),
        ("ftp://a:1", "'ftp' is neither http nor https"),
        ("a:port", "Port could not be cast"),
        ("a:99999", "out of range"),
        ("a b:1", "names no host"),
        ("http://a:1/v3", "nothing may follow the port"),
        ("me:secret@a:1", "pass user= and password="),
        ([], "at least one endpoint"),
    ],
)
def test_a_wrong_endpoint_is_quoted_with_the_remedy(given: str | list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        parse_endpoints(given, tls=False)
    assert "secret" not in str(raised.value)


def test_an_endpoint_is_text() -> None:
    with pytest.raises(TypeError, match="an endpoint is text, got int"):
        parse_endpoints([2379], tls=False)  # type: ignore[list-item]


def test_the_range_below_a_path_ends_before_its_neighbour() -> None:
    start, end = range_below("/config/dev/a/breakers/")
    assert start < b"/config/dev/a/breakers/x.json" < end <= b"/config/dev/a/breakers0"
    assert not start <= b"/config/dev/a/breakersx" < end


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, TypeError, "where is etcd?"),
        ({"endpoints": "a", "user": "u"}, ValueError, "user and password belong together"),
        ({"endpoints": "a", "password": "p"}, ValueError, "user and password belong together"),
        ({"endpoints": "a", "user": 1, "password": "p"}, TypeError, "user must be text"),
        ({"endpoints": "a", "key": "k.pem"}, ValueError, "pass cert= too"),
        ({"endpoints": "a", "transport": "rest"}, ValueError, "'gateway' or 'etcd3'"),
        ({"client": object(), "transport": "gateway"}, ValueError, "a client speaks gRPC"),
        ({"endpoints": "a", "connect_timeout": 0}, ValueError, "connect_timeout must be positive"),
        ({"endpoints": "a", "request_timeout": "3s"}, TypeError, "request_timeout must be a number"),
        ({"endpoints": "a", "check_interval": float("nan")}, ValueError, "check_interval must be positive"),
        ({"endpoints": "a", "max_documents": 1.5}, TypeError, "max_documents must be a number"),
        ({"endpoints": "a", "policies_path": "config"}, ValueError, "must start with '/'"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_remedy(
    arguments: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        EtcdSource(**arguments)  # type: ignore[arg-type]


def test_a_missing_certificate_file_is_refused_at_once() -> None:
    with pytest.raises(OSError, match=r"cannot read /nowhere/ca\.pem"):
        EtcdSource("a", ca="/nowhere/ca.pem")


def test_a_source_shows_its_endpoints_and_no_secret() -> None:
    shown = repr(EtcdSource("a, https://b:1", user="u", password="secret"))
    assert shown == "<EtcdSource http://a:2379, https://b:1>"
