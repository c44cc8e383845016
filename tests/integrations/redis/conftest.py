"""A real Redis for the tests, one for all of them, up and empty at the beginning of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.servers.binaries import REDIS
from support.servers.redis import Redis


@pytest.fixture(scope="session")
def started_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    if REDIS is None:
        pytest.skip("Redis is not installed here: tools/debian_servers.sh brings Debian's")
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def server(started_redis: Redis) -> Iterator[Redis]:
    """It may be stopped, hung and started by the test."""
    if not started_redis.is_up:
        started_redis.start()
    started_redis.ask("FLUSHALL")
    started_redis.ask("CONFIG RESETSTAT")
    yield started_redis
    if started_redis.is_up:
        started_redis.resume()
