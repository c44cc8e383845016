"""A server that is alive and answers nothing."""

import time

import pytest

from etcd.conftest import Follow, fill, shuffle
from support.etcd.server import Server
from support.etcd.subjects import PATH
from support.watching import eventually


@pytest.mark.alone
@pytest.mark.every_version
@pytest.mark.timeout(90)
def test_hung_for_twenty_seconds(server: Server, follow_filled: Follow) -> None:
    subjects = follow_filled(server.endpoint)
    server.pause()
    began = time.monotonic()
    subjects.eventually(lambda subject: subject.losses, 20)
    subjects.record("noticed a hung server after, by all", round(time.monotonic() - began, 1))
    for subject in subjects:
        assert "no answer in time" in subject.losses[0]["error"]
        assert not subject.status.connected
    time.sleep(max(0, began + 20 - time.monotonic()))
    server.resume()
    healed = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 6, "hung for 20 s", healed)
    subjects.eventually(lambda subject: subject.status.connected)
    for subject in subjects:
        assert (len(subject.losses), len(subject.returns)) == (1, 1)


@pytest.mark.filterwarnings("ignore:the provider of:RuntimeWarning")  # of more than 1,000 breakers
def test_breakers_are_made_without_asking_a_hung_server(server: Server, follow: Follow) -> None:
    server.api.put(f"{PATH}new-07.json", '{"failureThreshold": 7}')
    subjects = follow(server.endpoint)
    subjects.converge(server.api, 5)
    server.pause()
    try:
        for subject in subjects:
            began = time.perf_counter()
            for number in range(1000):
                subject.provider.get_breaker(f"new-{number:02}")
            assert time.perf_counter() - began < 1
            assert subject.threshold("new-07") == 7
    finally:
        server.resume()


def test_a_hung_server_delays_construction_by_the_limit_and_no_more(server: Server, follow: Follow) -> None:
    fill(server)
    server.pause()
    subjects = follow(server.endpoint, provider={"start_timeout": 0.7})
    for subject in subjects:
        assert 0.7 <= subject.construction < 1.7
    server.resume()
    subjects.converge(server.api, 10)


def test_short_hangs_are_sat_out(server: Server, follow_filled: Follow) -> None:
    """Shorter than the time limit of a check: no connection is given up, nothing is reported."""
    subjects = follow_filled(server.endpoint, check_interval=0.5)
    for _ in range(4):
        server.pause()
        time.sleep(0.7)
        server.resume()
        shuffle(server)
        subjects.converge(server.api, 6)
    for subject in subjects:
        assert subject.losses == []
        assert subject.status.reconnects == 0


def test_many_checks_find_nothing_wrong_where_nothing_is(server: Server, follow: Follow) -> None:
    fill(server)
    subjects = follow(server.endpoint, check_interval=0.02)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        shuffle(server)
    subjects.converge(server.api, 5)
    server.api.delete_below(PATH)
    eventually(lambda: all(subject.threshold("name-00") == 5 for subject in subjects))
    time.sleep(0.5)
    for subject in subjects:
        assert subject.losses == []
        assert subject.status.reconnects == 0
