"""Sessions over an etcd3 client against a real server: what they read, write and follow, and what they refuse."""

import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from breaker.errors import Interrupted, Refused, TooBig, Unreachable
from breaker.sources.etcd.grpc.session import ClientSession
from breaker.sources.etcd.transport import Access, Limits
from support.drive import PATH
from support.etcd.ports import free_ports, unanswered
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.sessions import END, KEY, START, endpoint_of, session_at, values, watch_from_now
from support.processes import FREE_THREADED

pytestmark = [
    pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds"),
    pytest.mark.timeout(60),
]


@pytest.fixture
def session(server: Server) -> Iterator[ClientSession]:
    made = session_at(server.port)
    made.open()
    yield made
    made.close()


def test_pages_come_in_order_of_the_key_and_say_how_many_there_are(server: Server, session: ClientSession) -> None:
    server.api.transaction([(f"{PATH}{number}", b"\xff" * number) for number in range(5)])
    page = session.range(START, END, limit=3)
    assert [item.key for item in page.items] == [f"{PATH}{number}".encode() for number in range(3)]
    assert [item.value for item in page.items] == [b"\xff" * number for number in range(3)]
    assert (page.total, page.more) == (5, True)
    assert {item.revision for item in page.items} == {page.revision}
    rest = session.range(page.items[-1].key + b"\0", END, limit=3, revision=page.revision)
    assert (len(rest.items), rest.total, rest.more) == (2, 2, False)


def test_a_page_shows_the_store_as_it_was(server: Server, session: ClientSession) -> None:
    before = server.api.put(KEY, b"old")
    server.api.put(KEY, b"new")
    assert [item.value for item in session.range(START, END, limit=9, revision=before).items] == [b"old"]
    assert [item.value for item in session.range(START, END, limit=9).items] == [b"new"]


def test_the_keys_that_changed_since_without_their_values(server: Server, session: ClientSession) -> None:
    revisions = [server.api.put(PATH + name, b"value") for name in ("b", "c", "a")]
    page = session.range(START, END, limit=9, keys_only=True, since=revisions[1])
    assert [(item.key, item.value, item.revision) for item in page.items] == [
        (f"{PATH}a".encode(), b"", revisions[2]),
        (f"{PATH}c".encode(), b"", revisions[1]),
    ]
    assert (page.total, page.more) == (3, False)
    first = session.range(START, END, limit=1, keys_only=True, since=revisions[1])
    assert (len(first.items), first.total, first.more) == (1, 3, True)
    assert session.range(START, END, limit=9, since=revisions[2] + 1).items == []
    before = session.range(START, END, limit=9, revision=revisions[0], since=revisions[0])
    assert ([item.revision for item in before.items], before.total) == ([revisions[0]], 1)


def test_a_compacted_revision_is_an_interruption(server: Server, session: ClientSession) -> None:
    old = server.api.put(KEY, b"1")
    server.api.compact(server.api.put(KEY, b"2"))
    with pytest.raises(Interrupted, match="compacted"):
        session.range(START, END, limit=1, revision=old)
    with pytest.raises(Interrupted, match="lost revisions"):
        session.range(START, END, limit=1, revision=old + 1000)


def test_commit_compares_the_last_change(session: ClientSession) -> None:
    done, first = session.commit(KEY, b"1", 0)
    assert done
    assert session.commit(KEY, b"2", 0) == (False, first)
    done, second = session.commit(KEY, b"2", first)
    assert done
    assert second > first
    assert session.commit(KEY, None, first) == (False, second)
    assert session.commit(KEY, None, None) == (True, second + 1)
    assert session.range(START, END, limit=1).items == []


def test_a_watch_brings_puts_and_deletions_in_order(server: Server, session: ClientSession) -> None:
    revision = watch_from_now(session)
    assert session.read(0.05) is None
    server.api.put(KEY, b"")
    server.api.delete(KEY)
    server.api.put(PATH + "\N{SNOWMAN}", b"\x00\xff")
    server.api.put("/elsewhere", b"x")
    assert values(session, 3) == [b"", None, b"\x00\xff"]
    server.api.transaction([(f"{PATH}{number}", b"x") for number in range(50)])
    batch = session.read(10)
    assert batch is not None
    assert (batch.revision, len(batch.changes)) == (revision + 5, 50)
    assert {change.revision for change in batch.changes} == {revision + 5}
    assert session.read(0) is None


