"""An etcd behind nginx or haproxy as they stand in the field: idle connections are cut, answers are buffered."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from breaker import Provider
from breaker.sources import EtcdSource
from etcd.conftest import fill
from support.drive import CONFIG
from support.etcd import fronts
from support.etcd.fronts import Front, haproxy, nginx, nginx_of_grpc
from support.etcd.server import Server
from support.etcd.subjects import PATH, Belongings, Subject, expected
from support.processes import FREE_THREADED
from support.watching import eventually

pytestmark = pytest.mark.timeout(90)
Place = Callable[[Path, int], Front]

with_nginx = pytest.mark.skipif(fronts.NGINX is None, reason="no nginx here; tools/debian_servers.sh installs it")
with_haproxy = pytest.mark.skipif(fronts.HAPROXY is None, reason="no haproxy here; tools/debian_servers.sh installs it")
with_grpc = pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds")

CUTS = [
    pytest.param(
        "gateway",
        partial(nginx, options="proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1s;"),
        marks=with_nginx,
        id="nginx, read timeout",
    ),
    pytest.param(
        "gateway",
        partial(nginx, options="proxy_buffering off; proxy_read_timeout 1s;"),
        marks=with_nginx,
        id="nginx, HTTP/1.0 upstream",
    ),
    pytest.param(
        "etcd3",
        partial(nginx_of_grpc, options="grpc_read_timeout 1s;"),
        marks=[with_nginx, with_grpc],
        id="nginx of gRPC",
    ),
    pytest.param(
        "gateway", partial(haproxy, mode="http", options="timeout server 1s"), marks=with_haproxy, id="haproxy, http"
    ),
    pytest.param(
        "gateway", partial(haproxy, mode="tcp", options="timeout client 1s"), marks=with_haproxy, id="haproxy, tcp"
    ),
    pytest.param(
        "etcd3",
        partial(haproxy, mode="tcp", options="timeout tunnel 1s"),
        marks=[with_haproxy, with_grpc],
        id="haproxy, tcp and gRPC",
    ),
]


@pytest.fixture
def subject_at() -> Iterator[Callable[..., Subject]]:
    """``subject_at(endpoint, transport, **options)``: a program; closed in time, with nothing left."""
    before = Belongings()
    made: list[Subject] = []

    def start(endpoint: str, transport: str, **options: Any) -> Subject:
        source = EtcdSource(endpoint, transport=transport, **options)
        made.append(Subject(transport, source, ["name-00", "name-01"]))
        return made[-1]

    yield start
    for subject in made:
        assert subject.close() < 2.5
    before.check_nothing_is_left()


def follows(subject: Subject, server: Server, threshold: int, seconds: float) -> float:
    """Change a document, and wait until it is obeyed. Returns the seconds that took."""
    server.api.put(f"{PATH}name-00.json", f'{{"failureThreshold": {threshold}}}')
    began = time.monotonic()
    eventually(lambda: subject.threshold("name-00") == threshold, seconds)
    return time.monotonic() - began


@pytest.mark.alone
@pytest.mark.parametrize(("transport", "place"), CUTS)
def test_a_proxy_that_cuts_idle_watches_costs_no_line_and_no_change(
    server: Server, tmp_path: Path, subject_at: Callable[..., Subject], transport: str, place: Place
) -> None:
    fill(server)
    with place(tmp_path / "front", server.port) as front:
        subject = subject_at(front.endpoint, transport)
        assert not subject.differences(server.api.documents(PATH))
        deadline, threshold = time.monotonic() + 12, 1000
        while subject.status.reconnects < 5 or threshold < 1004:
            assert time.monotonic() < deadline, f"{subject.status}, {subject.lines.lines[-3:]}"
            time.sleep(1.3)  # cut once more
            threshold += 1
            follows(subject, server, threshold, 3)
        said = [line for line in subject.lines.lines if line[0] != "debug" and "policy source" in line[1]]
        assert said == []
        assert subject.status.connected
        subject.close()


@with_nginx
@pytest.mark.alone
def test_a_proxy_that_buffers_the_watch_delays_changes_and_is_named(
    server: Server, tmp_path: Path, subject_at: Callable[..., Subject]
) -> None:
    """As nginx is by default."""
    fill(server)
    with nginx(tmp_path / "front", server.port) as front:
        subject = subject_at(front.endpoint, "gateway", request_timeout=0.5)
        assert subject.construction < 1.5
        assert not subject.differences(server.api.documents(PATH))
        eventually(lambda: subject.losses, 5)
        for threshold in (2001, 2002):
            follows(subject, server, threshold, 8)  # by listing
        (loss,) = subject.losses
        assert front.endpoint in loss["error"]
        assert "answers requests and does not confirm the watch in time" in loss["error"]
        assert "nginx: proxy_buffering off" in loss["error"]
        assert subject.returns == []
        subject.close()


@with_nginx
@pytest.mark.alone
def test_an_etcd_that_is_gone_behind_its_proxy_is_lost_and_comes_back(
    server: Server, tmp_path: Path, subject_at: Callable[..., Subject]
) -> None:
    fill(server)
    options = "proxy_http_version 1.1; proxy_buffering off;"
    with nginx(tmp_path / "front", server.port, options) as front:
        subject = subject_at(front.endpoint, "gateway")
        server.kill()
        eventually(lambda: subject.losses)
        assert "cannot answer now (HTTP 502" in subject.losses[0]["error"]
        time.sleep(1)
        server.start()
        follows(subject, server, 3001, 10)
        eventually(lambda: subject.returns)
        assert (len(subject.losses), len(subject.returns)) == (1, 1)
        subject.close()


@with_nginx
def test_a_program_writes_through_a_proxy(server: Server, tmp_path: Path) -> None:
    """Which ends the connection after each answer."""
    with ExitStack() as stack:
        front = stack.enter_context(nginx(tmp_path / "front", server.port, "keepalive_timeout 0;"))
        source = EtcdSource(front.endpoint, policies_path=PATH)
        revision = source.put("name-00", {"failureThreshold": 5})
        source.put("name-00", {"failureThreshold": 6}, expected_revision=revision)
        assert expected(server.api.documents(PATH), "name-00").failure_threshold == 6
        assert source.delete("name-00")
        with Provider(CONFIG, policy_source=source, start_timeout=5) as provider:
            assert provider.get_breaker("name-00").policy.failure_threshold == 5
