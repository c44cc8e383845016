"""MySQL's numbers: what they count as, with drivers of both kinds and a real MariaDB."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import create_async_engine

from breaker import Breaker, Provider, State
from breaker.integrations._sql_errors import FAILURE_SQLSTATES, Judge
from breaker.integrations.sqlalchemy import BreakerOpenDatabaseError, protect
from breaker.testing import ManualClock
from support.drive import cool
from support.reading import counts, since
from support.servers.engines import MYSQL_DRIVERS, Database, database, outcome
from support.servers.mariadb import CONNECTIONS, MariaDB

SUCCESS, FAILURE, IGNORED = {"successes": 1}, {"failures": 1}, {"ignored": 1}

NUMBERS = {
    1021: "failure",  # disk full
    1040: "failure",  # too many connections
    1053: "failure",  # shutdown in progress
    1062: "success",  # duplicate entry
    1064: "success",  # syntax
    1205: "success",  # lock wait timeout
    1213: "success",  # deadlock
    1290: "success",  # read-only
    1317: "ignored",  # interrupted by KILL QUERY
    1969: "failure",  # MariaDB's max_statement_time
    2002: "failure",  # no connection
    2006: "failure",  # gone away
    2013: "failure",  # lost during a query
    2014: "ignored",  # commands out of sync
    2055: "failure",  # lost connection, system error
    3024: "failure",  # max_execution_time
}


@pytest.mark.parametrize("backend", ["mysql", "mariadb"])
def test_numbers(backend: str) -> None:
    judge = Judge(SimpleNamespace(name=backend, loaded_dbapi=sqlite3), FAILURE_SQLSTATES)
    assert {number: judge.of_statement(sqlite3.OperationalError(number, "text")) for number in NUMBERS} == NUMBERS


@pytest.fixture(params=MYSQL_DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    driver = str(request.param)
    pytest.importorskip("mysql.connector" if driver == "mysqlconnector" else driver)
    return driver


@pytest.fixture
def served(mariadb: MariaDB, driver: str, patient: Provider) -> Iterator[Database]:
    """With a table ``t`` and a connection in its pool already."""
    with database(patient, mariadb.url(driver), name="db") as opened:
        opened.commit("DROP TABLE IF EXISTS t", "CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
        yield opened


def test_a_servers_numbers(served: Database, db: Breaker) -> None:
    found = {}
    for number in NUMBERS:
        served.execute("SELECT 1")  # on a new connection, where a number before was the end of one
        found[number] = outcome(served, db, f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}")
    assert found == {n: {"success": SUCCESS, "failure": FAILURE, "ignored": IGNORED}[NUMBERS[n]] for n in NUMBERS}


ANSWERS = {
    "a row": "SELECT 1",
    "a mistake": "SELEC 1",
    "no such table": "SELECT * FROM nowhere",
    "a duplicate": "INSERT INTO t VALUES (1)",
    "a bad value": "INSERT INTO t VALUES ('x')",
    "no right": "SELECT * FROM mysql.user",
}


def test_answers_are_successes(served: Database, db: Breaker) -> None:
    assert {what: outcome(served, db, statement) for what, statement in ANSWERS.items()} == dict.fromkeys(
        ANSWERS, SUCCESS
    )


def test_a_statement_time_limit_is_a_failure(served: Database, db: Breaker) -> None:
    assert outcome(served, db, "SET STATEMENT max_statement_time = 0.02 FOR SELECT SLEEP(20)") == FAILURE


def test_a_statement_that_somebody_kills_is_ignored(served: Database, db: Breaker) -> None:
    assert outcome(served, db, "KILL QUERY CONNECTION_ID()") == IGNORED


def test_a_connection_that_somebody_kills_is_a_failure(served: Database, db: Breaker) -> None:
    assert outcome(served, db, "KILL CONNECTION_ID()") == FAILURE
    assert outcome(served, db, "SELECT 1") == SUCCESS | IGNORED  # on a new one


def test_what_the_driver_refuses_is_ignored(served: Database, db: Breaker) -> None:
    before = counts(db)
    with pytest.raises((exc.ProgrammingError, TypeError)):
        served.execute("SELECT 1 WHERE 1 = %s", (1, 2))
    assert since(db, before) == IGNORED


def test_a_deadlock_is_a_success(mariadb: MariaDB, served: Database, db: Breaker, patient: Provider) -> None:
    """Two transactions want what the other has; the database ends one of them."""
    both_have_one, ended = threading.Barrier(2), []

    def cross(opened: Database, first: int, second: int) -> None:
        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"UPDATE t SET a = a WHERE a = {first}")
            both_have_one.wait(30)
            connection.exec_driver_sql(f"UPDATE t SET a = a WHERE a = {second}")

        try:
            opened.run(work)
        except exc.DBAPIError as error:
            ended.append(getattr(error.orig, "args", ())[:1])

    before = counts(db)
    with database(patient, mariadb.url("pymysql"), name="other") as other:
        other.execute("SELECT 1")
        thread = threading.Thread(target=cross, args=(other, 2, 1))
        thread.start()
        cross(served, 1, 2)
        thread.join()
    assert ended == [(1213,)]
    assert since(db, before) == {"successes": 2}
    assert counts(patient.breakers["other"])["successes"] == 3


# Connections.


def test_a_server_that_stops_and_comes_back(
    mariadb: MariaDB, driver: str, provider: Provider, clock: ManualClock
) -> None:
    with database(provider, mariadb.url(driver), name="db") as opened:
        opened.execute("SELECT 'up'")
        db, seen = provider.breakers["db"], mariadb.seen("SELECT 'back'")
        mariadb.stop()
        with pytest.raises(exc.DBAPIError):
            opened.execute("SELECT 'lost'")  # on the connection that was in the pool
        assert counts(db)["failures"] == 1
        mariadb.start()
        with pytest.raises(BreakerOpenDatabaseError):
            opened.execute("SELECT 'rejected'")
        assert mariadb.seen("SELECT 'rejected'") == 0
        cool(db, clock)
        assert opened.execute("SELECT 'back'") == [("back",)]
        assert db.state is State.CLOSED
        assert mariadb.seen("SELECT 'back'") == seen + 1


def test_a_connection_that_has_gone_away_in_use_is_a_failure(mariadb: MariaDB, served: Database, db: Breaker) -> None:
    """mysql-connector-python notices it when it is asked for a cursor, the others when they send the statement."""
    before = counts(db)

    def work(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT 1")
        mariadb.stop()
        with pytest.raises(exc.DBAPIError):
            connection.exec_driver_sql("SELECT 2")

    with suppress(exc.DBAPIError):  # SQLAlchemy rolls back a connection that it does not know to be lost
        served.run(work)
    assert since(db, before) == SUCCESS | FAILURE


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"database": "nowhere"}], ids=["password", "database"])
def test_a_connection_that_is_refused_is_a_failure(
    mariadb: MariaDB, driver: str, patient: Provider, wrong: dict[str, str]
) -> None:
    with database(patient, mariadb.url(driver, **wrong), name="db") as opened:
        with pytest.raises(exc.DBAPIError, match="Access denied"):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == FAILURE


def test_no_server_is_a_failure(mariadb: MariaDB, driver: str, patient: Provider) -> None:
    mariadb.stop()
    with database(patient, mariadb.url(driver), name="db") as opened:
        with pytest.raises(exc.DBAPIError):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == FAILURE


def test_too_many_connections_are_a_failure(mariadb: MariaDB, driver: str, patient: Provider) -> None:
    engine = sa.create_engine(mariadb.url("pymysql"), pool_size=0)
    held: list[sa.Connection] = []
    with database(patient, mariadb.url(driver), name="db") as opened:
        with suppress(exc.OperationalError):
            while True:
                held.append(engine.connect())
        assert 1 <= len(held) <= CONNECTIONS
        with pytest.raises(exc.DBAPIError, match="Too many connections"):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == FAILURE
    for connection in held:
        connection.close()
    engine.dispose()


def test_a_setting_that_the_driver_refuses_is_ignored(mariadb: MariaDB, driver: str, patient: Provider) -> None:
    with database(patient, mariadb.url(driver), name="db", connect_args={"no_such_setting": 1}) as opened:
        with pytest.raises((TypeError, AttributeError)):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == IGNORED


def test_a_ping_of_a_connection_that_has_grown_old_is_no_call(
    mariadb: MariaDB, driver: str, patient: Provider, db: Breaker
) -> None:
    with database(patient, mariadb.url(driver), name="db", pool_pre_ping=True) as opened:
        opened.execute("SELECT 1")
        before = counts(db)
        mariadb.stop()
        mariadb.start()
        assert opened.execute("SELECT 2") == [(2,)]
        assert since(db, before) == SUCCESS | IGNORED


# Limits.


def test_a_limit_of_pymysql_is_a_failure(mariadb: MariaDB, patient: Provider, db: Breaker) -> None:
    pytest.importorskip("pymysql")
    limit = {"read_timeout": 1}
    with database(patient, mariadb.url("pymysql"), name="db", connect_args=limit) as opened:
        opened.execute("SELECT 1")
        assert outcome(opened, db, "SELECT SLEEP(20)") == FAILURE


def test_a_cancelled_task_is_ignored(mariadb: MariaDB, patient: Provider, db: Breaker) -> None:
    pytest.importorskip("aiomysql")

    async def main() -> None:
        engine = protect(create_async_engine(mariadb.url("aiomysql")), patient, name="db")
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
            before = counts(db)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await connection.exec_driver_sql("SELECT SLEEP(20)")
            assert since(db, before) == IGNORED
            await connection.invalidate()
        await engine.dispose()

    asyncio.run(main())
