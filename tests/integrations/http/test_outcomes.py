"""What the end of a request counts as, the same for every client, against a server that breaks the rules."""

import errno
import socket
import threading
from typing import Any

import pytest

from breaker import Provider, State
from support.drive import cool
from support.etcd.ports import HOST
from support.http.clients import Kind
from support.http.server import Server
from support.reading import counts

Counted = dict[str, int]
SUCCESS: Counted = {"successes": 1}
FAILURE: Counted = {"failures": 1}
IGNORED: Counted = {"ignored": 1}

STATUSES = {
    SUCCESS["successes"]: (200, 201, 204, 301, 304, 400, 401, 403, 404, 409, 418, 422, 451, 499, 501),
    0: (408, 429, 500, 502, 503, 504, 505, 511, 520, 599),
}

# path → does the client raise, and what counts with settle="headers" and with settle="body"
FAULTS = {
    "drop": (FAILURE, FAILURE),
    "reset": (FAILURE, FAILURE),
    "garbage": (FAILURE, FAILURE),
    "half": (SUCCESS, FAILURE),
    "half-reset": (SUCCESS, FAILURE),
    "chunk-cut": (SUCCESS, FAILURE),
    "chunk-garbage": (SUCCESS, FAILURE),
}


def counted(provider: Provider, server: Server) -> Counted:
    return counts(provider.breakers[server.name])


@pytest.mark.parametrize("settle", ["headers", "body"])
def test_a_status(kind: Kind, patient: Provider, server: Server, settle: str) -> None:
    expected = {"successes": 0, "failures": 0}
    with kind.open(patient, settle=settle) as client:
        for succeeds, statuses in STATUSES.items():
            for status in statuses:
                assert client.get(f"{server.url}/status/{status}") == status
                expected["successes" if succeeds else "failures"] += 1
                assert counted(patient, server) == {end: n for end, n in expected.items() if n}, status
    assert len(server.requests) == sum(expected.values())


