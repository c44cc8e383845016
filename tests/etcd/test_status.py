"""What a program and an operator learn: status, events and log lines, one per episode."""

import time

import pytest

from breaker import Config, Provider
from breaker.events import SourceLost, SourceRegained
from breaker.sources import MemorySource
from etcd.conftest import Follow, fill
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.subjects import LOST, PATH, REGAINED, status_of
from support.reading import of_type
from support.watching import eventually


def test_without_a_source_there_is_no_status() -> None:
    with Provider(Config("svc", PATH)) as provider:
        assert provider.source_status is None


def test_a_source_in_memory_has_a_status_too() -> None:
    with Provider(Config("svc", PATH), policy_source=MemorySource()) as provider:
        assert status_of(provider).last_error is None


@pytest.mark.every_version
def test_the_status_follows_the_connection(server: Server, follow: Follow) -> None:
    before = time.time()
    fill(server)
    subjects = follow(server.endpoint)
    for subject in subjects:
        status = subject.status
        assert status.connected
        assert status.endpoint == f"http://{server.endpoint}"
        assert status.revision == server.api.revision()
        assert status.last_change is not None
        assert before <= status.last_change <= time.time()
        assert (status.last_error, status.reconnects) == (None, 0)
    changed = time.time()
    revision = server.api.put(f"{PATH}name-00.json", '{"failureThreshold": 3}')
    subjects.eventually(lambda subject: subject.status.revision == revision)
    server.api.put("/elsewhere", "moves the revision of the store and concerns nobody")
    for subject in subjects:
        last_change = subject.status.last_change
        assert last_change is not None
        assert changed <= last_change <= time.time()
    server.kill()
    subjects.eventually(lambda subject: not subject.status.connected)
    subjects.eventually(lambda subject: "nothing listens there" in str(subject.status.last_error))
    for subject in subjects:
        status = subject.status
        assert (status.revision, status.reconnects) == (revision, 0)
    server.start()
    subjects.eventually(lambda subject: subject.status.connected)
    for subject in subjects:
        status = subject.status
        assert status.reconnects == 1
        assert status.last_change is not None
        assert status.last_change < time.time() - 0.1 or status.last_change <= time.time()
        subject.provider.close()
        assert not subject.status.connected
        assert subject.status.endpoint == f"http://{server.endpoint}"


@pytest.mark.alone
def test_one_event_and_one_line_for_a_loss_and_for_a_return(
    server: Server, proxy: Proxy, follow_filled: Follow
) -> None:
    subjects = follow_filled(proxy.endpoint)
    for episode in range(1, 4):
        proxy.refuse()
        subjects.eventually(lambda subject, episode=episode: len(subject.losses) == episode)
        time.sleep(2)  # several attempts
        proxy.heal()
        subjects.eventually(lambda subject, episode=episode: len(subject.returns) == episode)
        for subject in subjects:
            lost, regained = of_type(subject.heard, SourceLost), of_type(subject.heard, SourceRegained)
            assert (len(lost), len(regained)) == (episode, episode)
            assert lost[-1].endpoint == regained[-1].endpoint == f"http://{proxy.endpoint}"
            assert regained[-1].revision == server.api.revision()
            assert subject.losses[-1]["error"] == lost[-1].error
            lines = [(level, message) for level, message, _ in subject.lines.lines if message in (LOST, REGAINED)]
            assert lines == [("error", LOST), ("info", REGAINED)] * episode
            assert subject.status.reconnects == episode


def test_a_connection_that_is_cut_and_back_at_once_is_one_episode(
    server: Server, proxy: Proxy, follow_filled: Follow
) -> None:
    subjects = follow_filled(proxy.endpoint)
    proxy.cut()
    subjects.eventually(lambda subject: subject.status.reconnects == 1)
    eventually(lambda: all(len(subject.losses) == len(subject.returns) <= 1 for subject in subjects))


def test_a_program_without_a_logger_is_silent(
    server: Server, follow_filled: Follow, capfd: pytest.CaptureFixture[str]
) -> None:
    subjects = follow_filled(server.endpoint, provider={"logger": None})
    server.kill()
    subjects.eventually(lambda subject: not subject.status.connected)
    server.start()
    subjects.eventually(lambda subject: subject.status.connected)
    for subject in subjects:
        assert len(of_type(subject.heard, SourceLost)) == len(of_type(subject.heard, SourceRegained)) == 1
    subjects.close()
    assert capfd.readouterr() == ("", "")


def test_a_logger_that_fails_stops_nothing(server: Server, follow: Follow, capfd: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def error(self, *_: object, **__: object) -> None:
            raise RuntimeError("no disk")

        debug = info = warning = error

    fill(server)
    subjects = follow(server.endpoint, provider={"logger": Broken()})
    server.restart()
    server.api.put(f"{PATH}name-00.json", '{"failureThreshold": 3}')
    subjects.converge(server.api, 6)
    subjects.close()
    capfd.readouterr()  # the failures were reported there
