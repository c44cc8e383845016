"""A server that ends and comes back: killed, late, wiped, restored."""

import time

import pytest

from etcd.conftest import Follow, fill, shuffle
from support.etcd.server import Server


@pytest.mark.every_version
def test_killed_and_restarted_after_three_seconds(server: Server, follow: Follow) -> None:
    fill(server)
    subjects = follow(server.endpoint)
    subjects.converge(server.api, 5)
    server.kill()
    time.sleep(3)
    for subject in subjects:
        assert len(subject.losses) == 1
        assert subject.returns == []
        assert not subject.provider.source_status.connected
    server.start()
    healed = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 6, "killed for 3 s", healed)
    for subject in subjects:
        assert (len(subject.losses), len(subject.returns)) == (1, 1)
