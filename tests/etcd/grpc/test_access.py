"""Sessions over an etcd3 client: users and passwords, certificates, and what a client that was given brings along."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breaker.errors import Refused, Unreachable
from breaker.sources import EtcdSource
from breaker.sources.etcd.grpc.session import ClientSession, ClientTransport
from breaker.sources.etcd.transport import Access, Endpoint, Limits
from support.drive import PATH
from support.etcd.binaries import WHEEL
from support.etcd.ports import HOST
from support.etcd.server import Server
from support.etcd.sessions import END, KEY, START, endpoint_of, session_at, values, watch_from_now
from support.etcd.tls import Tls
from support.processes import FREE_THREADED, run_python

pytestmark = [
    pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds"),
    pytest.mark.timeout(60),
]

READER = Access(user="reader", password="secret")
TOKEN_SECONDS = 1  # that a token lives after its last use


def open_at(server: Server, access: Access = READER, **options: Any) -> ClientSession:
    session = session_at(server.port, access, **options)
    session.open()
    return session


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Server]:
    """A server with users."""
    with Server(tmp_path, WHEEL, "--auth-token-ttl", str(TOKEN_SECONDS)) as server:
        server.api.set_up_access("root")
        server.api.add_reader("reader", "secret", PATH)
        yield server


# -- users --


def test_a_reader_lists_and_follows_and_may_not_write(locked: Server) -> None:
    session = open_at(locked)
    watch_from_now(session)
    locked.api.put(KEY, b"1")
    assert values(session) == [b"1"]
    with pytest.raises(Refused, match=r"denies permission.*etcdctl role grant-permission ROLE"):
        session.commit(KEY, b"2", None)
    session.close()


@pytest.mark.parametrize(
    ("access", "meaning"),
    [
        (Access(user="reader", password="wrong"), "refused the user or the password"),
        (Access(user="nobody", password="secret"), "refused the user or the password"),
        (Access(), "demands a user; pass user= and password="),
    ],
    ids=["password", "user", "none"],
)
def test_who_is_not_known_is_refused(locked: Server, access: Access, meaning: str) -> None:
    session = session_at(locked.port, access)
    with pytest.raises(Refused, match=meaning):
        _open_and_list(session)
    session.close()


def _open_and_list(session: ClientSession) -> None:
    session.open()
    session.range(START, END, limit=1)


def test_a_range_and_a_watch_without_permission_are_refused(locked: Server) -> None:
    session = open_at(locked)
    with pytest.raises(Refused, match="denies permission"):
        session.range(b"/other/", b"/other0", limit=1)
    with pytest.raises(Refused, match="denies permission"):
        session.watch(b"/other/", b"/other0", 1)
    session.close()


def test_an_expired_token_is_replaced_by_another_login(locked: Server) -> None:
    session = open_at(locked)
    time.sleep(TOKEN_SECONDS + 1.5)
    assert session.range(START, END, limit=1).items == []
    time.sleep(TOKEN_SECONDS + 1.5)
    watch_from_now(session)
    locked.api.put(KEY, b"1")
    assert values(session) == [b"1"]
    session.close()


def test_a_watch_logs_in_again_too(locked: Server) -> None:
    session = open_at(locked)
    time.sleep(TOKEN_SECONDS + 1.5)
    session.watch(START, END, 1)
    locked.api.put(KEY, b"1")
    assert values(session) == [b"1"]
    session.close()


def test_a_change_of_users_does_not_end_a_session(locked: Server) -> None:
    session = open_at(locked)
    locked.api.add_reader("other", "x", "/other/")  # the revision of the auth store is another one now
    assert session.range(START, END, limit=1).items == []
    session.close()


def test_a_changed_password_is_refused_at_the_next_login(locked: Server) -> None:
    session = open_at(locked)
    locked.api.change_password("reader", "other")
    with pytest.raises(Refused, match="refused the user or the password"):
        session.range(START, END, limit=1)
    session.close()


def test_a_user_where_there_is_no_authentication_until_there_is(server: Server) -> None:
    session = open_at(server)
    assert session.range(START, END, limit=1).items == []
    server.api.set_up_access("root")
    server.api.add_reader("reader", "secret", PATH)
    assert session.range(START, END, limit=1).items == []
    session.close()


# -- certificates --


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(tmp_path: Path, tls: Tls) -> Iterator[Server]:
    """A server that speaks TLS and demands certificates."""
    with Server(tmp_path, name="secure", tls=tls, client_auth=True) as server:
        yield server


def access_by(tls: Tls, **changes: Any) -> Access:
    return Access(ca=str(tls.ca), cert=str(tls.nameless.cert), key=str(tls.nameless.key))._replace(**changes)


def test_a_certificate_of_ours_and_one_of_the_server(secure: Server, tls: Tls) -> None:
    session = open_at(secure, access_by(tls), tls=True)
    watch_from_now(session)
    session.commit(KEY, b"1", None)
    assert values(session) == [b"1"]
    session.close()


def test_a_certificate_as_identity(secure: Server, tls: Tls) -> None:
    secure.api.set_up_access("root")
    secure.api.add_reader("reader", "secret", PATH)
    pair = tls.client("reader")
    session = open_at(secure, access_by(tls, cert=str(pair.cert), key=str(pair.key)), tls=True)
    assert session.range(START, END, limit=1).items == []
    with pytest.raises(Refused, match="denies permission"):
        session.range(b"/other/", b"/other0", limit=1)
    session.close()


def test_the_name_in_the_certificate(tmp_path: Path) -> None:
    tls = Tls(tmp_path / "named", server_names="DNS:etcd.internal")
    with Server(tmp_path, tls=tls) as server:
        session = session_at(server.port, Access(ca=str(tls.ca)), tls=True)
        with pytest.raises(Refused, match=r"its certificate is not accepted .*server_name="):
            session.open()
        session.close()
        session = open_at(server, Access(ca=str(tls.ca), server_name="etcd.internal"), tls=True)
        assert session.range(START, END, limit=1).items == []
        session.close()


def test_certificates_that_do_not_match_are_refused_and_nothing_is_printed(
    secure: Server, tls: Tls, tmp_path: Path
) -> None:
    stranger = Tls(tmp_path / "stranger")
    wrong = access_by(stranger, ca=str(tls.ca))
    program = f"""
