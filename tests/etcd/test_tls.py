"""TLS: the server's certificate, a client's own, and names that do not match."""

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breaker.errors import Refused
from breaker.sources import EtcdSource
from breaker.sources.etcd.endpoints import parse_endpoints
from breaker.sources.etcd.gateway.connection import Connection
from breaker.sources.etcd.transport import Access, Limits
from etcd.conftest import Follow, fill, shuffle
from support.etcd.hostile import Hostile, honest, whole
from support.etcd.ports import free_ports
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.subjects import PATH, TRANSPORTS, Subjects
from support.etcd.tls import Tls
from support.watching import eventually


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path / "tls")


@pytest.fixture
def server(tmp_path: Path, tls: Tls) -> Iterator[Server]:
    with Server(tmp_path, tls=tls) as started:
        fill(started)
        yield started


def refused(subjects: Subjects, server: Server, *texts: str) -> None:
    subjects.eventually(lambda subject: subject.losses)
    time.sleep(6)
    for subject in subjects:
        (loss,) = subject.losses
        assert any(text in loss["error"] for text in texts), f"{subject.transport}: {loss['error']}"
        assert server.endpoint in loss["error"]
        assert subject.threshold("name-00") == 5


@pytest.mark.parametrize("scheme", ["", "https://"])
def test_with_the_authority_of_the_server(server: Server, tls: Tls, follow: Follow, scheme: str) -> None:
    subjects = follow(scheme + server.endpoint, ca=str(tls.ca))
    subjects.converge(server.api, 5)
    shuffle(server)
    subjects.converge(server.api, 2)
    for subject in subjects:
        subject.source.put("name-00", {"failureThreshold": 77})
        subjects.eventually(lambda each: each.threshold("name-00") == 77)
        server.api.delete(f"{PATH}name-00.json")
        subjects.eventually(lambda each: each.threshold("name-00") != 77)


def test_killed_and_cut(server: Server, tls: Tls, proxies: list[Proxy], follow: Follow) -> None:
    proxy = Proxy(server.port)
    proxies.append(proxy)
    subjects = follow(proxy.endpoint, ca=str(tls.ca))
    subjects.converge(server.api, 5)
    for fault in (proxy.cut, proxy.finish, server.restart):
        fault()
        shuffle(server)
        subjects.converge(server.api, 6, "TLS: cut, ended, restarted")


@pytest.mark.alone
@pytest.mark.timeout(90)
def test_blackholed_for_good(server: Server, tls: Tls, proxies: list[Proxy], follow: Follow) -> None:
    proxy = Proxy(server.port)
    proxies.append(proxy)
    subjects = follow(proxy.endpoint, ca=str(tls.ca))
    subjects.converge(server.api, 5)
    proxy.blackhole(old_only=True)
    cut = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 30, "TLS: old connections blackholed for good", cut)


def test_an_unknown_authority(server: Server, tmp_path: Path, follow: Follow) -> None:
    other = Tls(tmp_path / "other")
    refused(follow(server.endpoint, ca=str(other.ca)), server, "ca=")


def test_the_authorities_of_the_system_do_not_know_it(server: Server, follow: Follow) -> None:
    refused(follow(f"https://{server.endpoint}"), server, "ca=")


def test_a_certificate_for_another_name(tmp_path: Path, follow: Follow) -> None:
    tls = Tls(tmp_path / "tls", server_names="DNS:etcd.internal")
    with Server(tmp_path, tls=tls) as server:
        fill(server)
        refused(follow(server.endpoint, ca=str(tls.ca)), server, "server_name=")
        subjects = follow(server.endpoint, ca=str(tls.ca), server_name="etcd.internal")
        subjects.converge(server.api, 5)
        shuffle(server)
        subjects.converge(server.api, 2)


