"""Users, passwords, tokens that expire, and permissions."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from breaker.errors import SourceError
from etcd.conftest import Follow, fill, shuffle
from support.etcd.binaries import Binary
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.subjects import PATH, Subject

READER = {"user": "reader", "password": "first"}


@pytest.fixture
def server(tmp_path: Path, binary: Binary) -> Iterator[Server]:
    """A server with authentication on, and tokens that live for five seconds."""
    with Server(tmp_path, binary, "--auth-token-ttl", "5") as started:
        fill(started)
        started.api.set_up_access("secret")
        started.api.add_reader("reader", "first", PATH)
        yield started


def says(subject: Subject, text: str) -> bool:
    """That etcd is lost was reported, with this text, and no secret."""
    assert "first" not in str(subject.lines.lines)
    return any(text in loss["error"] for loss in subject.losses)


@pytest.mark.alone
@pytest.mark.every_version
@pytest.mark.timeout(120)
def test_password_changed_and_restored(server: Server, proxy: Proxy, follow: Follow) -> None:
    subjects = follow(proxy.endpoint, **READER)
    subjects.converge(server.api, 5)
    time.sleep(6)  # the token has expired; the watch goes on being fed, and checks log in again
    shuffle(server)
    subjects.converge(server.api, 2, "token expired")
    server.api.change_password("reader", "second")
    proxy.cut()
    shuffle(server)
    subjects.eventually(lambda subject: says(subject, "refused the user or the password"), 20)
    time.sleep(6)
    for subject in subjects:
        assert len(subject.losses) <= 2, "reported once for what happened and once for what it means, at most"
    server.api.change_password("reader", "first")
    restored = time.monotonic()
    subjects.converge(server.api, 10, "password changed and restored", restored)
    subjects.eventually(lambda subject: subject.status.connected)


@pytest.mark.alone
@pytest.mark.every_version
def test_token_expired_then_cut(server: Server, proxy: Proxy, follow: Follow) -> None:
    subjects = follow(proxy.endpoint, **READER)
    subjects.converge(server.api, 5)
    time.sleep(6)
    proxy.cut()
    shuffle(server)
    subjects.converge(server.api, 10, "token expired, then cut")


@pytest.mark.alone
def test_a_long_time_with_short_tokens_is_quiet(server: Server, follow: Follow) -> None:
    """Checks come more often than tokens expire; each is refused once, and answered after another login."""
    subjects = follow(server.endpoint, **READER, check_interval=1.0)
    subjects.converge(server.api, 5)
    for _ in range(4):
        time.sleep(4)
        shuffle(server)
        subjects.converge(server.api, 2)
    for subject in subjects:
        assert subject.losses == []
        assert subject.status.reconnects == 0


@pytest.mark.alone
def test_killed_with_authentication_on(server: Server, follow: Follow) -> None:
    subjects = follow(server.endpoint, **READER)
    subjects.converge(server.api, 5)
    server.kill()
    time.sleep(1)
    server.start()
    healed = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 6, "killed, with authentication", healed)


@pytest.mark.every_version
@pytest.mark.parametrize(
    ("access", "said"),
    [
        ({"user": "reader", "password": "wrong"}, "refused the user or the password; check user= and password="),
        ({"user": "nobody", "password": "wrong"}, "refused the user or the password; check user= and password="),
        ({}, "demands a user; pass user= and password="),
    ],
    ids=["wrong password", "unknown user", "no user"],
)
def test_a_refused_user_is_reported_once_and_the_program_goes_on(
    server: Server, follow: Follow, access: dict[str, str], said: str
) -> None:
    subjects = follow(server.endpoint, **access)
    subjects.eventually(lambda subject: subject.losses)
    time.sleep(6)  # longer than the pause between two attempts
    for subject in subjects:
        (loss,) = subject.losses
        assert said in loss["error"], loss
        assert server.endpoint in loss["error"]
        assert subject.threshold("name-00") == 5
        assert subject.construction < 2, "there is nothing to wait for"
        with pytest.raises(SourceError, match=said[:30]):
            subject.source.list()


@pytest.mark.every_version
def test_a_prefix_without_permission_is_reported_once(server: Server, follow: Follow) -> None:
    server.api.add_reader("other", "pass", "/config/dev/other/")
    subjects = follow(server.endpoint, user="other", password="pass")
    subjects.eventually(lambda subject: subject.losses)
    time.sleep(6)
    for subject in subjects:
        (loss,) = subject.losses
        assert "denies permission; let a role of the user read the prefix" in loss["error"]
        assert "etcdctl role grant-permission" in loss["error"]
        assert subject.threshold("name-00") == 5


@pytest.mark.alone
def test_permission_taken_while_connected_and_given_again(server: Server, proxy: Proxy, follow: Follow) -> None:
    subjects = follow(proxy.endpoint, **READER, check_interval=2.0)
    subjects.converge(server.api, 5)
    before = {subject.transport: subject.threshold("name-00") for subject in subjects}
    server.api.call("auth/user/revoke", name="reader", role="reader")
    subjects.eventually(lambda subject: says(subject, "denies permission"), 20)
    assert {subject.transport: subject.threshold("name-00") for subject in subjects} == before
    server.api.call("auth/user/grant", user="reader", role="reader")
    granted = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 10, "permission taken and given", granted)


def test_a_reader_may_not_write_and_a_writer_may(server: Server, follow: Follow) -> None:
    server.api.add_reader("writer", "pass", PATH, kind="READWRITE")
    readers = follow(server.endpoint, traffic=False, **READER)
    writers = follow(server.endpoint, traffic=False, user="writer", password="pass")
    for subject in readers:
        with pytest.raises(SourceError, match="denies permission"):
            subject.source.put("name-00", {"failureThreshold": 3})
        with pytest.raises(SourceError, match="denies permission"):
            subject.source.delete("name-00")
    for number, subject in enumerate(writers, 10):
        subject.source.put("name-00", {"failureThreshold": number})
        readers.eventually(lambda each, number=number: each.threshold("name-00") == number, 5)


@pytest.mark.alone
@pytest.mark.every_version
def test_authentication_switched_on_and_off_under_a_running_program(
    tmp_path: Path, binary: Binary, follow: Follow
) -> None:
    """A program that has a user is served by a server that has none yet."""
    with Server(tmp_path / "open", binary) as server:
        fill(server)
        subjects = follow(server.endpoint, **READER)
        subjects.eventually(lambda subject: subject.losses or not subject.differences(server.api.documents(PATH)))
        server.api.add_reader("reader", "first", PATH)
        server.api.set_up_access("secret")
        enabled = time.monotonic()
        shuffle(server)
        subjects.converge(server.api, 20, "authentication switched on", enabled)
