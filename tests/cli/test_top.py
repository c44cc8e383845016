"""``breaker top``: the breakers of a running program, from its status page, in lines and on a screen."""

import base64
import contextlib
import functools
import http.server
import json
import math
import re
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from breaker import Mode, Policy, Provider
from breaker.cli.top.rows import age
from breaker.status import StatusServer, serve
from support.drive import Providers, fail, rejected, succeed
from support.shell import Terminal, breaker, in_a_process, launched, line_with

HOSTILE = "http:\x1b]0;owned\x07\x9b2J"


@pytest.fixture
def provider(provider_of: Providers) -> Provider:
    """One open breaker, one near its threshold, one that an operator has opened, one healthy."""
    provider = provider_of(Policy(5, 2, 60), clock=None)
    fail(provider.get_breaker("http:prices"), 5, ConnectionError("refused by prices"))
    fail(provider.get_breaker("db:main"), 4)
    provider.get_breaker("queue:mails").force_open()
    succeed(provider.get_breaker("redis:日本"))
    return provider


@pytest.fixture
def page(provider: Provider) -> Iterator[StatusServer]:
    with serve(provider) as page:
        yield page


def rows(text: str) -> list[list[str]]:
    """The cells of the lines below the titles."""
    return [line.split("  ") for line in text.splitlines()[2:] if line]


def test_breakers_are_lines_worst_first(page: StatusServer) -> None:
    done = breaker("top", page.url, "--once")
    assert (done.code, done.err) == (0, "")
    head, titles = done.out.splitlines()[:2]
    assert "svc on " in head
    assert head.endswith("4 breakers (1 open, 1 forced open, 1 strained, 1 closed)")
    assert titles.split()[:3] == ["condition", "name", "calls/s"]
    assert [row[0] for row in rows(done.out)] == ["open", "forced open", "strained", "closed"]
    worst, forced, strained, _ = done.out.splitlines()[2:6]
    assert "http:prices" in worst
    assert "tripped" in worst
    assert "59s" in worst or "60s" in worst or "1m00s" in worst
    assert worst.endswith("ConnectionError: refused by prices")
    assert "by an operator" in forced
    assert "failures in a row 4 of 5" in strained


def test_rates_are_there_at_the_second_look(page: StatusServer, provider: Provider) -> None:
    with launched("top", page.url, "--interval", "300ms") as process:
        line_with(process, "http:prices")
        rejected(provider.breakers["http:prices"], 3)
        line_with(process, "100 %")


def test_the_url_of_the_environment(page: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKER_STATUS", page.url.removeprefix("http://"))
    assert len(rows(breaker("top", "--once").out)) == 4
    assert breaker("top", page.url + "breakers", "--once").code == 0


def test_filter_and_sort(page: StatusServer) -> None:
    def names(*words: str) -> list[str]:
        said = breaker("top", page.url, "--once", "--json", *words).json
        return [each["name"] for each in said["breakers"]]

    assert names("--filter", "PRICES") == ["http:prices"]
    assert names("--filter", "operator") == ["queue:mails"]
    assert names("--sort", "name") == ["db:main", "http:prices", "queue:mails", "redis:日本"]
    assert names("--sort", "name", "--reverse") == ["redis:日本", "queue:mails", "http:prices", "db:main"]
    assert names("--filter", "nobody") == []
    assert (
        "4 breakers (1 open, 1 forced open, 1 strained, 1 closed), 0 shown"
        in breaker("top", page.url, "--once", "--filter", "nobody").out
    )


def test_names_and_errors_are_shown_without_what_a_terminal_would_obey(page: StatusServer, provider: Provider) -> None:
    fail(provider.get_breaker(HOSTILE), 5, ConnectionError("\x1b[2Jgone"))
    done = breaker("top", page.url, "--once")
    assert "\x1b" not in done.out
    assert "\x9b" not in done.out
    assert r"http:\x1b]0;owned\x07\x9b2J" in done.out


def test_a_page_that_goes_away_is_said_and_looked_for_again(provider: Provider) -> None:
    with serve(provider) as first:
        port = int(first.url.rstrip("/").rpartition(":")[2])
        with launched("top", first.url, "--interval", "200ms", "--count", "200") as process:
            line_with(process, "http:prices")
            first.close()
            assert process.stderr is not None
            assert "cannot reach" in process.stderr.readline()
            with serve(provider, f"127.0.0.1:{port}"):
                line_with(process, "http:prices")


def test_a_mode_of_the_policy_is_no_operators(provider_of: Providers) -> None:
    provider = provider_of(Policy(mode=Mode.FORCED_OPEN), clock=None)
    provider.get_breaker("http:prices")
    with serve(provider) as page:
        (row,) = breaker("top", page.url, "--once").out.splitlines()[2:-1]
    assert row.startswith("forced open")
    assert "by its policy" in row


# -- the screen --


def test_a_screen_sorts_filters_and_quits(page: StatusServer) -> None:
    with Terminal("top", page.url, "--interval", "200ms", size=(12, 140)) as terminal:
        shown = terminal.wait_for_screen("http:prices", "redis:日本", "q quit")
        assert [line.split("  ")[0] for line in shown[2:6]] == ["open", "forced open", "strained", "closed"]
        assert "by trouble" in shown[-1]
        terminal.type("s")
        shown = terminal.wait_for_screen("by name")
        assert [line.split()[-1] for line in shown[2:6]][1] == "prices"  # the last error of the second by name
        terminal.type("r")
        assert "redis" in terminal.wait_for_screen("by name, reversed")[2]
        terminal.type("/db:")
        shown = terminal.wait_for_screen("filter: db:_", ", 1 shown")
        assert shown[3] == ""
        terminal.type("x\x7f\r")
        terminal.wait_for_screen("with 'db:'")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize(
    ("environment", "coloured"), [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "vt100"}, False)]
)
def test_a_screen_has_colours_or_those_of_the_terminal(
    page: StatusServer, environment: dict[str, str], coloured: bool
) -> None:
    with Terminal("top", page.url, size=(12, 140), environment=environment) as terminal:
        terminal.wait_for_screen("http:prices", "q quit")
        codes = {code for each in re.findall(r"\x1b\[([\d;]*)m", terminal.seen) for code in each.split(";")}
    assert codes & {"7", "1"}, "the line of titles stands out without colours, too"
    colours = {code for code in codes if len(code) == 2 and code[0] in "34"} - {"39", "49"}  # these: the terminal's own
    assert bool(colours) == coloured
    assert not colours & {"37", "40"}, "white or black on a terminal that may have either behind it"


