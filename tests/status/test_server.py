"""`serve`: a server of its own, whose every part is bounded, and which leaves nothing behind."""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from breaker import Provider, status
from breaker.status._server import read_address
from support.drive import NAME, Providers, trip
from support.processes import run_python
from support.status_servers import Stream, ask


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("breaker-status")]


def no_thread_is_left() -> bool:
    """Threads of requests that have been answered may have a step to go."""
    end = time.monotonic() + 10
    while threads() and time.monotonic() < end:
        time.sleep(0.01)
    return threads() == []


def place(server: status.StatusServer) -> tuple[str, int]:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def raw(server: status.StatusServer, request: bytes) -> bytes:
    """What comes back for some bytes."""
    with socket.create_connection(place(server), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_it_serves_until_it_is_closed(provider: Provider) -> None:
    with status.serve(provider) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.url.endswith("/")
        assert ask(server.url).status == 200
        assert repr(server) == f"<StatusServer {server.url}>"
    with pytest.raises(ConnectionRefusedError):
        ask(server.url)
    server.close()
    assert repr(server) == f"<StatusServer {server.url}, closed>"
    assert no_thread_is_left()


def test_closing_cuts_streams_and_leaves_no_thread_and_no_listener(provider: Provider) -> None:
    server = status.serve(provider)
    streams = [Stream(server.url) for _ in range(4)]
    for stream in streams:
        stream.until_ready()
    assert len(threads()) == 5
    begun = time.monotonic()
    server.close()
    assert time.monotonic() - begun < 2
    for stream in streams:
        assert list(stream.events()) == []
        stream.close()
    assert no_thread_is_left()
    assert len(provider._listeners.listeners) == 0


def test_a_listener_may_close_it(provider_of: Providers, listeners: list[Callable[[Any], None]]) -> None:
    closed: list[status.StatusServer] = []

    def close(event: object) -> None:
        for server in closed:
            server.close()

    listeners.append(close)
    provider = provider_of()
    closed.append(status.serve(provider))
    trip(provider.get_breaker(NAME))
    with pytest.raises(ConnectionRefusedError):
        ask(closed[0].url)


@pytest.mark.parametrize(
    ("address", "read"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:8080", ("localhost", 8080)),
        ("[::1]:65535", ("::1", 65535)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
    ],
)
def test_addresses(address: str, read: tuple[str, int]) -> None:
    assert read_address(address) == read


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1", "127.0.0.1:", ":80", "::1:80", "127.0.0.1:http", "127.0.0.1:-1", "127.0.0.1:65536",
     "http://127.0.0.1:80", "127.0.0.1:8١", "[]:80", "127.0.0.1:80/"],
)  # fmt: skip
def test_an_address_that_is_none_says_how_to_write_it(provider: Provider, address: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT, like '127\.0\.0\.1:8080'|a port is a number from 0 to 65535"):
        status.serve(provider, address)
    assert no_thread_is_left()


@pytest.mark.parametrize("address", [8080, None, b"127.0.0.1:0", ("127.0.0.1", 0)])
def test_an_address_is_text(provider: Provider, address: Any) -> None:
    with pytest.raises(TypeError, match=r"an address is text like '127\.0\.0\.1:8080'"):
        status.serve(provider, address)


def test_a_port_that_is_taken_is_named(provider: Provider) -> None:
    with status.serve(provider) as server:
        address = "{}:{}".format(*place(server))
        with pytest.raises(OSError, match=rf"cannot listen on '{address}': Address already in use") as caught:
            status.serve(provider, address)
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("host", ["no-such-host.invalid", "256.1.1.1", "192.0.2.1", "a..b", "x" * 300])
def test_a_host_that_is_not_here_is_named(provider: Provider, host: str) -> None:
    with pytest.raises((OSError, ValueError), match=host[:20]):
        status.serve(provider, f"{host}:0")


def test_a_port_is_free_again_at_once(provider: Provider) -> None:
    with status.serve(provider) as first:
        ask(first.url)
        address = "{}:{}".format(*place(first))
    with status.serve(provider, address) as second:
        assert second.url == first.url


def test_it_serves_under_ipv6_and_all_addresses(provider: Provider) -> None:
    for address in ("[::1]:0", "[::]:0", "0.0.0.0:0"):
        with status.serve(provider, address) as server:
            assert ask(server.url, "breakers").status == 200


OWN = ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:5", "10.1.2.3:1", "status.internal", "Status.Internal.:8"]
FOREIGN = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "127.1.evil", "0x7f000001.x"]