from breaker.errors import Refused
from breaker.sources.etcd.transport import *
from breaker.sources.etcd.grpc.session import ClientTransport
for access in ({access_by(tls, ca=str(stranger.ca))!r}, {wrong!r}, Access(ca={str(tls.ca)!r}), Access()):
    session = ClientTransport(access, Limits()).session(Endpoint("{HOST}", {secure.port}, True))
    try:
        session.open()
    except Refused as error:
        print(error)
    session.close()
"""
    said = run_python(program).splitlines()
    assert len(said) == 4
    for line, meaning in zip(said, ["certificate is not", "our certificate", "our certificate", "is not"], strict=True):
        assert meaning in line


def test_tls_where_there_is_none_and_none_where_there_is(server: Server, secure: Server, tls: Tls) -> None:
    session = session_at(server.port, Access(ca=str(tls.ca)), tls=True)
    # etcd answers in plain text and hangs up: which of the two is seen first is chance.
    with pytest.raises((Refused, Unreachable), match=r"it speaks no TLS.*write http://"):
        session.open()
    session.close()
    session = session_at(secure.port)
    with pytest.raises(Exception, match="if it wants TLS, write https://"):
        session.open()
    session.close()


def test_files_that_were_taken_away_since(secure: Server, tls: Tls, tmp_path: Path) -> None:
    copy = tmp_path / "ca-copy.pem"
    copy.write_bytes(tls.ca.read_bytes())
    transport = ClientTransport(access_by(tls, ca=str(copy)), Limits())
    copy.unlink()
    session = transport.session(endpoint_of(secure.port, tls=True))
    with pytest.raises(Refused, match="ca="):
        session.open()
    session.close()


# -- a client that was given --


@pytest.fixture
def etcd3() -> Any:
    from breaker.sources.etcd.grpc.import_etcd3 import load

    return load().etcd3


def test_the_address_of_a_given_client(server: Server, etcd3: Any) -> None:
    with etcd3.client(host=HOST, port=server.port) as client:
        transport = ClientTransport(Access(), Limits(), client)
        assert transport.endpoints() == [Endpoint(HOST, server.port, False)]
        session = transport.session(transport.endpoints()[0])
        session.open()
        watch_from_now(session)
        client.put(KEY.decode(), "1")
        assert values(session) == [b"1"]
        session.close()
        assert client.get(KEY.decode())[0] == b"1"  # it is still open
        assert client.watcher._callback_thread is None  # and was not used
    assert repr(EtcdSource(client=client)) == f"<EtcdSource http://{HOST}:{server.port}>"
    with etcd3.client(host="[::1]", port=1) as client:
        assert ClientTransport(Access(), Limits(), client).endpoints() == [Endpoint("::1", 1, False)]


def test_the_token_of_a_given_client(locked: Server, etcd3: Any) -> None:
    with etcd3.client(host=HOST, port=locked.port, user="reader", password="secret") as client:
        session = open_at(locked, Access(), client=client)
        assert session.range(START, END, limit=1).items == []
        time.sleep(TOKEN_SECONDS + 1.5)
        for attempt in (session, open_at(locked, Access(), client=client)):
            with pytest.raises(Refused, match=r"no longer takes the token of the given client.*pass user= and"):
                attempt.range(START, END, limit=1)
            with pytest.raises(Refused):
                attempt.watch(START, END, 1)
            attempt.close()
        session = open_at(locked, READER, client=client)  # the user given beside it counts
        assert session.range(START, END, limit=1).items == []
        session.close()


def test_a_given_client_with_certificates(secure: Server, tls: Tls, etcd3: Any) -> None:
    access = access_by(tls)
    files = {"ca_cert": access.ca, "cert_cert": access.cert, "cert_key": access.key}
    with etcd3.client(host=HOST, port=secure.port, **files) as client:
        with pytest.raises(ValueError, match="has forgotten the certificates; pass ca= too"):
            EtcdSource(client=client)
        transport = ClientTransport(access, Limits(), client)
        assert transport.endpoints() == [Endpoint(HOST, secure.port, True)]
        session = transport.session(transport.endpoints()[0])
        session.open()
        assert session.range(START, END, limit=1).items == []
        session.close()


def test_what_is_no_client(etcd3: Any) -> None:
    with pytest.raises(TypeError, match=r"client must be an etcd3.Etcd3Client, got str"):
        EtcdSource(client="127.0.0.1:2379")