@pytest.mark.parametrize(
    ("begin", "end", "why", "advice"),
    [
        ("20200101000000Z", "20210101000000Z", "certificate has expired", "renew it"),
        ("20900101000000Z", "20910101000000Z", "certificate is not yet valid", "or renew it"),
    ],
)
def test_a_certificate_out_of_its_time_advises_to_renew_it_and_to_look_at_the_clock(
    tls: Tls, follow: Follow, begin: str, end: str, why: str, advice: str
) -> None:
    with Hostile(honest, tls.server_valid(begin, end)) as server:  # etcd itself does not start with it
        subjects = follow(f"HTTPS://{server.endpoint}", ca=str(tls.ca), traffic=False)
        subjects.eventually(lambda subject: subject.losses)
        for subject in subjects:
            (loss,) = subject.losses
            assert f"its certificate is not accepted ({why}); " in loss["error"]
            assert advice in loss["error"]
            assert "clock" in loss["error"]
            assert "pass ca=" not in loss["error"]
        subjects.close()


def test_a_server_that_demands_a_certificate(tmp_path: Path, tls: Tls, follow: Follow) -> None:
    with Server(tmp_path, tls=tls, client_auth=True) as server:
        fill(server)
        own = tls.client("program")
        with_own: dict[str, Any] = {"ca": str(tls.ca), "cert": str(own.cert), "key": str(own.key)}
        subjects = follow(server.endpoint, **with_own)
        subjects.converge(server.api, 5)
        shuffle(server)
        subjects.converge(server.api, 2)
        refused(follow(server.endpoint, ca=str(tls.ca)), server, "cert=")


@pytest.mark.parametrize(
    ("whose", "why", "advice"),
    [
        ("nobody's", "CERTIFICATE_REQUIRED", "pass cert= and key="),
        ("a stranger's", "UNKNOWN_CA", "pass cert= and key="),
        ("an expired one", "CERTIFICATE_EXPIRED", "renew it"),
    ],
)
def test_a_refusal_by_tls_1_3_tells_why(tls: Tls, tmp_path: Path, whose: str, why: str, advice: str) -> None:
    """It comes after the handshake, and the server hangs up on the request."""
    cert: str | None = None
    key: str | None = None
    if whose != "nobody's":
        stranger = Tls(tmp_path / "stranger").nameless
        pair = stranger if whose == "a stranger's" else tls.server_valid("20200101000000Z", "20210101000000Z")
        cert, key = str(pair.cert), str(pair.key)
    with Hostile(honest, tls.server, clients=tls.ca) as server:
        source = EtcdSource(f"https://{server.endpoint}", ca=str(tls.ca), policies_path=PATH, cert=cert, key=key)
        for _ in range(10):
            with pytest.raises(Refused, match=f"does not accept our certificate .*{why}.*{advice}"):
                source.list()


def test_a_certificate_that_is_an_identity(tmp_path: Path, tls: Tls, follow: Follow) -> None:
    """With users too, the gateway takes no certificate with a CommonName and says what to do; gRPC knows the user."""
    with Server(tmp_path, tls=tls, client_auth=True) as server:
        fill(server)
        own = tls.client("program")
        server.api.set_up_access("secret")
        server.api.add_reader("program", "unused", PATH)
        subjects = follow(server.endpoint, ca=str(tls.ca), cert=str(own.cert), key=str(own.key))
        documents = server.api.documents(PATH)
        for subject in subjects:
            if subject.transport == "gateway":
                subjects.eventually(lambda each: each.losses or each.transport != "gateway")
                assert "use transport='etcd3'" in subject.losses[0]["error"]
            else:
                assert not subject.differences(documents)
                server.api.put(f"{PATH}name-00.json", '{"failureThreshold": 77}')
                subjects.eventually(lambda each: each.transport == "gateway" or each.threshold("name-00") == 77)


def test_a_certificate_without_a_name_beside_a_password(tmp_path: Path, tls: Tls, follow: Follow) -> None:
    with Server(tmp_path, tls=tls, client_auth=True) as server:
        fill(server)
        server.api.set_up_access("secret")
        server.api.add_reader("reader", "first", PATH)
        own = {"cert": str(tls.nameless.cert), "key": str(tls.nameless.key)}
        subjects = follow(server.endpoint, ca=str(tls.ca), user="reader", password="first", **own)
        subjects.converge(server.api, 5)


@pytest.mark.parametrize("wrong", ["ca", "cert", "key"])
def test_files_that_cannot_be_read_are_the_callers_mistake(tls: Tls, tmp_path: Path, wrong: str) -> None:
    files: dict[str, Any] = {"ca": str(tls.ca), "cert": str(tls.server.cert), "key": str(tls.server.key)}
    files[wrong] = str(tmp_path / "absent")
    for transport in TRANSPORTS:
        with pytest.raises(OSError, match=r"absent.*No such file"):
            EtcdSource("127.0.0.1:2379", transport=transport, **files)


