"""A broker, a dependency, and a worker for each pool, started once for all tests."""

from collections.abc import Iterator

import pytest

from support.celery_worker import POOLS, Worker
from support.http.server import Server
from support.servers.binaries import REDIS
from support.servers.redis import Redis


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    if REDIS is None:
        pytest.skip("Redis is not installed here: tools/debian_servers.sh brings Debian's")
    with Redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def dependency() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def workers(broker: Redis, dependency: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """One for each pool, started together."""
    running = {pool: Worker(pool, broker, dependency, tmp_path_factory.mktemp(pool)) for pool in POOLS}
    yield running
    for worker in running.values():
        worker.end()


@pytest.fixture(params=POOLS)
def worker(request: pytest.FixtureRequest, workers: dict[str, Worker]) -> Worker:
    return workers[request.param]
