"""Three members: the one that a program is connected to dies, hangs, or is cut off from the other two."""

import time
from pathlib import Path

import pytest

from etcd.conftest import Follow, fill, shuffle
from support.etcd.binaries import Binary
from support.etcd.cluster import Cluster
from support.etcd.server import Server
from support.etcd.subjects import Subjects

pytestmark = [pytest.mark.alone, pytest.mark.timeout(120)]


def connected(cluster: Cluster, follow: Follow) -> tuple[Subjects, Server]:
    """Providers that happen to be connected to one and the same member, with the two others to turn to."""
    fill(cluster.members[0])
    for _ in range(50):
        subjects = follow(cluster.endpoints, traffic=False)
        subjects.converge(cluster.members[0].api, 10)
        members = {cluster.at(subject.status.endpoint).name for subject in subjects}
        if len(members) == 1:
            subjects.start_traffic()
            return subjects, next(member for member in cluster.members if member.name in members)
        subjects.close()
    raise AssertionError("no two providers went to the same member")


@pytest.mark.every_version
def test_the_connected_member_is_killed_for_good(tmp_path: Path, binary: Binary, follow: Follow) -> None:
    with Cluster(tmp_path, binary) as cluster:
        subjects, victim = connected(cluster, follow)
        victim.kill()
        killed = time.monotonic()
        one, other = cluster.others(victim)
        cluster.wait_for_leader([one, other])
        shuffle(one)
        subjects.converge(other.api, 10, "the connected member of three killed", killed)
        for subject in subjects:
            assert cluster.at(subject.status.endpoint) is not victim
        shuffle(other)
        subjects.converge(one.api, 2)


@pytest.mark.every_version
def test_the_connected_member_is_partitioned_from_the_others(tmp_path: Path, binary: Binary, follow: Follow) -> None:
    with Cluster(tmp_path, binary) as cluster:
        subjects, victim = connected(cluster, follow)
        cluster.partition(victim)
        cut = time.monotonic()
        one, other = cluster.others(victim)
        shuffle(one)
        subjects.converge(other.api, 30, "the connected member of three partitioned", cut)
        for subject in subjects:
            assert cluster.at(subject.status.endpoint) is not victim
        cluster.heal()
        cluster.wait_for_leader(cluster.members)
        shuffle(victim)
        subjects.converge(other.api, 30, "the partition healed")


def test_the_connected_member_hangs(tmp_path: Path, follow: Follow) -> None:
    with Cluster(tmp_path) as cluster:
        subjects, victim = connected(cluster, follow)
        victim.pause()
        hung = time.monotonic()
        one, other = cluster.others(victim)
        cluster.wait_for_leader([one, other])
        shuffle(one)
        subjects.converge(other.api, 30, "the connected member of three hangs", hung)


def test_one_member_after_the_other_is_restarted(tmp_path: Path, follow: Follow) -> None:
    """As in an upgrade: there is a majority all the time."""
    with Cluster(tmp_path) as cluster:
        subjects, _ = connected(cluster, follow)
        for member in cluster.members:
            member.restart()
            cluster.wait_for_leader(cluster.members)
            shuffle(member)
            subjects.converge(cluster.members[0].api, 10, "a member of three restarted")


def test_without_a_majority_nothing_changes_and_with_it_all_is_caught_up(tmp_path: Path, follow: Follow) -> None:
    with Cluster(tmp_path) as cluster:
        subjects, victim = connected(cluster, follow)
        before = {subject.transport: subject.threshold("name-00") for subject in subjects}
        lost = cluster.others(victim)
        for member in lost:
            member.kill()
        subjects.eventually(lambda subject: subject.losses, 30)
        assert {subject.transport: subject.threshold("name-00") for subject in subjects} == before
        for member in lost:
            member.start(wait=False)
        cluster.wait_for_leader(cluster.members)
        healed = time.monotonic()
        shuffle(victim)
        subjects.converge(victim.api, 10, "the majority lost and back", healed)
        subjects.eventually(lambda subject: subject.returns)  # when it watches again; what is listed is in force before
        for subject in subjects:
            assert (len(subject.losses), len(subject.returns)) == (1, 1)