@pytest.mark.parametrize("settle", ["headers", "body"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault(kind: Kind, patient: Provider, server: Server, fault: str, settle: str) -> None:
    at_headers, at_body = FAULTS[fault]
    if settle == "headers" and at_headers == SUCCESS:  # otherwise a client may find the fault together with the head
        server.gate = lambda: server.name in patient.breakers and counted(patient, server)
    with kind.open(patient, settle=settle) as client:
        with pytest.raises(kind.errors):
            client.get(f"{server.url}/{fault}", timeout=2)  # aiohttp does not notice each broken chunk
        expected = at_body if settle == "body" else at_headers
        tries = kind.tries if fault in ("drop", "reset") else 1
        assert counted(patient, server) == dict.fromkeys(expected, tries)
        assert len(server.requests) == tries


@pytest.mark.parametrize("settle", ["headers", "body"])
def test_a_time_out(kind: Kind, patient: Provider, server: Server, settle: str) -> None:
    with kind.open(patient, settle=settle) as client:
        with pytest.raises(kind.errors):
            client.get(f"{server.url}/hang", timeout=0.05)
        assert counted(patient, server) == FAILURE
        with pytest.raises(kind.errors):
            client.get(f"{server.url}/stall", timeout=0.1)
        assert counted(patient, server) == ({"failures": 2} if settle == "body" else {"failures": 1, "successes": 1})


def test_nobody_listens(kind: Kind, patient: Provider) -> None:
    with Server() as gone:
        pass
    with kind.open(patient) as client, pytest.raises(kind.errors):
        client.get(f"{gone.url}/status/200")
    assert counted(patient, gone) == FAILURE


def test_a_host_that_has_no_address(kind: Kind, patient: Provider) -> None:
    with kind.open(patient) as client, pytest.raises(kind.errors):
        client.get("http://no-such-host.invalid/")
    assert counts(patient.breakers["http:no-such-host.invalid"]) == FAILURE


@pytest.mark.parametrize("path", ["status/200", "status/204", "status/304", "empty", "body", "redirect/1"])
@pytest.mark.parametrize("settle", ["headers", "body"])
def test_a_whole_body(kind: Kind, patient: Provider, server: Server, path: str, settle: str) -> None:
    with kind.open(patient, settle=settle) as client:
        client.get(f"{server.url}/{path}")
        assert counted(patient, server)["successes"] == len(server.requests)
        assert set(counted(patient, server)) == {"successes"}


def test_a_body_that_its_caller_leaves(kind: Kind, patient: Provider, server: Server) -> None:
    with kind.open(patient, settle="body") as client:
        assert client.peek(f"{server.url}/stall") == 200
        assert counted(patient, server) == SUCCESS
        assert client.peek(f"{server.url}/stall", read=False) == 200
        assert counted(patient, server) == {"successes": 1, "ignored": 1}
        assert client.peek(f"{server.url}/status/503", read=False) == 503
        assert counted(patient, server) == {"successes": 1, "ignored": 1, "failures": 1}
        assert client.peek(f"{server.url}/status/204", read=False) == 204
        assert counted(patient, server) == {"successes": 2, "ignored": 1, "failures": 1}


def test_the_body_of_a_redirect_is_not_left(kind: Kind, patient: Provider, server: Server) -> None:
    with kind.open(patient, settle="body") as client:
        assert client.follow(f"{server.url}/detour") == 200
    assert counted(patient, server) == {"successes": 2}


def test_a_body_that_cannot_be_decoded(kind: Kind, patient: Provider, server: Server) -> None:
    """A failure where the library decodes within what is protected. Of httpx the transport has delivered it whole."""
    with kind.open(patient, settle="body") as client, pytest.raises(kind.undecoded):
        client.get(f"{server.url}/no-gzip")
    assert counted(patient, server) == (FAILURE if kind.decodes else SUCCESS)


def test_other_failure_statuses(kind: Kind, patient: Provider, server: Server) -> None:
    with kind.open(patient, failure_statuses={404, 500}) as client:
        for status, expected in ((404, "failures"), (500, "failures"), (503, "successes"), (429, "successes")):
            before = counts(patient.get_breaker(server.name)).get(expected, 0)
            client.get(f"{server.url}/status/{status}")
            assert counted(patient, server)[expected] == before + 1


def test_what_opened_a_breaker_is_told(kind: Kind, provider: Provider, server: Server) -> None:
    with kind.open(provider) as client:
        client.get(f"{server.url}/status/503")
        with pytest.raises(kind.rejection) as caught:
            client.get(f"{server.url}/status/200")
    assert caught.value.last_error == "FailedStatus: 503"


class Unreadable(Exception):
    """Of the source of an upload."""


@pytest.mark.parametrize("error", [Unreadable(), OSError(errno.EIO, "of a disk"), TimeoutError("of a queue")], ids=repr)
def test_an_upload_that_raises_is_the_callers(kind: Kind, patient: Provider, server: Server, error: Exception) -> None:
    def parts() -> Any:
        yield b"some"
        raise error

    with kind.open(patient) as client:
        assert client.upload(f"{server.url}/status/200", iter([b"some", b"more"])) == 200
        with pytest.raises((type(error), *kind.errors)):
            client.upload(f"{server.url}/status/200", parts())
    assert counted(patient, server) == {"successes": 1, "ignored": 1}


def test_a_connection_that_is_cut_while_it_is_sent_to_is_a_failure(kind: Kind, patient: Provider) -> None:
    listening = socket.create_server((HOST, 0))
    url = f"http://{HOST}:{listening.getsockname()[1]}/status/200"

    def cut() -> None:
        with listening, listening.accept()[0]:
            pass

    cutting = threading.Thread(target=cut)
    cutting.start()
    endless = iter(lambda: b"x" * 65536, None)
    with kind.open(patient) as client, pytest.raises(kind.errors):
        client.upload(url, endless)
    cutting.join()
    assert [counts(breaker) for breaker in patient.breakers.values()] == [{"failures": 1}]


def test_a_header_that_cannot_be_sent_is_the_callers(kind: Kind, patient: Provider, server: Server) -> None:
    with kind.open(patient) as client, pytest.raises((ValueError, *kind.errors)):
        client.get(f"{server.url}/status/200", headers={"X-Broken": "a\r\nb"})
    assert all(set(counts(breaker)) == {"ignored"} for breaker in patient.breakers.values())
    assert server.requests == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "http://[::1", "no url"])
def test_a_url_that_cannot_be_asked_is_the_callers(kind: Kind, patient: Provider, url: str) -> None:
    with kind.open(patient) as client, pytest.raises((ValueError, *kind.errors)):
        client.get(url)
    assert all(set(counts(breaker)) == {"ignored"} for breaker in patient.breakers.values())


def test_a_dependency_that_fails_and_recovers(kind: Kind, provider: Provider, server: Server, clock: Any) -> None:
    with kind.open(provider) as client:
        client.get(f"{server.url}/status/200")
        with pytest.raises(kind.errors):
            client.get(f"{server.url}/drop")
        seen = len(server.requests)
        for _ in range(5):
            with pytest.raises(kind.rejection):
                client.get(f"{server.url}/status/200")
        assert len(server.requests) == seen
        breaker = provider.breakers[server.name]
        cool(breaker, clock)
        client.get(f"{server.url}/status/503")
        assert breaker.state is State.OPEN
        cool(breaker, clock)
        assert client.get(f"{server.url}/status/200") == 200
        assert breaker.state is State.CLOSED
        assert len(server.requests) == seen + 2