def test_a_screen_scrolls(page: StatusServer, provider: Provider) -> None:
    for number in range(30):
        provider.get_breaker(f"http:host-{number:02}")
    with Terminal("top", page.url, "--sort", "name", size=(10, 120)) as terminal:
        shown = terminal.wait_for_screen("34 breakers", "db:main", "by name")  # the last line is drawn last
        assert "http:host-00" in shown[3]
        terminal.type("jj")
        terminal.wait_for_screen("http:host-07")
        terminal.type("  ")
        terminal.wait_for_screen("http:host-19")
        terminal.type("kkkk" + "\x1b[5~" * 5)
        terminal.wait_for_screen("db:main")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_screen_says_how_old_it_is(provider: Provider) -> None:
    with serve(provider) as page, Terminal("top", page.url, "--interval", "100ms", size=(10, 160)) as terminal:
        terminal.wait_for_screen("http:prices")
        page.close()
        terminal.wait_for_screen("cannot reach", "s old", "http:prices")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 10), (24, 5)])
def test_a_screen_of_any_size(page: StatusServer, size: tuple[int, int]) -> None:
    with Terminal("top", page.url, size=size) as terminal:
        terminal.wait_for("\x1b[")
        terminal.type("sr/a\rq")
        assert terminal.end() == 0


def test_ctrl_c_leaves_the_terminal_as_it_was(page: StatusServer) -> None:
    with Terminal("top", page.url, size=(10, 100)) as terminal:
        terminal.wait_for_screen("http:prices")
        terminal.process.send_signal(signal.SIGINT)  # as the terminal does at Ctrl-C
        assert terminal.end() == 130
        assert "\x1b[?1049l" in terminal.seen


def test_a_terminal_without_a_screen_gets_lines(page: StatusServer) -> None:
    with Terminal("top", page.url, "--interval", "200ms", environment={"TERM": "dumb"}, size=(10, 150)) as terminal:
        terminal.wait_for("http:prices")
        assert "\x1b" not in terminal.seen
        terminal.process.send_signal(signal.SIGINT)  # as the terminal does at Ctrl-C
        assert terminal.end() == 130


# -- bad input --


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


def test_a_reader_that_goes_away_ends_it(page: StatusServer) -> None:
    done = in_a_process("top", page.url, "--count", "1", "--json")
    assert json.loads(done.out)["summary"]["open"] == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (86399, "23h59m"), (90000, "1d01h")],
)
def test_times_have_two_units_at_most(seconds: float, text: str) -> None:
    assert age(seconds) == text
