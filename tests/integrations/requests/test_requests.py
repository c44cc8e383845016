"""What is requests' own: adapters, sessions, retries inside, ways to read a body."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from breaker import BreakerOpenError, Provider, State
from breaker.integrations.requests import BreakerAdapter, BreakerOpenConnectionError, protect
from support.drive import cool
from support.http.server import BODY, Server
from support.reading import counts


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def test_what_is_no_session_is_refused(provider: Provider) -> None:
    wrong: Any
    for wrong, got in ((requests.Session, "the class Session"), (requests, "module"), (None, "NoneType")):
        with pytest.raises(TypeError, match=rf"takes an instance of requests\.Session, got {got}"):
            protect(wrong, provider)


def test_what_is_no_adapter_is_refused(provider: Provider) -> None:
    wrong: Any
    for wrong, got in ((HTTPAdapter, "the class HTTPAdapter"), ("https://", "str")):
        with pytest.raises(TypeError, match=rf"BreakerAdapter wraps a requests\.adapters\.BaseAdapter, got {got}"):
            BreakerAdapter(provider, wrong)


def test_a_session_is_protected_once(provider: Provider, server: Server) -> None:
    with requests.Session() as session:
        protect(session, provider)
        with pytest.raises(ValueError, match="protected already; each request would count twice"):
            protect(session, provider)
        session.get(f"{server.url}/status/200")
    with requests.Session() as session:
        session.mount("https://api.example.com", BreakerAdapter(provider))
        with pytest.raises(ValueError, match="a session that is protected already"):
            protect(session, provider)
    with pytest.raises(ValueError, match="BreakerAdapter got an adapter that is protected already"):
        BreakerAdapter(provider, BreakerAdapter(provider))
    assert counts(provider.breakers[server.name]) == {"successes": 1}


def test_adapters_stay_what_they_are(provider: Provider, server: Server) -> None:
    class Answering(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.request, response.url = 503, request, str(request.url)
            response.raw = urllib3.HTTPResponse(BytesIO(b""), preload_content=False)
            return response

        def close(self) -> None:
            pass

    with requests.Session() as session:
        own = HTTPAdapter(max_retries=7)
        session.mount("http://own.example", own)
        session.mount("shop://", Answering())
        before = dict(session.adapters)
        protect(session, provider, name="http:all")
        assert list(session.adapters) == list(before)
        guarded: Any = session.get_adapter("http://own.example/")
        assert guarded.max_retries is own.max_retries
        assert guarded.poolmanager is own.poolmanager
        assert session.get("shop://shelf").status_code == 503
        with pytest.raises(BreakerOpenConnectionError):
            session.get(f"{server.url}/status/200")
    assert server.requests == []


def test_a_setting_of_an_adapter_has_its_effect_afterwards(patient: Provider, server: Server) -> None:
    with protect(requests.Session(), patient) as session:
        adapter: Any = session.get_adapter(server.url)
        adapter.max_retries = urllib3.Retry(2, status_forcelist=[503], backoff_factor=0)
        adapter.note = "of the program"  # which the adapter inside knows nothing of
        with pytest.raises(requests.exceptions.RetryError):
            session.get(f"{server.url}/status/503")
        assert adapter.note == "of the program"
    assert len(server.requests) == 3
    assert counts(patient.breakers[server.name]) == {"failures": 1}


def test_closing_a_session_closes_what_is_inside(provider: Provider) -> None:
    closed: list[str] = []

    class Inside(HTTPAdapter):
        def close(self) -> None:
            closed.append("closed")
            super().close()

    with requests.Session() as session:
        session.mount("https://", BreakerAdapter(provider, Inside()))
    assert closed == ["closed"]


def test_a_protected_session_cannot_be_pickled(provider: Provider) -> None:
    with requests.Session() as session:
        protect(session, provider)
        for attempt in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="protect the session where it is used"):
                attempt(session)


def test_a_request_that_was_prepared_is_protected(provider: Provider, server: Server) -> None:
    with requests.Session() as session:
        session.trust_env = False
        protect(session, provider)
        prepared = session.prepare_request(requests.Request("GET", f"{server.url}/status/503"))
        assert session.send(prepared).status_code == 503
        with pytest.raises(BreakerOpenConnectionError):
            session.send(prepared)
    assert server.requests == ["GET /status/503"]


def test_the_proxy_of_the_environment_is_kept(
    patient: Provider, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with requests.Session() as session:
        protect(session, patient)
        assert session.get("http://shop.example/status/200").status_code == 200
    assert server.requests == ["GET http://shop.example/status/200"]
    assert counts(patient.breakers["http:shop.example"]) == {"successes": 1}


def test_retries_inside_are_one_request(patient: Provider, server: Server) -> None:
    retry = urllib3.Retry(3, backoff_factor=0, status_forcelist=[503])
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        protect(session, patient)
        with pytest.raises(requests.exceptions.RetryError):
            session.get(f"{server.url}/status/503")
        with pytest.raises(requests.ConnectionError):
            session.get(f"{server.url}/drop")
    assert len(server.requests) == 8
    assert counts(patient.breakers[server.name]) == {"failures": 2}


def test_the_error_of_a_rejection_has_its_request(provider: Provider, server: Server) -> None:
    provider.get_breaker(server.name).force_open()
    with requests.Session() as session:
        protect(session, provider)
        with pytest.raises(requests.RequestException) as caught:
            session.post(f"{server.url}/status/200", data={"a": "b"})
    assert isinstance(caught.value, BreakerOpenError)
    assert isinstance(caught.value, OSError)
    assert caught.value.request is not None
    assert (caught.value.request.method, caught.value.request.url) == ("POST", f"{server.url}/status/200")
    assert caught.value.response is None


def test_an_authority_that_is_not_there_is_the_callers(patient: Provider) -> None:
    with requests.Session() as session:
        protect(session, patient)
        with pytest.raises(OSError, match="Could not find a suitable TLS CA certificate bundle"):
            session.get("https://127.0.0.1:9/", verify="/no/such/file")
    assert counts(patient.breakers["http:127.0.0.1:9"]) == {"ignored": 1}


# Bodies.

WAYS = {
    "content": lambda response: response.content,
    "text": lambda response: response.text,
    "iter_content": lambda response: b"".join(response.iter_content(100)),
    "iter_lines": lambda response: list(response.iter_lines()),
    "iterated": lambda response: list(response),
    "raw.read": lambda response: response.raw.read(),
    "raw.read in parts": lambda response: b"".join(iter(lambda: response.raw.read(1000), b"")),
    "raw.stream": lambda response: b"".join(response.raw.stream(100)),
    "raw.read1": lambda response: b"".join(iter(response.raw.read1, b"")),
    "raw.readinto": lambda response: sum(iter(lambda: response.raw.readinto(bytearray(1000)), 0)),
    "raw.data": lambda response: response.raw.data,
    "raw lines": lambda response: list(response.raw),
    "raw.readlines": lambda response: response.raw.readlines(),
    "copied": lambda response: shutil.copyfileobj(response.raw, BytesIO()),
}


if not hasattr(urllib3.HTTPResponse, "read1"):  # as before urllib3 2.2
    del WAYS["raw.read1"]


@pytest.mark.parametrize("way", WAYS)
def test_a_body_counts_once_however_it_is_read(patient: Provider, server: Server, way: str) -> None:
    with requests.Session() as session:
        protect(session, patient, settle="body")
        breaker = patient.get_breaker(server.name)
        with session.get(f"{server.url}/body", stream=True) as response:
            assert counts(breaker) == {}
            WAYS[way](response)
            assert counts(breaker) == {"successes": 1}
        with session.get(f"{server.url}/half", stream=True) as response:
            if way == "raw.read1":  # urllib3 does not say that it is incomplete
                WAYS[way](response)
            else:
                with pytest.raises((requests.RequestException, urllib3.exceptions.HTTPError)):
                    WAYS[way](response)
            assert counts(breaker) == {"successes": 1, "failures": 1}
    assert counts(breaker) == {"successes": 1, "failures": 1}


def test_a_guarded_body_is_the_response_of_urllib3_to_who_asks(patient: Provider, server: Server) -> None:
    with requests.Session() as session:
        protect(session, patient, settle="body")
        with session.get(f"{server.url}/body", stream=True) as response:
            raw = response.raw
            assert isinstance(raw, urllib3.BaseHTTPResponse)
            assert (raw.status, raw.reason, raw.version) == (200, "Told", 11)
            assert raw.headers["Content-Length"] == str(len(BODY))
            raw.decode_content = True
            assert raw.decode_content is True
            assert raw.readable()
            assert raw.tell() == 0
            assert raw.read(5) == BODY[:5]
            assert raw.tell() == 5
            assert not raw.closed
            assert raw.read() == BODY[5:]
        assert raw.closed


def test_a_body_that_is_dropped_gives_its_slot_back(provider: Provider, server: Server, clock: Any) -> None:
    with requests.Session() as session:
        protect(session, provider, settle="body")
        session.get(f"{server.url}/status/503")
        breaker = provider.breakers[server.name]
        cool(breaker, clock)
        response = session.get(f"{server.url}/stall", stream=True)
        assert breaker.snapshot().half_open_in_flight == 1
        del response
        assert breaker.snapshot().half_open_in_flight == 0
        assert breaker.state is State.HALF_OPEN
