"""Endpoints that are wrong, and servers that are none: one clear line each, and the program goes on."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from breaker.errors import SourceError
from breaker.sources import EtcdSource
from etcd.conftest import Follow, fill
from support.etcd.ports import HOST, free_ports, unanswered
from support.etcd.server import Server
from support.etcd.subjects import PATH, Subjects
from support.etcd.tls import Tls
from support.threads import Crowd


def one_clear_line(
    subjects: Subjects, endpoint: str, *texts: str | tuple[str, ...], seconds: float = 5, at_most: int = 1
) -> None:
    """Each transport says once where and what is wrong, without a traceback; breakers have their defaults."""
    subjects.eventually(lambda subject: subject.losses, 15)
    time.sleep(seconds)
    for subject in subjects:
        assert len(subject.losses) <= at_most, f"{subject.transport}: {subject.losses}"
        loss = subject.losses[0]
        assert endpoint in loss["error"], loss
        for text in texts:
            options = (text,) if isinstance(text, str) else text
            assert any(option in loss["error"] for option in options), f"{subject.transport}: {loss['error']}"
        assert "Traceback" not in str(subject.lines.lines)
        assert "\n" not in loss["error"]
        assert len(loss["error"]) < 500
        assert subject.returns == []
        assert subject.threshold("name-00") == 5
        status = subject.status
        assert not status.connected
        assert endpoint in str(status.last_error)


def test_nothing_listens(follow: Follow) -> None:
    endpoint = f"{HOST}:{free_ports(1)[0]}"
    one_clear_line(follow(endpoint), endpoint, "check the endpoint")


def test_a_host_that_does_not_exist(follow: Follow) -> None:
    one_clear_line(follow("no-such-host.invalid:2379"), "no-such-host.invalid:2379", "check the endpoint")


def test_an_address_that_does_not_answer(follow: Follow) -> None:
    with unanswered() as endpoint:
        one_clear_line(follow(endpoint), endpoint, "no answer in time")


def test_a_port_that_accepts_and_says_nothing(follow: Follow) -> None:
    with socket.create_server((HOST, free_ports(1)[0])) as listener:
        endpoint = f"{HOST}:{listener.getsockname()[1]}"
        one_clear_line(follow(endpoint), endpoint, "no answer in time")


def test_a_web_server_is_no_etcd(follow: Follow) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer((HOST, free_ports(1)[0]), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        endpoint = f"{HOST}:{server.server_port}"
        subjects = follow(endpoint)
        one_clear_line(subjects, endpoint, ("check the endpoint", "gateway"))
        subjects.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def talker(answer: bytes) -> Iterator[str]:
    """Whoever connects gets these bytes, whatever he says."""
    with socket.create_server((HOST, free_ports(1)[0])) as listener:
        stop = threading.Event()
        listener.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(0.5)
                    try:
                        connection.recv(65536)
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):  # closed with something unread, it would be reset
                            continue
                    except OSError:
                        continue

        crowd = Crowd()
        crowd.start(serve)
        try:
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            stop.set()
            crowd.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example ESMTP\r\n",
        b"\x00\x01\x02\xff" * 100,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html",
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{",
        b"",
    ],
    ids=["mail", "noise", "empty object", "array", "page", "moved", "short", "endless", "nothing"],
)
def test_whatever_answers_the_line_is_clear(follow: Follow, answer: bytes) -> None:
    with talker(answer) as endpoint:
        subjects = follow(endpoint, traffic=False)
        one_clear_line(subjects, endpoint, seconds=2)
        subjects.close()


def test_a_server_without_the_gateway_names_the_other_transport(tmp_path: Path, follow: Follow) -> None:
    with Server(tmp_path, *[]) as ordinary:
        port_folder = tmp_path / "bare"
        bare = Server(port_folder, ordinary.binary, "--enable-grpc-gateway=false")
        with bare:
            bare.ctl("put", f"{PATH}name-00.json", '{"failureThreshold": 3}')
            subjects = follow(bare.endpoint)
            for subject in subjects:
                if subject.transport == "gateway":
                    (loss,) = subject.losses
                    assert "transport='etcd3'" in loss["error"]
                else:
                    assert subject.threshold("name-00") == 3
                    assert subject.losses == []
                    bare.ctl("put", f"{PATH}name-00.json", '{"failureThreshold": 4}')
                    subjects.eventually(lambda each: each.transport == "gateway" or each.threshold("name-00") == 4)


def test_tls_on_a_plain_port(server: Server, follow: Follow, tmp_path: Path) -> None:
    tls = Tls(tmp_path / "tls")
    subjects = follow(f"https://{server.endpoint}", ca=str(tls.ca))
    # etcd answers the handshake by plain HTTP and hangs up: what arrives first is a matter of chance.
    one_clear_line(subjects, server.endpoint, "http://", at_most=2)


def test_plain_on_a_tls_port(tmp_path: Path, follow: Follow) -> None:
    with Server(tmp_path, tls=Tls(tmp_path / "tls")) as server:
        one_clear_line(follow(f"http://{server.endpoint}"), server.endpoint, "https://", at_most=2)


@pytest.mark.parametrize("scheme", ["HTTP://", "Http://", "http://"])
def test_a_scheme_may_be_in_capitals(server: Server, follow: Follow, scheme: str) -> None:
    server.api.put(f"{PATH}name-00.json", '{"failureThreshold": 3}')
    for subject in follow(scheme + server.endpoint, traffic=False):
        assert subject.threshold("name-00") == 3


@pytest.mark.parametrize(
    ("endpoints", "error"),
    [
        ("", ValueError),
        ([], ValueError),
        ("ftp://127.0.0.1:2379", ValueError),
        ("127.0.0.1:port", ValueError),
        ("127.0.0.1:70000", ValueError),
        ("http://user:password@127.0.0.1:2379", ValueError),
        ("http://127.0.0.1:2379/path", ValueError),
        ("two words:2379", ValueError),
        ([b"127.0.0.1:2379"], TypeError),
        (None, TypeError),
    ],
)
def test_endpoints_that_are_none_are_refused_at_once(endpoints: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"127\.0\.0\.1:2379|user= and password="):
        EtcdSource(endpoints)


@pytest.mark.parametrize(
    "options",
    [
        {"user": "u"},
        {"password": "p"},
        {"user": 1, "password": "p"},
        {"key": "/k"},
        {"connect_timeout": 0},
        {"request_timeout": "3"},
        {"check_interval": float("nan")},
        {"max_documents": 1.5},
        {"max_documents": 0},
        {"transport": "carrier pigeon"},
        {"transport": "gateway", "client": object()},
        {"policies_path": "no/slash/"},
    ],
    ids=lambda options: ",".join(options),
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        EtcdSource("127.0.0.1:2379", **options)
    assert any(name in str(caught.value) for name in options)


def test_failover_from_endpoints_that_are_wrong_in_any_way(server: Server, follow: Follow) -> None:
    """As long as one member answers, nothing is lost and nothing is reported."""
    fill(server)
    with unanswered() as black, talker(b"220 mail\r\n") as mail:
        closed = f"{HOST}:{free_ports(1)[0]}"
        for endpoints in ([closed, server.endpoint], [black, server.endpoint], f"{mail},{closed},{server.endpoint}"):
            subjects = follow(endpoints, traffic=False, provider={"start_timeout": 12})
            subjects.converge(server.api, 10)
            for subject in subjects:
                assert subject.losses == []
                assert server.endpoint in str(subject.status.endpoint)
            subjects.close()


def test_errors_of_tools_are_clear_too() -> None:
    endpoint = f"{HOST}:{free_ports(1)[0]}"
    work: Callable[[], object] = EtcdSource(endpoint, policies_path=PATH).list
    with pytest.raises(SourceError, match=f"{endpoint}.*nothing listens there; check the endpoint"):
        work()
