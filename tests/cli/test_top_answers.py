"""What ``breaker top`` is told and answered: wrong options, servers that are none, passwords."""

import base64
import contextlib
import functools
import http.server
import json
import math
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from breaker import Provider
from breaker.status import StatusServer, serve
from support.shell import breaker


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "set BREAKER_STATUS"),
        (["ftp://127.0.0.1/"], 2, "is no URL of a status page"),
        (["http://"], 2, "is no URL of a status page"),
        (["http://[::1"], 2, "is no URL"),
        (["http://a:b"], 2, "is no URL"),
        (["http://user:secret@[::1"], 2, "is no URL"),
        (["http://127.0.0.1/a b"], 2, "must not have"),
        (["127.0.0.1:1"], 3, "cannot reach http://127.0.0.1:1/breakers: Connection refused"),
        (["https://127.0.0.1:1", "--ca", "missing.pem"], 2, "--ca: cannot read missing.pem"),
        (["127.0.0.1:1", "--interval", "0s"], 2, "longer than 0"),
        (["127.0.0.1:1", "--count", "0"], 2, "1 or more"),
        (["127.0.0.1:1", "--count", "many"], 2, "'many' must be a whole number, 1 or more"),
        (["127.0.0.1:1", "--sort", "colour"], 2, "--sort"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], code: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BREAKER_STATUS", raising=False)
    done = breaker("top", *words)
    done.failed(code, text)
    assert "secret" not in done.err


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], str]]:
    """A server of HTTP that answers as it is told."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def with_body(body: bytes, status: int = 200) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html>", "is not the JSON of a status page"),
        (b"[]", "is not the JSON of a status page"),
        (b"[" * 100_000, "is not the JSON of a status page"),
        (b'{"format": 1}', "is not the JSON of a status page"),
        (b'{"format": 1, "at": "noon", "breakers": [1]}', "is not the JSON of a status page"),
        (b'{"format": 7}', "speaks format 7 and this version reads 1"),
        (b"\xff\xfe", "is not the JSON of a status page"),
    ],
)
def test_an_answer_that_is_none_is_named(answering: Callable[[Answer], str], body: bytes, text: str) -> None:
    breaker("top", answering(with_body(body)), "--once").failed(3, text)


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something is in a document: keys and numbers, from outside to inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*before, key)
        yield from places(each, (*before, key))


def test_an_answer_with_anything_anywhere_is_shown_or_named(
    answering: Callable[[Answer], str], provider: Provider
) -> None:
    with serve(provider) as page:
        breaker("top", page.url, "--count", "2", "--interval", "1100ms")  # shares are there from the second sample on
        document = json.loads(urllib.request.urlopen(page.url + "breakers").read())
    assert document["breakers"][0]["recent"] is not None
    document["breakers"] = document["breakers"][:1]
    said: list[bytes] = []
    url = answering(lambda handler: with_body(said[-1])(handler))
    for place in places(document):
        anything: tuple[object, ...] = (-math.inf, {"a": 1})
        for wrong in anything:
            changed = json.loads(json.dumps(document))
            inside = functools.reduce(lambda outer, key: outer[key], place[:-1], changed)
            inside[place[-1]] = wrong
            said.append(json.dumps(changed).encode())
            done = breaker("top", url, "--once")
            if done.code:
                done.failed(3, "speaks format" if place == ("format",) else "is not the JSON of a status page")


@pytest.mark.parametrize(("status", "text"), [(401, "a user and a password"), (404, "that of the page"), (500, "500")])
def test_a_status_that_is_no_answer_is_named(answering: Callable[[Answer], str], status: int, text: str) -> None:
    breaker("top", answering(with_body(b"", status)), "--once").failed(3, str(status), text)


def test_a_server_that_says_nothing_is_given_up(answering: Callable[[Answer], str]) -> None:
    hang = threading.Event()

    def answer(_: http.server.BaseHTTPRequestHandler) -> None:
        hang.wait(20)

    url = answering(answer)
    breaker("top", url, "--once", "--timeout", "200ms").failed(3, "no answer in time")
    hang.set()


def test_a_user_and_a_password_are_sent_and_not_shown(answering: Callable[[Answer], str], page: StatusServer) -> None:
    body = urllib.request.urlopen(page.url + "breakers").read()
    sent: list[str | None] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["Authorization"])
        with_body(body)(handler)

    url = answering(answer)
    done = breaker("top", f"http://me:p%40ss@{url}", "--once")
    assert (done.code, done.err) == (0, "")
    assert sent == ["Basic " + base64.b64encode(b"me:p@ss").decode()]
    assert "p@ss" not in done.out


def redirecting(to: str) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def test_a_password_stays_with_the_server_that_it_is_for(
    answering: Callable[[Answer], str], page: StatusServer
) -> None:
    body = urllib.request.urlopen(page.url + "breakers").read()
    sent: list[tuple[str, str | None]] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        sent.append((handler.path, handler.headers["Authorization"]))
        if handler.path == "/moved":
            with_body(body)(handler)
        else:
            redirecting(f"http://{other}/breakers" if handler.path.startswith("/away") else "/moved")(handler)

    def answer_elsewhere(handler: http.server.BaseHTTPRequestHandler) -> None:
        sent.append(("elsewhere", handler.headers["Authorization"]))
        with_body(b"", 401)(handler)

    url, other = answering(answer), answering(answer_elsewhere)
    assert breaker("top", f"http://me:secret@{url}/here", "--once").code == 0
    login = sent[0][1]
    assert login is not None
    assert sent == [("/here/breakers", login), ("/moved", login)]
    sent.clear()
    done = breaker("top", f"http://me:secret@{url}/away", "--once")
    done.failed(3, f"http://{url}/away/breakers leads to http://{other}/breakers, which answers 401")
    assert sent == [("/away/breakers", login), ("elsewhere", None)]


@pytest.mark.parametrize("to", ["http://[oops/", "http://a:b/", "http://\xe2\x82\xac/", "file:///etc/passwd"])
def test_a_redirection_to_what_is_no_url_is_said(answering: Callable[[Answer], str], to: str) -> None:
    breaker("top", answering(redirecting(to)), "--once").failed(3)


def test_an_answer_that_does_not_come_to_its_end(answering: Callable[[Answer], str]) -> None:
    def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"{")

    ends = threading.Event()

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):  # whom it is for goes away
            while not ends.wait(0.02):
                handler.wfile.write(b" ")

    breaker("top", answering(cut), "--once").failed(3, "IncompleteRead(1 bytes read, 99 more expected)")
    breaker("top", answering(drip), "--once", "--timeout", "300ms").failed(3, "no answer in time")
    ends.set()
