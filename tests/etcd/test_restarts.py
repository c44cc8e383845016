"""A server that ends and comes back: killed, late, wiped, restored."""

import time
from pathlib import Path

import pytest

from etcd.conftest import Follow, fill, shuffle
from support.etcd.binaries import Binary
from support.etcd.server import Server
from support.etcd.subjects import PATH


@pytest.mark.alone
@pytest.mark.every_version
def test_killed_and_restarted_after_three_seconds(server: Server, follow_filled: Follow) -> None:
    subjects = follow_filled(server.endpoint)
    server.kill()
    time.sleep(3)
    for subject in subjects:
        assert len(subject.losses) == 1
        assert subject.returns == []
        assert not subject.status.connected
    server.start()
    healed = time.monotonic()
    shuffle(server)
    subjects.converge(server.api, 6, "killed for 3 s", healed)
    subjects.eventually(lambda subject: subject.returns)  # when it watches again; what is listed is in force before
    for subject in subjects:
        assert (len(subject.losses), len(subject.returns)) == (1, 1)


@pytest.mark.alone
def test_absent_at_the_start_and_there_after_ten_seconds(server: Server, follow: Follow) -> None:
    fill(server)
    server.kill()
    began = time.monotonic()
    subjects = follow(server.endpoint, provider={"start_timeout": 0.5})
    for subject in subjects:
        assert subject.construction < 1.5
        assert subject.threshold("name-00") == 5
    time.sleep(max(0, began + 10 - time.monotonic()))
    for subject in subjects:
        (loss,) = subject.losses
        assert "nothing listens there; check the endpoint" in loss["error"]
    server.start()
    subjects.converge(server.api, 6, "absent for 10 s at the start")


@pytest.mark.every_version
@pytest.mark.parametrize("refilled", [False, True], ids=["empty", "refilled"])
def test_wiped(server: Server, follow: Follow, refilled: bool) -> None:
    """The revisions of the new data are lower than those that were seen, and a watch for higher ones stays silent."""
    for _ in range(10):
        fill(server)
    before = server.api.revision()
    subjects = follow(server.endpoint)
    subjects.converge(server.api, 5)
    server.wipe()
    server.start()
    if refilled:
        server.api.put(f"{PATH}name-03.json", '{"failureThreshold": 1234}')
    healed = time.monotonic()
    assert server.api.revision() < before
    subjects.converge(server.api, 10, f"wiped, {'refilled' if refilled else 'empty'}", healed)
    fill(server)
    subjects.converge(server.api, 1)


def test_restored_from_a_snapshot_with_lower_revisions(server: Server, follow: Follow, tmp_path: Path) -> None:
    fill(server)
    server.snapshot(tmp_path / "snapshot")
    for _ in range(5):
        shuffle(server)
    before = server.api.revision()
    subjects = follow(server.endpoint)
    subjects.converge(server.api, 5)
    server.restore(tmp_path / "snapshot")
    server.start()
    healed = time.monotonic()
    assert server.api.revision() < before
    subjects.converge(server.api, 10, "restored from a snapshot", healed)
    shuffle(server)
    subjects.converge(server.api, 1)


def test_upgraded_in_place(tmp_path: Path, follow: Follow, binary: Binary) -> None:
    """Restarted by an operator: the connection ends in good manners."""
    with Server(tmp_path, binary) as server:
        fill(server)
        subjects = follow(server.endpoint)
        subjects.converge(server.api, 5)
        server.restart()
        shuffle(server)
        subjects.converge(server.api, 6, "restarted by SIGTERM")
        for subject in subjects:
            assert len(subject.losses) <= 1