def test_files_that_hold_something_else_are_named(tls: Tls, tmp_path: Path) -> None:
    """A key with a password too: OpenSSL would ask for it at the terminal, and wait."""
    other, locked = tmp_path / "other.pem", tmp_path / "locked.key"
    other.write_text("nothing of that kind")
    command: list[str | Path] = [
        "openssl",
        "ec",
        "-in",
        tls.server.key,
        "-aes128",
        "-passout",
        "pass:secret",
        "-out",
        locked,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    good: dict[str, Any] = {"cert": str(tls.server.cert), "key": str(tls.server.key)}
    all_wrong: list[dict[str, Any]] = [
        {"ca": str(other)},
        good | {"cert": str(other)},
        good | {"key": str(other)},
        good | {"key": str(locked)},
    ]
    for wrong in all_wrong:
        with pytest.raises(OSError, match=r"(other\.pem|locked\.key).*PEM form and without a password"):
            EtcdSource("127.0.0.1:2379", **wrong)


def test_a_file_that_is_gone_later_is_named_in_the_line(
    server: Server, tls: Tls, tmp_path: Path, follow: Follow
) -> None:
    ca = tmp_path / "soon-gone.pem"
    ca.write_bytes(tls.ca.read_bytes())
    subjects = follow(server.endpoint, ca=str(ca))
    subjects.converge(server.api, 5)
    ca.unlink()
    server.restart()
    subjects.eventually(lambda subject: any("soon-gone.pem" in loss["error"] for loss in subject.losses))
    ca.write_bytes(tls.ca.read_bytes())
    shuffle(server)
    subjects.converge(server.api, 10, "TLS: the file of the authority gone and back")


def test_a_renewed_certificate_is_taken_at_the_next_connection(
    server: Server, tls: Tls, tmp_path: Path, follow: Follow
) -> None:
    """The authority is replaced, in the same file, before the server has its new certificate."""
    ca = tmp_path / "trusted.pem"
    ca.write_bytes(tls.ca.read_bytes())
    subjects = follow(server.endpoint, ca=str(ca))
    subjects.converge(server.api, 5)
    new = Tls(tmp_path / "new")
    ca.write_bytes(new.ca.read_bytes())
    for name in ("ca.pem", "server.pem", "server.key", "nameless.pem", "nameless.key"):
        (tmp_path / "tls" / name).write_bytes((tmp_path / "new" / name).read_bytes())
    server.stop()
    server.api = type(server.api)("127.0.0.1", server.port, tls.context())
    server.start()
    shuffle(server)
    subjects.converge(server.api, 10, "TLS: certificate and authority renewed")


def test_a_connection_outlives_what_tls_says_between_two_answers_but_no_other_words(tls: Tls) -> None:
    """As new keys and late tickets of TLS 1.3, which `openssl s_server` sends on demand."""
    place = f"127.0.0.1:{free_ports(1)[0]}"
    files = ("-cert", str(tls.server.cert), "-key", str(tls.server.key))
    command = ("openssl", "s_server", "-tls1_3", "-accept", place, *files)
    access = Access(None, None, str(tls.ca), None, None, None)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        said = iter(server.stdout.readline, b"")

        def answer() -> None:
            assert server.stdin is not None
            assert any(b"question" in line for line in said)
            server.stdin.write(*whole({}))

        assert any(b"ACCEPT" in line for line in said)
        connection = Connection(parse_endpoints(place, tls=True)[0], access, Limits(connect=3.0, request=3.0))
        connection.connect()
        for _ in range(2):
            answering = threading.Thread(target=answer)
            answering.start()
            assert connection.post("/", b"question\n", {}).body == b"{}"
            answering.join()
            assert connection.is_usable()
            server.stdin.write(b"k\n")  # new keys
            time.sleep(0.2)
            assert connection.is_usable()
        server.stdin.write(*whole(b"idle", "408 Request Time-out"))
        eventually(lambda: not connection.is_usable())
        assert not connection.is_usable()
        server.kill()
