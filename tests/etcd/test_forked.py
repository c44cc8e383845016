"""Fork while connected: parent and child both follow, each by connections of its own."""

import time

import pytest

from breaker import Provider
from breaker.sources import EtcdSource
from etcd.conftest import NAMES, Follow, fill, shuffle
from support.drive import CONFIG
from support.etcd.server import Server
from support.etcd.subjects import LOST, PATH, TRANSPORTS, Subject, open_sockets, status_of
from support.processes import fork_and_check
from support.threads import Crowd
from support.watching import eventually


def follows(subjects: list[Subject], server: Server, threshold: int) -> None:
    """Each obeys a document that is written now."""
    server.api.put(f"{PATH}{NAMES[0]}.json", f'{{"failureThreshold": {threshold}}}')
    for subject in subjects:
        eventually(lambda subject=subject: subject.threshold(NAMES[0]) == threshold, 10)


@pytest.mark.alone
@pytest.mark.every_version
@pytest.mark.timeout(90)
def test_parent_and_child_both_converge(server: Server, follow_filled: Follow) -> None:
    subjects = follow_filled(server.endpoint)
    server.api.close()  # or both would speak over the same socket

    def child() -> None:
        began = time.monotonic()
        documents = server.api.documents(PATH)
        for subject in subjects:
            eventually(lambda subject=subject: not subject.differences(documents))
            eventually(lambda subject=subject: subject.status.connected)
        follows(subjects, server, 71)
        took = time.monotonic() - began
        assert took < 10, f"the child followed after {took:.1f} s"
        for subject in subjects:
            # A watch that gRPC begins in a child is now and then not confirmed; the next one is.
            assert len(subject.lines.of(LOST)) <= (subject.transport == "etcd3"), subject.transport
            began = time.monotonic()
            subject.provider.close()
            assert time.monotonic() - began < 2

    for _ in range(3):
        fork_and_check(child, 40)
        follows(subjects, server, 72)
        shuffle(server)
        subjects.converge(server.api, 2, "after a fork, the parent")
    for subject in subjects:
        assert subject.losses == []
        if subject.transport == "gateway":  # gRPC does not carry a call over a fork
            assert subject.status.reconnects == 0, "the parent's connection was disturbed"


@pytest.mark.alone
def test_a_fork_while_etcd_is_away(server: Server, follow_filled: Follow) -> None:
    subjects = follow_filled(server.endpoint)
    server.kill()
    time.sleep(1)

    def child() -> None:
        # The parent starts the server again; the child has no more of it than its address.
        for subject in subjects:
            eventually(lambda subject=subject: subject.threshold(NAMES[0]) == 4711, 25)
            subject.provider.close()

    crowd = Crowd()
    crowd.start(fork_and_check, child, 40)
    time.sleep(1)
    server.start()
    server.api.put(f"{PATH}{NAMES[0]}.json", '{"failureThreshold": 4711}')
    subjects.converge(server.api, 6)
    crowd.join(40)


@pytest.mark.alone
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_many_forks_under_changes(transport: str, server: Server) -> None:
    """At any moment of the watch: the child neither hangs nor takes anything from the parent."""
    fill(server)
    with Provider(CONFIG, policy_source=EtcdSource(server.endpoint, transport=transport)) as provider:
        breaker = provider.get_breaker(NAMES[0])

        def child() -> None:
            eventually(lambda: status_of(provider).connected, 15)
            provider.close()

        for number in range(30):
            server.api.burst(
                (f"{PATH}{NAMES[0]}.json", f'{{"failureThreshold": {number * 10 + n + 1}}}') for n in range(10)
            )
            fork_and_check(child, 20)
            eventually(lambda number=number: breaker.policy.failure_threshold == number * 10 + 10, 5)
        assert status_of(provider).last_error is None
        assert transport == "etcd3" or status_of(provider).reconnects == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_child_of_a_child(transport: str, server: Server) -> None:
    fill(server)
    with Provider(CONFIG, policy_source=EtcdSource(server.endpoint, transport=transport)) as provider:

        def grandchild() -> None:
            eventually(lambda: status_of(provider).connected, 15)
            assert provider.get_breaker(NAMES[0]).policy.failure_threshold == int(server.api.documents(PATH)["n.json"])

        def child() -> None:
            eventually(lambda: status_of(provider).connected, 15)
            fork_and_check(grandchild, 20)

        server.api.put(f"{PATH}n.json", str(provider.get_breaker(NAMES[0]).policy.failure_threshold))
        server.api.close()
        fork_and_check(child, 30)
        assert status_of(provider).connected


def test_the_child_of_the_gateway_keeps_no_socket_of_the_parent(server: Server) -> None:
    fill(server)
    before = open_sockets()
    with Provider(CONFIG, policy_source=EtcdSource(server.endpoint)) as provider:
        server.api.close()
        eventually(lambda: len(open_sockets() - before) == 2)  # one for requests, one for the watch
        parents = open_sockets() - before

        def child() -> None:
            eventually(lambda: status_of(provider).connected and not open_sockets() & parents, 10)
            provider.close()
            eventually(lambda: open_sockets() <= before, 5)

        fork_and_check(child)
        assert open_sockets() - before == parents


def test_put_in_a_child(server: Server) -> None:
    for transport in TRANSPORTS:
        source = EtcdSource(server.endpoint, transport=transport, policies_path=PATH)
        source.put("before", {"failureThreshold": 2})

        def child(source: EtcdSource = source) -> None:
            source.put("after", {"failureThreshold": 3})
            assert sorted(source.list()) == ["after", "before"]

        fork_and_check(child)
        assert source.delete("after")
