"""A real PostgreSQL and MariaDB for the tests, one for all of them, up at the beginning of each; a file of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from breaker import Breaker, Provider
from breaker.integrations.sqlalchemy import protect
from support.servers.binaries import MARIADB, POSTGRES
from support.servers.engines import POSTGRES_DRIVERS
from support.servers.mariadb import MariaDB
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


@pytest.fixture(scope="session")
def started_mariadb() -> Iterator[MariaDB]:
    if MARIADB is None:
        pytest.skip("MariaDB is not installed here: tools/debian_servers.sh brings Debian's")
    server = MariaDB()
    yield server
    server.close()


@pytest.fixture
def mariadb(started_mariadb: MariaDB) -> Iterator[MariaDB]:
    """The same."""
    if not started_mariadb.is_up:
        started_mariadb.start()
    yield started_mariadb
    if started_mariadb.is_up:
        started_mariadb.resume()


@pytest.fixture(params=POSTGRES_DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def db(patient: Provider) -> Breaker:
    return patient.get_breaker("db")


@pytest.fixture
def lite(patient: Provider, tmp_path: Path) -> Iterator[sa.Engine]:
    """SQLite with a table ``t``, and no call counted yet."""
    plain = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with plain.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    plain.dispose()
    engine = protect(sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}"), patient, name="db")
    with engine.connect():
        pass
    yield engine
    engine.dispose()