@pytest.mark.parametrize("host", OWN)
def test_names_that_are_its_own_are_answered(provider: Provider, host: str) -> None:
    with status.serve(provider, hosts=["Status.internal"]) as server:
        assert ask(server.url, "breakers", Host=host).status == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_is_not_its_own_is_refused(provider: Provider, host: str) -> None:
    """Whoever has a name may point it at this machine, and read the page by a page of his own."""
    with status.serve(provider, actions=lambda request: True) as server:
        for path in ("", "breakers", "events", "nowhere"):
            got = ask(server.url, path, Host=host)
            assert got.status == 421
            assert "hosts=" in got.json["error"]


def test_a_request_without_a_host_or_with_two_is_refused(provider: Provider) -> None:
    with status.serve(provider) as server:
        assert b" 421 " in raw(server, b"GET / HTTP/1.1\r\n\r\n").splitlines()[0]
        two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        assert b" 421 " in raw(server, two).splitlines()[0]


@pytest.mark.parametrize("hosts", ["status.internal", [5], [None]])
def test_hosts_are_names_in_a_list(provider: Provider, hosts: Any) -> None:
    with pytest.raises(TypeError, match="hosts are names in a list"):
        status.serve(provider, hosts=hosts)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"\x16\x03\x01\x02\x00\x01", b" 400 "),
        (b"GET\r\n\r\n", b" 400 "),
        (b"GET / HTTP/9.9\r\n\r\n", b" 505 "),
        (b"G" * 100_000, b" 414 "),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b" 414 "),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 1000 + b"\r\n", b" 431 "),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b" 431 "),
        (b"GET http://localhost/breakers HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 200 "),
        (b"GET http://[/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 400 "),
        (b"GET //breakers HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 200 "),
        (b"BREW /breakers HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 405 "),
        (b"GET /\x00\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 404 "),
    ],
    ids=repr,
)
def test_whatever_comes_is_answered_or_cut_and_the_next_one_is_served(
    provider: Provider, request_: bytes, answer: bytes
) -> None:
    with status.serve(provider) as server:
        try:
            got = raw(server, request_)
        except OSError:
            got = answer  # it has read enough
        assert (answer in got) if answer else (got == b"")
        assert ask(server.url, "breakers").status == 200


UNSAID = [b"Content-Length: x", b"Content-Length: -1", b"Content-Length: 5, 5", b"Transfer-Encoding: chunked"]


