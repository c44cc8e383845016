"""`close()` returns within two seconds in every state, and leaves no thread and no socket."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from breaker import Provider
from breaker.events import PolicyUpdated
from breaker.sources import EtcdSource
from etcd.conftest import fill
from support.drive import CONFIG
from support.etcd.hostile import CHUNKED, RANGE, WATCH, Hostile, at, drip
from support.etcd.ports import HOST, free_ports, unanswered
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.subjects import CLOSE_LIMIT, PATH, TRANSPORTS, Belongings, status_of
from support.watching import eventually

State = Callable[[ExitStack, Path], str]


def idle(stack: ExitStack, folder: Path) -> str:
    server = stack.enter_context(Server(folder))
    fill(server)
    return server.endpoint


def refused(stack: ExitStack, folder: Path) -> str:
    return f"{HOST}:{free_ports(1)[0]}"


def not_accepted(stack: ExitStack, folder: Path) -> str:
    return stack.enter_context(unanswered())


def silent(stack: ExitStack, folder: Path) -> str:
    """It accepts and says nothing."""
    listener = stack.enter_context(socket.create_server((HOST, free_ports(1)[0])))
    return f"{HOST}:{listener.getsockname()[1]}"


def hung(stack: ExitStack, folder: Path) -> str:
    server = stack.enter_context(Server(folder))
    server.pause()
    return server.endpoint


def unknown_host(stack: ExitStack, folder: Path) -> str:
    return "no-such-host.invalid:2379"


def silent_at_the_handshake(stack: ExitStack, folder: Path) -> str:
    """It accepts, and says nothing of TLS."""
    return f"https://{silent(stack, folder)}"


def dripping(stack: ExitStack, folder: Path) -> str:
    """It answers one byte after the other."""
    script = at(RANGE, lambda: drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9999))
    return stack.enter_context(Hostile(script)).endpoint


def unconfirmed(stack: ExitStack, folder: Path) -> str:
    """It lists, and never confirms the watch."""
    return stack.enter_context(Hostile(at(WATCH, lambda: [CHUNKED, 60.0]))).endpoint


STATES: list[State] = [idle, refused, not_accepted, silent, hung, unknown_host]
ANY_MOMENT: list[State] = [not_accepted, silent, silent_at_the_handshake, hung, dripping, unconfirmed]


@contextmanager
def closed_in_time(provider: Provider) -> Iterator[None]:
    began = time.monotonic()
    provider.close()
    took = time.monotonic() - began
    yield
    assert took < CLOSE_LIMIT, f"close() took {took:.2f} s"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("after", [0.0, 0.3, 2.5], ids=["at once", "soon", "later"])
@pytest.mark.parametrize("state", STATES, ids=[state.__name__ for state in STATES])
def test_close(state: State, after: float, transport: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        endpoint = state(stack, tmp_path)
        EtcdSource(endpoint, transport=transport)  # the first one in a process imports gRPC
        before = Belongings()
        began = time.monotonic()
        provider = Provider(CONFIG, policy_source=EtcdSource(endpoint, transport=transport), start_timeout=0)
        assert time.monotonic() - began < 0.5
        provider.get_breaker("a")
        time.sleep(after)
        with closed_in_time(provider):
            before.check_nothing_is_left()


@pytest.mark.parametrize("state", ANY_MOMENT, ids=[state.__name__ for state in ANY_MOMENT])
def test_close_wakes_whatever_it_waits_for(state: State, tmp_path: Path) -> None:
    """With limits that are far longer: it is woken, and does not merely give up in time."""
    with ExitStack() as stack:
        endpoint = state(stack, tmp_path)
        before = Belongings()
        source = EtcdSource(endpoint, connect_timeout=50, request_timeout=50)
        provider = Provider(CONFIG, policy_source=source, start_timeout=0)
        time.sleep(0.5)
        with closed_in_time(provider):
            before.check_nothing_is_left(1)


def test_close_does_not_wait_for_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which nothing can wake: the thread ends when it does, and connects to nothing any more."""
    asked, answer = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        asked.set()
        answer.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, 1))]

    before = Belongings()
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    provider = Provider(CONFIG, policy_source=EtcdSource("slow.example:2379"), start_timeout=0)
    assert asked.wait(10)
    began = time.monotonic()
    provider.close()
    assert time.monotonic() - began < CLOSE_LIMIT + 0.5
    answer.set()
    before.check_nothing_is_left()
    assert provider.source_status is not None
    assert provider.source_status.last_error is None


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_close_in_the_middle_of_a_listing(transport: str, tmp_path: Path) -> None:
    """The answer is on its way, and stops to come."""
    with Server(tmp_path) as server:
        for number in range(4):
            server.api.put(f"{PATH}large-{number}.json", b"x" * 1_400_000)
        proxy = Proxy(server.port)
        before = Belongings()
        provider = Provider(
            CONFIG, policy_source=EtcdSource(proxy.endpoint, transport=transport, request_timeout=30), start_timeout=0
        )
        eventually(lambda: proxy.sent > 100_000)
        proxy.blackhole()
        with closed_in_time(provider):
            proxy.close()
            before.check_nothing_is_left()


def blackholed(stack: ExitStack, folder: Path) -> tuple[str, Callable[[], None]]:
    """Its bytes are lost on the way."""
    server = stack.enter_context(Server(folder))
    fill(server)
    proxy = Proxy(server.port)
    stack.callback(proxy.close)
    return proxy.endpoint, proxy.blackhole


def paused(stack: ExitStack, folder: Path) -> tuple[str, Callable[[], None]]:
    """It hangs."""
    server = stack.enter_context(Server(folder))
    fill(server)
    return server.endpoint, server.pause


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("server", [blackholed, paused], ids=["blackholed", "paused"])
def test_close_with_a_server_that_falls_silent_under_a_watch(
    server: Callable[[ExitStack, Path], tuple[str, Callable[[], None]]], transport: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        endpoint, fall_silent = server(stack, tmp_path)
        before = Belongings()
        provider = Provider(CONFIG, policy_source=EtcdSource(endpoint, transport=transport))
        fall_silent()
        time.sleep(0.5)
        with closed_in_time(provider):
            before.check_nothing_is_left()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_close_from_a_listener_in_the_watching_thread(transport: str, tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        before = Belongings()
        provider = Provider(CONFIG, policy_source=EtcdSource(server.endpoint, transport=transport))
        took: list[float] = []

        def close(event: Any) -> None:
            if isinstance(event, PolicyUpdated):
                began = time.monotonic()
                provider.close()
                took.append(time.monotonic() - began)

        provider.subscribe(close)
        provider.get_breaker("a")
        server.api.put(f"{PATH}a.json", '{"failureThreshold": 2}')
        eventually(lambda: took)
        assert took[0] < CLOSE_LIMIT
        before.check_nothing_is_left()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_close_twice_and_from_many_threads(transport: str, tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        fill(server)
        before = Belongings()
        for _ in range(5):
            provider = Provider(CONFIG, policy_source=EtcdSource(server.endpoint, transport=transport))
            threads = [threading.Thread(target=provider.close) for _ in range(4)]
            began = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert time.monotonic() - began < CLOSE_LIMIT
            provider.close()
        before.check_nothing_is_left()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_hundred_providers_one_after_the_other_leave_nothing(transport: str, tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        fill(server)
        before = Belongings()
        for _ in range(100):
            with Provider(CONFIG, policy_source=EtcdSource(server.endpoint, transport=transport)) as provider:
                assert status_of(provider).connected
        before.check_nothing_is_left()
