"""Clients with ``http2=True`` against a server that speaks it: many requests on one connection, each with its end."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from breaker import Provider
from support.http.h2_server import H2Server
from support.reading import counts

SETTINGS = {"http1": False, "http2": True, "verify": False, "trust_env": False}


@pytest.fixture
def server() -> Iterator[H2Server]:
    with H2Server() as running:
        yield running


Get = Callable[[str], int]


@pytest.fixture(params=["httpx", "httpx-async", "httpx2", "httpx2-async"])
def get(request: pytest.FixtureRequest, patient: Provider) -> Iterator[Get]:
    """The status of a request of a client that was protected; the errors are those of its library."""
    name, _, awaited = request.param.partition("-")
    theirs: Any = importlib.import_module(name)
    ours: Any = importlib.import_module(f"breaker.integrations.{name}")
    if awaited:
        with asyncio.Runner() as runner:
            asynchronous = ours.protect(theirs.AsyncClient(**SETTINGS), patient, settle="body")
            yield lambda url: int(runner.run(asynchronous.get(url)).status_code)
            runner.run(asynchronous.aclose())
    else:
        with ours.protect(theirs.Client(**SETTINGS), patient, settle="body") as client:
            yield lambda url: int(client.get(url).status_code)


def test_statuses(get: Get, patient: Provider, server: H2Server) -> None:
    assert [get(f"{server.url}/status/{status}") for status in (200, 404, 503)] == [200, 404, 503]
    assert counts(patient.breakers[server.name]) == {"successes": 2, "failures": 1}


@pytest.mark.parametrize("path", ["refused", "reset", "calm", "cut", "gone", "goaway"])
def test_a_stream_that_ends_without_its_answer_is_a_failure(
    get: Get, patient: Provider, server: H2Server, path: str
) -> None:
    with pytest.raises((httpx.TransportError, httpx2.TransportError)):
        get(f"{server.url}/{path}")
    assert counts(patient.breakers[server.name]) == {"failures": 1}
    assert get(f"{server.url}/status/200") == 200
    assert counts(patient.breakers[server.name]) == {"failures": 1, "successes": 1}