def test_reading_waits_as_long_as_it_may(session: ClientSession) -> None:
    watch_from_now(session)
    began = time.monotonic()
    assert session.read(0.3) is None
    assert 0.29 < time.monotonic() - began < 5


def test_a_watch_from_before_a_compaction_is_an_interruption(server: Server, session: ClientSession) -> None:
    old = server.api.put(KEY, b"1")
    server.api.compact(server.api.put(KEY, b"2"))

    def follow() -> None:
        session.watch(START, END, old)
        session.read(10)

    with pytest.raises(Interrupted, match="has compacted what the watch had not seen yet"):
        follow()


def test_an_owner_that_does_not_read_loses_nothing(server: Server, session: ClientSession) -> None:
    watch_from_now(session)
    server.api.burst((KEY.decode(), str(number)) for number in range(300))  # more than are taken ahead
    time.sleep(0.2)
    assert values(session, 300) == [str(number).encode() for number in range(300)]


def test_an_answer_beyond_the_limit_is_too_big(server: Server) -> None:
    server.api.transaction([(f"{PATH}{number}", b"x" * 1000) for number in range(100)])
    session = session_at(server.port, limits=Limits(answer=50_000))
    session.open()
    with pytest.raises(TooBig, match="larger than this program takes at once"):
        session.range(START, END, limit=500)
    assert len(session.range(START, END, limit=20).items) == 20
    watch_from_now(session)
    server.api.transaction([(f"{PATH}{number}", b"x" * 1000) for number in range(100)])
    with pytest.raises(TooBig):
        session.read(10)
    session.close()


def test_a_document_that_etcd_does_not_take_is_refused(session: ClientSession) -> None:
    with pytest.raises(Refused, match="takes no document of this size"):
        session.commit(KEY, b"x" * 1_600_000, None)


# -- no etcd there --


def test_nothing_listens() -> None:
    session = session_at(free_ports(1)[0])
    with pytest.raises(Unreachable, match=r"etcd at http://127.0.0.1:\d+: nothing listens there; check the endpoint"):
        session.open()
    session.close()


def test_an_unknown_host() -> None:
    session = session_at(2379)
    session.endpoint = session.endpoint._replace(host="no-such-host.invalid")
    with pytest.raises(Unreachable, match="the host name is not known; check the endpoint"):
        session.open()
    session.close()


def test_something_that_is_no_etcd() -> None:
    class Silent(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Silent) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        session = session_at(other.server_port)
        with pytest.raises(Refused, match="does not speak gRPC as etcd does"):
            session.open()
        session.close()
        other.shutdown()


def test_no_answer_to_the_connection_ends_in_time() -> None:
    with unanswered() as address:
        session = session_at(int(address.rpartition(":")[2]), limits=Limits(connect=0.3))
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer in time"):
            session.open()
        assert time.monotonic() - began < 8
        session.close()


def test_a_hung_server_ends_requests_and_watches_in_time(server: Server) -> None:
    session = session_at(server.port, limits=Limits(request=0.3))
    session.open()
    server.pause()
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no answer in time"):
        session.range(START, END, limit=1)
    with pytest.raises(Unreachable, match="does not confirm the watch in time"):
        session.watch(START, END, 1)
    assert time.monotonic() - began < 8
    session.close()
    server.resume()


@pytest.mark.parametrize("how", ["cut", "finish", "refuse"])
def test_a_lost_connection_ends_the_watch_at_once(server: Server, proxy: Proxy, how: str) -> None:
    session = session_at(proxy.port)
    session.open()
    watch_from_now(session)
    getattr(proxy, how)()
    began = time.monotonic()
    with pytest.raises(Unreachable, match="cannot speak with etcd at http://127"):
        session.read(30)
    assert time.monotonic() - began < 10
    session.close()


def test_a_dead_peer_is_noticed_by_pings(server: Server, proxy: Proxy) -> None:
    session = session_at(proxy.port)
    session.open()
    watch_from_now(session)
    proxy.blackhole()
    with pytest.raises(Unreachable):
        session.read(25)
    session.close()


def test_an_error_is_one_line_and_names_the_endpoint() -> None:
    port = free_ports(1)[0]
    session = session_at(port, Access(user="u", password="secret"))
    with pytest.raises(Unreachable) as caught:
        session.open()
    assert str(endpoint_of(port)) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    session.close()
