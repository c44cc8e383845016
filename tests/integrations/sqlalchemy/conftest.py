"""A real PostgreSQL for the tests, one for all of them, up and empty at the beginning of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.servers.binaries import POSTGRES
from support.servers.postgres import Postgres


@pytest.fixture(scope="session")
def started_postgres() -> Iterator[Postgres]:
    if POSTGRES is None:
        pytest.skip("PostgreSQL is not installed here: tools/debian_servers.sh brings Debian's")
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def postgres(started_postgres: Postgres) -> Iterator[Postgres]:
    """It may be stopped, hung and started by the test."""
    if not started_postgres.is_up:
        started_postgres.start()
    yield started_postgres
    if started_postgres.is_up:
        started_postgres.resume()