@pytest.mark.parametrize("headers", UNSAID)
def test_a_body_whose_length_is_not_said_is_refused(provider: Provider, headers: bytes) -> None:
    with status.serve(provider, actions=lambda request: True) as server:
        got = raw(
            server, b"POST /actions HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        assert b" 411 " in got.splitlines()[0]


def test_a_body_that_never_comes_and_a_request_that_drips_are_given_up(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breaker.status._server._REQUEST_SECONDS", 0.3)
    head = b"POST /actions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n"
    with status.serve(provider, actions=lambda request: True) as server:
        for begin, drip in ((head, b""), (b"GET / HTTP/1.1\r\n", b"a"), (b"", b"")):
            with socket.create_connection(place(server), timeout=20) as connection:
                connection.sendall(begin)
                begun = time.monotonic()
                try:
                    while time.monotonic() - begun < 10:
                        connection.settimeout(0.05)
                        if drip:
                            connection.sendall(drip)
                        try:
                            if connection.recv(100) == b"":
                                break
                        except TimeoutError:
                            continue
                except ConnectionError:
                    pass
                assert time.monotonic() - begun < 9


def test_connections_are_so_many_and_no_more(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breaker.status._server._MOST_CONNECTIONS", 4)
    with status.serve(provider) as server:
        held = [socket.create_connection(place(server), timeout=20) for _ in range(4)]
        end = time.monotonic() + 10
        while len(threads()) < 5 and time.monotonic() < end:
            time.sleep(0.01)
        with socket.create_connection(place(server), timeout=20) as more:
            assert more.recv(10) == b""
        for connection in held:
            connection.close()
        while len(threads()) > 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert ask(server.url, "breakers").status == 200


def test_a_clock_that_fails_is_an_answer_and_a_line_of_the_log(
    provider_of: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    broken = False

    def clock() -> int:
        if broken:
            raise ArithmeticError("the clock is broken")
        return 0

    provider = provider_of(clock=clock)
    provider.get_breaker(NAME)
    with status.serve(provider) as server:
        broken = True
        got = ask(server.url, "breakers")
        broken = False
        assert (got.status, "clock" in got.body.decode()) == (500, False)
        assert ask(server.url, "breakers").status == 200
    assert "the clock is broken" in caplog.text


def test_a_program_ends_while_it_serves() -> None:
    program = """
import breaker, breaker.status, urllib.request
provider = breaker.Provider(breaker.get_default_config("svc", "dev"))
server = breaker.status.serve(provider)
stream = urllib.request.urlopen(server.url + "events")
print(stream.status)
stream.close()
"""
    assert run_python(program, "-W", "error").strip() == "200"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_serves_nothing_and_holds_nothing_open() -> None:
    program = """
import json, os, sys, time, urllib.request, urllib.error, warnings
import breaker, breaker.status
warnings.simplefilter("ignore", DeprecationWarning)
provider = breaker.Provider(breaker.get_default_config("svc", "dev"))
server = breaker.status.serve(provider, actions=lambda request: True)
stream = urllib.request.urlopen(server.url + "events")
stream.readline()
address = server.url.split("/")[2]
shown = json.load(urllib.request.urlopen(server.url + "breakers"))
to_child, to_parent = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    assert len(provider._listeners.listeners) == 0
    assert "closed" in repr(server)
    server.close()
    with breaker.status.serve(provider, actions=lambda request: True) as own:
        mine = json.load(urllib.request.urlopen(own.url + "breakers"))
    assert mine["process"]["pid"] == os.getpid()
    assert mine["actions"]["token"] != shown["actions"]["token"]
    os.write(to_parent[1], b"x")
    os.read(to_child[0], 1)  # until the parent has closed: the child must not keep its port
    os._exit(0)
os.read(to_parent[0], 1)
assert json.load(urllib.request.urlopen(server.url + "breakers"))["process"]["pid"] == os.getpid()
server.close()
assert stream.read() is not None
stream.close()
with breaker.status.serve(provider, address) as again:
    assert again.url == server.url
os.write(to_child[1], b"x")
print(os.waitpid(child, 0)[1])
"""
    assert run_python(program, "-W", "error").strip() == "0"


def test_an_application_of_before_a_fork_has_another_identity_in_the_child() -> None:
    program = """
import os, warnings, json
import breaker, breaker.status
warnings.simplefilter("ignore", DeprecationWarning)
provider = breaker.Provider(breaker.get_default_config("svc", "dev"))
page = breaker.status.wsgi(provider, actions=lambda request: True)
def shown():
    body = page({"REQUEST_METHOD": "GET", "PATH_INFO": "/breakers"}, lambda *answer: None)
    found = json.loads(b"".join(body))
    return found["process"]["id"], found["actions"]["token"]
before = shown()
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, json.dumps(shown()).encode())
    os._exit(0)
child = json.loads(os.read(reading, 1000))
os.wait()
assert shown() == before
print(len({*before, *child}))
"""
    assert run_python(program, "-W", "error").strip() == "4"


def test_it_needs_the_standard_library_alone() -> None:
    program = """
import sys
before = set(sys.modules)
import breaker, breaker.status
breaker.status.serve(breaker.Provider(breaker.get_default_config("svc", "dev"))).close()
brought = {name.partition(".")[0] for name in set(sys.modules) - before}
known = sys.stdlib_module_names | {"breaker", "structlog", "cython_runtime"}
print(sorted(name for name in brought - known if not name.startswith("_")))
"""
    assert run_python(program).strip() == "[]"
