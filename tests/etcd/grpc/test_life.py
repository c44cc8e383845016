"""Sessions over an etcd3 client: closed from another thread, left behind at exit, copied by a fork."""

import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from breaker.errors import Interrupted, Unreachable
from breaker.sources.etcd.grpc.session import ClientSession
from breaker.sources.etcd.transport import Forked, Limits, Page
from support.drive import PATH
from support.etcd.ports import HOST, unanswered
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.sessions import END, KEY, START, session_at, values, watch_from_now
from support.processes import FREE_THREADED, fork_and_check, run_python
from support.threads import Crowd
from support.watching import eventually

pytestmark = [
    pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds"),
    pytest.mark.timeout(60),
]
SLOW = Limits(connect=30, request=30)


@pytest.fixture
def session(server: Server) -> Iterator[ClientSession]:
    made = session_at(server.port, limits=SLOW)
    made.open()
    yield made
    made.close()


def closed_while(session: ClientSession, waiting: Callable[[], object]) -> None:
    """Close it while another thread waits in it: that one gets an error, both soon."""
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            waiting()
        except BaseException as error:
            errors.append(error)

    crowd = Crowd()
    crowd.start(wait)
    time.sleep(0.2)
    began = time.monotonic()
    session.close()
    assert time.monotonic() - began < 1
    crowd.join(5)
    assert time.monotonic() - began < 2
    assert [type(error) for error in errors] == [Unreachable]
    assert str(errors[0]).endswith("is closed")
    session.close()


def test_closed_while_it_reads(session: ClientSession) -> None:
    watch_from_now(session)
    closed_while(session, lambda: session.read(30))


def test_closed_while_a_hung_server_is_asked(server: Server, session: ClientSession) -> None:
    server.pause()
    closed_while(session, lambda: session.range(START, END, limit=1))


def test_closed_while_a_hung_server_confirms_the_watch(server: Server, session: ClientSession) -> None:
    server.pause()
    closed_while(session, lambda: session.watch(START, END, 1))


def test_closed_while_it_connects() -> None:
    with unanswered() as address:
        session = session_at(int(address.rpartition(":")[2]), limits=SLOW)
        closed_while(session, session.open)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_closed_while_the_other_side_says_nothing(tls: bool) -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        session = session_at(listener.getsockname()[1], limits=SLOW, tls=tls)
        closed_while(session, session.open)


def test_closed_while_its_owner_does_not_read(server: Server, session: ClientSession) -> None:
    watch_from_now(session)
    for number in range(60):
        server.api.put(KEY, str(number))
    time.sleep(0.2)
    session.close()
    eventually(lambda: not grpc_threads(), 3)


def test_closed_before_it_is_opened(server: Server) -> None:
    session = session_at(server.port)
    session.close()
    with pytest.raises(Unreachable, match="is closed"):
        session.open()
    eventually(lambda: not grpc_threads(), 3)


# -- what stays --


def grpc_threads() -> list[str]:
    """Names of the threads of this process that are not the interpreter's or the harness's."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found.append((task / "comm").read_text().strip())
        except OSError:
            continue
    return sorted(name for name in found if name.startswith(("event_engine", "lifeguard", "grpc", "resolver")))


def test_nothing_stays_of_a_closed_session(server: Server) -> None:
    threads = set(threading.enumerate())
    for _ in range(10):
        session = session_at(server.port)
        session.open()
        watch_from_now(session)
        assert len(set(threading.enumerate()) - threads) <= 2
        session.close()
    eventually(lambda: set(threading.enumerate()) <= threads, 3)
    eventually(lambda: not grpc_threads(), 3)
    reference = weakref.ref(session)
    del session
    gc.collect()
    assert reference() is None


def test_a_failed_session_is_freed_without_the_collector(server: Server) -> None:
    session = session_at(server.port)
    session.open()
    watch_from_now(session)
    server.kill()
    with pytest.raises(Unreachable):
        session.read(10)
    session.close()
    eventually(lambda: not grpc_threads(), 3)
    server.start()
    gc.collect()
    gc.disable()
    try:
        reference = weakref.ref(session)
        del session
        assert reference() is None
    finally:
        gc.enable()


def test_an_open_session_does_not_hold_up_the_exit(server: Server) -> None:
    program = f"""
import threading, time
from breaker.sources.etcd.transport import *
from breaker.sources.etcd.grpc.session import ClientTransport
session = ClientTransport(Access(), Limits()).session(Endpoint("{HOST}", {server.port}, False))
ready = threading.Event()
def follow():
    session.open()
    session.watch(b"a", b"b", 1)
    ready.set()
    while True:
        session.read(1000)
threading.Thread(target=follow, daemon=True).start()
ready.wait()
print(time.monotonic())
"""
    for _ in range(3):
        began = float(run_python(program, seconds=20))
        assert time.monotonic() - began < 2


def test_a_session_closed_by_the_end_of_the_interpreter(server: Server) -> None:
    program = f"""
