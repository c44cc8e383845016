"""What counts as what, as the server itself says it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio as redis_asyncio
from redis import exceptions

from breaker import Breaker, Provider
from support.etcd.ports import HOST
from support.reading import counts
from support.servers.clients import KINDS, Client, client_of
from support.servers.redis import Redis

SUCCESS, FAILURE, IGNORED = {"successes": 1}, {"failures": 1}, {"ignored": 1}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, server: Redis, patient: Provider) -> Iterator[Client]:
    with client_of(kind, patient, server) as client:
        client.run(lambda c: c.ping())
        yield client


@pytest.fixture
def breaker(server: Redis, patient: Provider) -> Breaker:
    return patient.get_breaker(server.name)


def outcome(client: Client, breaker: Breaker, *command: Any) -> dict[str, int]:
    """What a command counts as that may fail."""
    before = counts(breaker)
    with suppress(Exception):
        client.run(lambda c: c.execute_command(*command))
    after = counts(breaker)
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def answers(client: Client, breaker: Breaker, text: str) -> dict[str, int]:
    """What counts an error that a script makes the server answer with."""
    return outcome(client, breaker, "EVAL", f"return redis.error_reply('{text}')", 0)


ANSWERS = {
    "ERR something": SUCCESS,
    "WRONGTYPE Operation against a key": SUCCESS,
    "NOSCRIPT No matching script": SUCCESS,
    "NOPERM this user has no permissions": SUCCESS,
    "EXECABORT Transaction discarded": SUCCESS,
    "CROSSSLOT Keys in request": SUCCESS,
    "TRYAGAIN Multiple keys request during rehashing of slot": SUCCESS,
    "MOVED 3999 127.0.0.1:6381": SUCCESS,
    "ASK 3999 127.0.0.1:6381": SUCCESS,
    "BUSYGROUP Consumer Group name already exists": SUCCESS,
    "BUSYKEY Target key name already exists.": SUCCESS,
    "UNBLOCKED client unblocked via CLIENT UNBLOCK": SUCCESS,
    "LOADING Redis is loading the dataset in memory": FAILURE,
    "READONLY You can not write against a read only replica.": FAILURE,
    "OOM command not allowed when used memory": FAILURE,
    "BUSY Redis is busy running a script.": FAILURE,
    "MISCONF Redis is configured to save RDB snapshots": FAILURE,
    "NOREPLICAS Not enough good replicas to write.": FAILURE,
    "MASTERDOWN Link with MASTER is down": FAILURE,
    "CLUSTERDOWN The cluster is down": FAILURE,
    "NOAUTH Authentication required.": FAILURE,
    "WRONGPASS invalid username-password pair": FAILURE,
}


def test_what_the_server_answers(opened: Client, breaker: Breaker) -> None:
    assert {text: answers(opened, breaker, text) for text in ANSWERS} == ANSWERS


def test_a_value_is_a_success(opened: Client, breaker: Breaker) -> None:
    assert outcome(opened, breaker, "SET", "a", 1) == SUCCESS
    assert outcome(opened, breaker, "GET", "nothing there") == SUCCESS
    assert outcome(opened, breaker, "LPUSH", "a", 1) == SUCCESS  # WRONGTYPE


@pytest.mark.parametrize("transaction", [True, False])
def test_a_pipeline_is_one_call(opened: Client, breaker: Breaker, transaction: bool) -> None:
    def work(client: Any) -> Any:
        return client.pipeline(transaction=transaction).set("a", 1).get("a").execute()

    before = counts(breaker)["successes"]
    assert opened.run(work) == [True, b"1"]
    assert counts(breaker) == {"successes": before + 1}
    assert opened.run(lambda c: c.pipeline(transaction=transaction).execute()) == []
    assert counts(breaker) == {"successes": before + 1}  # nothing was sent


@pytest.mark.parametrize("transaction", [True, False])
@pytest.mark.parametrize("raising", [True, False])
@pytest.mark.parametrize(("text", "expected"), [("BUSY x", FAILURE), ("ERR BUSY", SUCCESS), ("OOM x", FAILURE)])
def test_the_errors_of_a_pipeline_are_looked_at(
    opened: Client, breaker: Breaker, transaction: bool, raising: bool, text: str, expected: dict[str, int]
) -> None:
    before = counts(breaker)
    script = f"return redis.error_reply('{text}')"
    with suppress(exceptions.ResponseError):
        opened.run(
            lambda c: c.pipeline(transaction=transaction).set("a", 1).eval(script, 0).execute(raise_on_error=raising)
        )
    after = counts(breaker)
    assert {name: after[name] - before.get(name, 0) for name in expected} == expected
    assert sum(after.values()) == sum(before.values()) + 1


def test_a_key_that_was_changed_is_a_success_and_a_broken_watch_is_not(
    opened: Client, server: Redis, breaker: Breaker
) -> None:
    def watching(client: Any, meanwhile: Any) -> Any:
        pipeline = client.pipeline()
        yield pipeline.watch("a")
        meanwhile()
        pipeline.multi()
        pipeline.set("a", 2)
        with pytest.raises(exceptions.WatchError):
            yield pipeline.execute()

    before = counts(breaker)["successes"]
    opened.steps(lambda client: watching(client, lambda: server.ask("SET a 1")))
    assert counts(breaker) == {"successes": before + 2}
    opened.steps(lambda client: watching(client, lambda: server.ask("CLIENT KILL TYPE normal")))
    assert counts(breaker) == {"successes": before + 3, "failures": 1}


def test_commands_while_watching_are_calls(opened: Client, breaker: Breaker) -> None:
    def work(client: Any) -> Any:
        pipeline = client.pipeline()
        yield pipeline.watch("a")
        yield pipeline.get("a")
        pipeline.multi()
        pipeline.set("a", 3)
        yield pipeline.execute()

    before = counts(breaker)["successes"]
    opened.steps(work)
    assert counts(breaker) == {"successes": before + 3}


def test_scripts_that_a_pipeline_loads_belong_to_it(opened: Client, server: Redis, breaker: Breaker) -> None:
    def work(client: Any) -> Any:
        script = client.register_script("return 41 + 1")
        pipeline = client.pipeline()
        yield script(client=pipeline)
        return (yield pipeline.execute())

    server.ask("SCRIPT FLUSH")
    before = counts(breaker)["successes"]
    assert opened.steps(work) == [42]
    assert counts(breaker) == {"successes": before + 1}


def test_a_pool_that_is_exhausted_is_the_callers(kind: str, server: Redis, patient: Provider) -> None:
    library: Any = redis_asyncio if kind == "asyncio" else redis
    for pool_class in (library.ConnectionPool, library.BlockingConnectionPool):
        waits = {"timeout": 0.05} if pool_class is library.BlockingConnectionPool else {}
        with client_of(kind, patient, server, name=pool_class.__name__) as opened:

            def work(client: Any, made: Any = pool_class, waits: Any = waits) -> Any:
                client.connection_pool = made(host=HOST, port=server.port, max_connections=1, **waits)
                taken = yield client.connection_pool.get_connection()
                with pytest.raises(exceptions.ConnectionError):
                    yield client.ping()
                yield client.connection_pool.release(taken)
                yield client.connection_pool.disconnect()

            opened.steps(work)
        assert counts(patient.breakers[pool_class.__name__]) == IGNORED


def test_what_cannot_be_sent_or_read_is_the_callers(kind: str, server: Redis, patient: Provider) -> None:
    with client_of(kind, patient, server, name="r", decode_responses=True) as opened:
        breaker = patient.get_breaker("r")
        assert outcome(opened, breaker, "SET", "a", object()) == IGNORED
        assert outcome(opened, breaker, "SET", "a", b"\xff\xfe") == SUCCESS
        assert outcome(opened, breaker, "GET", "a") == IGNORED  # UnicodeDecodeError
        assert outcome(opened, breaker, "GET", "b") == SUCCESS


# Without an answer.


def test_no_server_is_a_failure(opened: Client, server: Redis, breaker: Breaker) -> None:
    server.kill()
    assert outcome(opened, breaker, "GET", "a") == FAILURE  # on the connection that was there
    assert outcome(opened, breaker, "GET", "a") == FAILURE


def test_retries_inside_are_one_call(kind: str, server: Redis, patient: Provider) -> None:
    with client_of(kind, patient, server, name="r", retries=3) as opened:
        server.kill()
        assert outcome(opened, patient.get_breaker("r"), "GET", "a") == FAILURE


def test_a_server_that_hangs_is_a_failure(kind: str, server: Redis, patient: Provider) -> None:
    with client_of(kind, patient, server, name="r", socket_timeout=0.3, socket_connect_timeout=0.3) as opened:
        breaker = patient.get_breaker("r")
        opened.run(lambda c: c.ping())
        server.pause()
        assert outcome(opened, breaker, "GET", "a") == FAILURE
        assert outcome(opened, breaker, "GET", "a") == FAILURE
        server.resume()
        assert outcome(opened, breaker, "GET", "a") == SUCCESS


def test_a_blocking_command_that_finds_nothing_is_a_success(opened: Client, breaker: Breaker) -> None:
    assert outcome(opened, breaker, "BLPOP", "nothing", 0.05) == SUCCESS


def test_what_is_no_redis_is_a_failure(kind: str, patient: Provider, server: Redis) -> None:
    with socket.create_server((HOST, 0)) as listener:

        def answer() -> None:
            while True:
                with suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    continue
                return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with client_of(kind, patient, server, name="r") as opened:
            opened.client.connection_pool.connection_kwargs["port"] = listener.getsockname()[1]
            assert outcome(opened, patient.get_breaker("r"), "GET", "a") == FAILURE
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_server_in_trouble(kind: str, tmp_path: Path, patient: Provider) -> None:
    with Redis(tmp_path, {"requirepass": "secret"}) as server:
        with client_of(kind, patient, server, name="none") as opened:
            assert outcome(opened, patient.get_breaker("none"), "GET", "a") == FAILURE
        with client_of(kind, patient, server, name="wrong", password="wrong") as opened:
            assert outcome(opened, patient.get_breaker("wrong"), "GET", "a") == FAILURE
        with client_of(kind, patient, server, name="right", password="secret") as opened:
            right = patient.get_breaker("right")
            assert outcome(opened, right, "SET", "a", 1) == SUCCESS
            assert outcome(opened, right, "CONFIG", "SET", "maxmemory", "1") == SUCCESS
            assert outcome(opened, right, "SET", "b", 1) == FAILURE  # OOM
            assert outcome(opened, right, "CONFIG", "SET", "maxmemory", "0") == SUCCESS
            assert outcome(opened, right, "REPLICAOF", HOST, "1") == SUCCESS
            assert outcome(opened, right, "SET", "b", 1) == FAILURE  # READONLY
            assert outcome(opened, right, "CONFIG", "SET", "replica-serve-stale-data", "no") == SUCCESS
            assert outcome(opened, right, "GET", "a") == FAILURE  # MASTERDOWN
            assert outcome(opened, right, "REPLICAOF", "NO", "ONE") == SUCCESS
            assert outcome(opened, right, "CONFIG", "SET", "maxclients", "1") == SUCCESS
            with client_of(kind, patient, server, name="third", password="secret") as other:
                assert outcome(other, patient.get_breaker("third"), "GET", "a") == FAILURE


def test_a_script_that_never_ends_is_a_failure_of_the_others(kind: str, tmp_path: Path, patient: Provider) -> None:
    breaker = patient.get_breaker("r")
    with Redis(tmp_path, {"busy-reply-threshold": "1"}) as server, client_of(kind, patient, server, name="r") as opened:
        assert outcome(opened, breaker, "GET", "a") == SUCCESS
        with socket.create_connection((HOST, server.port)) as connection:
            connection.sendall(b"EVAL 'while true do end' 0\r\n")
            time.sleep(0.05)
            assert outcome(opened, breaker, "GET", "a") == FAILURE
            assert outcome(opened, breaker, "SCRIPT KILL") == SUCCESS
