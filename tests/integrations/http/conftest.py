"""Fixtures for the suite of HTTP clients."""

import ssl
from collections.abc import Iterator

import pytest

from support.etcd.tls import Tls
from support.http.clients import Kind
from support.http.kinds import KINDS
from support.http.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """An authority that no client knows by itself, and the certificate of a server at 127.0.0.1."""
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_server(tls: Tls) -> Iterator[Server]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.server.cert, tls.server.key)
    with Server(context) as running:
        yield running


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of client."""
    found: Kind = request.param
    return found
