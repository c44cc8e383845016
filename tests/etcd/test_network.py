"""The network between a program and its server: cut, refused, silent; history forgotten meanwhile."""

import time
from collections.abc import Callable

import pytest

from etcd.conftest import NAMES, Follow, shuffle
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.subjects import PATH


@pytest.mark.every_version
@pytest.mark.parametrize("how", [Proxy.cut, Proxy.finish], ids=["reset", "ended"])
def test_connections_cut(server: Server, proxy: Proxy, follow_filled: Follow, how: Callable[[Proxy], None]) -> None:
    subjects = follow_filled(proxy.endpoint)
    for _ in range(5):
        how(proxy)
        shuffle(server)
        subjects.converge(server.api, 30, f"connections {'reset' if how is Proxy.cut else 'ended'}")


@pytest.mark.alone
def test_refused_for_three_seconds(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    subjects = follow_filled(proxy.endpoint)
    proxy.refuse()
    shuffle(server)
    time.sleep(3)
    proxy.heal()
    healed = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 30, "cut and refused for 3 s", healed)
    subjects.eventually(lambda subject: subject.returns)  # when it watches again; what is listed is in force before
    for subject in subjects:
        assert (len(subject.losses), len(subject.returns)) == (1, 1)


@pytest.mark.alone
@pytest.mark.every_version
def test_compacted_while_cut_off(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    """What was changed and deleted meanwhile is no longer in any history."""
    subjects = follow_filled(proxy.endpoint)
    proxy.refuse()
    for _ in range(5):
        shuffle(server)
    server.api.delete(f"{PATH}default.json")
    server.api.compact(server.api.revision())
    time.sleep(3)
    proxy.heal()
    subjects.converge(server.api, 6, "compacted while cut off")
    shuffle(server)
    subjects.converge(server.api, 1)


@pytest.mark.alone
@pytest.mark.timeout(90)
def test_old_connections_blackholed_for_good(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    """As by a firewall that has forgotten them: nothing ends, nothing comes; new connections work."""
    subjects = follow_filled(proxy.endpoint)
    proxy.blackhole(old_only=True)
    began = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 30, "old connections blackholed for good", began)
    shuffle(server)
    subjects.converge(server.api, 2)


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_everything_blackholed_for_twenty_seconds(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    subjects = follow_filled(proxy.endpoint)
    proxy.blackhole()
    began = time.monotonic()
    shuffle(server)
    subjects.eventually(lambda subject: subject.losses, 20)
    time.sleep(max(0, began + 20 - time.monotonic()))
    shuffle(server)
    proxy.heal()
    healed = time.monotonic()
    subjects.converge(server.api, 30, "everything blackholed for 20 s", healed)
    subjects.eventually(lambda subject: subject.status.connected)
    for subject in subjects:
        assert (len(subject.losses), len(subject.returns)) == (1, 1)


@pytest.mark.alone
def test_a_short_silence_loses_nothing(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    """Shorter than any limit: what was held back arrives, and the connection goes on."""
    subjects = follow_filled(proxy.endpoint)
    for _ in range(3):
        proxy.blackhole()
        shuffle(server)
        time.sleep(1)
        proxy.heal()
        subjects.converge(server.api, 6, "silent for 1 s")
    for subject in subjects:
        assert subject.losses == []


def test_three_thousand_revisions_behind_and_thirty_cuts(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    subjects = follow_filled(proxy.endpoint)
    for number in range(30):
        documents = [(f"{PATH}{name}.json", f'{{"failureThreshold": {number + 1}}}') for name in NAMES]
        server.api.burst(documents * 3 + [(f"{PATH}last.json", b"{}")] * 10)
        proxy.cut()
    subjects.converge(server.api, 10, "3,000 revisions and 30 cuts")


@pytest.mark.alone
def test_an_outage_costs_next_to_nothing(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    """No hot loop of attempts, whether the port is closed or whoever accepts it says nothing."""
    subjects = follow_filled(proxy.endpoint, traffic=False)
    proxy.refuse()
    time.sleep(0.5)
    began, before = time.process_time(), proxy.connections
    time.sleep(5)
    used = time.process_time() - began
    subjects.record("CPU seconds of 5 s of outage, all transports", round(used, 3))
    assert used < 0.5 * len(subjects)
    assert proxy.connections == before
    proxy.heal()
    subjects.converge(server.api, 6)


@pytest.mark.alone
def test_a_server_that_hangs_up_at_once_is_not_besieged(server: Server, proxy: Proxy, follow_filled: Follow) -> None:
    subjects = follow_filled(proxy.endpoint, traffic=False)
    proxy.refuse()
    target, proxy.target = proxy.target, 1  # nothing listens there: whoever is accepted is reset
    proxy.heal()
    before, began = proxy.connections, time.process_time()
    time.sleep(5)
    attempts = proxy.connections - before
    assert attempts <= 25 * len(subjects), f"{attempts} connections in 5 s"
    assert time.process_time() - began < 0.7 * len(subjects)
    proxy.refuse()
    proxy.target = target
    proxy.heal()
    subjects.converge(server.api, 6)