from breaker.sources.etcd.transport import *
from breaker.sources.etcd.grpc.session import ClientTransport
session = ClientTransport(Access(), Limits()).session(Endpoint("{HOST}", {server.port}, False))
session.open()
session.watch(b"a", b"b", 1)
class Owner:
    def __del__(self, close=session.close):
        close()
owner = Owner()
owner.itself = owner
"""
    run_python(program, seconds=20)


def test_an_open_session_in_the_main_thread_at_the_exit(server: Server) -> None:
    program = f"""
from breaker.sources.etcd.transport import *
from breaker.sources.etcd.grpc.session import ClientTransport
session = ClientTransport(Access(), Limits()).session(Endpoint("{HOST}", {server.port}, False))
session.open()
session.watch(b"a", b"b", 1)
"""
    run_python(program, seconds=20)


# -- fork --


def follow_in_a_child(server: Server, parents: list[ClientSession]) -> None:
    for each in parents:
        each.forget()
    session = session_at(server.port)
    session.open()
    watch_from_now(session)
    session.commit(f"{PATH}child.json".encode(), b"child", None)
    while b"child" not in values(session):  # the parent may be writing too
        pass
    session.close()


def test_parent_and_child_both_go_on(server: Server, proxy: Proxy) -> None:
    session = session_at(proxy.port)
    session.open()
    watch_from_now(session)
    for number in range(20):
        fork_and_check(lambda: follow_in_a_child(server, [session]), 40)
        assert values(session) == [b"child"]  # it was written while nobody watched
        server.api.put(KEY, str(number))
        if number % 2:  # the fork comes between a message and its reading
            eventually(lambda: session._stream is not None and session._stream._answers)
            fork_and_check(session.forget, 40)
        assert values(session) == [str(number).encode()]
    assert session.range(START, END, limit=1).total == 2
    assert proxy.connections == 1
    session.close()


def test_a_fork_after_which_the_place_in_history_is_gone(server: Server, session: ClientSession) -> None:
    watch_from_now(session)
    server.api.put("/elsewhere", "1")

    def compact() -> None:
        session.forget()
        server.api.close()
        server.api.put(KEY, "1")
        server.api.compact(server.api.put(KEY, "2"))
        server.api.close()

    fork_and_check(compact)
    with pytest.raises(Interrupted, match="has compacted what the watch had not seen yet"):
        session.read(10)


def test_a_fork_while_other_threads_are_busy(server: Server) -> None:
    """One waits for its watch, one asks all the time, one writes; after each fork they go on, and so does the child."""
    sessions = [session_at(server.port) for _ in range(3)]
    crowd, stop, written = Crowd(), threading.Event(), [0]

    def repeat(session: ClientSession, step: Callable[[ClientSession], object]) -> None:
        while not stop.is_set():
            with suppress(Forked):
                step(session)

    def follow(session: ClientSession) -> None:
        watch_from_now(session)
        while not stop.is_set():
            session.read(0.1)

    def write(session: ClientSession) -> None:
        session.commit(KEY, str(written[0]).encode(), None)
        written[0] += 1

    steps: list[Callable[[ClientSession], object]] = [follow, lambda s: s.range(START, END, limit=1), write]
    for session, step in zip(sessions, steps, strict=True):
        session.open()
        crowd.start(repeat, session, step)
    for _ in range(10):
        now = written[0]
        eventually(lambda: written[0] > now + 5, 30)  # noqa: B023
        fork_and_check(lambda: follow_in_a_child(server, sessions), 40)
    stop.set()
    crowd.join(30)
    for session in sessions:
        session.close()


@pytest.mark.parametrize("change", [False, True], ids=["reading", "writing"])
def test_a_fork_while_a_hung_server_is_asked(server: Server, session: ClientSession, change: bool) -> None:
    """What reads is asked again; of a change nobody knows whether it was made."""
    ended: list[object] = []

    def ask() -> None:
        try:
            ended.append(session.commit(KEY, b"", None) if change else session.range(START, END, limit=1))
        except Forked as error:
            ended.append(error)

    server.pause()
    crowd = Crowd()
    crowd.start(ask)
    time.sleep(0.2)
    began = time.monotonic()
    fork_and_check(session.forget)
    assert time.monotonic() - began < 5
    server.resume()
    crowd.join(20)
    assert [type(each) for each in ended] == [Forked if change else Page]
    if change:
        assert "what came of it is not known" in str(ended[0])


def test_a_child_that_ends_as_programs_do_says_nothing_on_the_parents_connection(proxy: Proxy) -> None:
    program = f"""
import os, sys, warnings
from breaker.sources.etcd.transport import *
from breaker.sources.etcd.grpc.session import ClientTransport
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork in a process with threads
session = ClientTransport(Access(), Limits()).session(Endpoint("{HOST}", {proxy.port}, False))
session.open()
for _ in range(5):
    session.watch(b"a", b"b", 1)
    child = os.fork()
    if not child:
        session.forget()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    session.range(b"a", b"b", limit=1)
session.close()
"""
    run_python(program)
    assert proxy.connections == 1
