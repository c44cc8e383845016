"""A Redis that stops, hangs and comes back, and what reaches it meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio as redis_asyncio
from redis import exceptions

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.redis import BreakerOpenConnectionError, protect
from breaker.testing import ManualClock
from support.drive import cool
from support.etcd.ports import HOST
from support.reading import counts, probing
from support.servers.clients import KINDS, Client, client_of
from support.servers.redis import Redis


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, server: Redis, provider: Provider) -> Iterator[Client]:
    """With a connection. Its breaker opens on the first failure."""
    with client_of(kind, provider, server, name="r") as client:
        client.run(lambda c: c.ping())
        yield client


def rejected(opened: Client) -> BreakerOpenConnectionError:
    with pytest.raises(BreakerOpenConnectionError) as caught:
        opened.run(lambda c: c.get("rejected"))
    return caught.value


def test_a_server_that_stops_and_comes_back(
    opened: Client, server: Redis, provider: Provider, clock: ManualClock
) -> None:
    breaker = provider.breakers["r"]
    server.kill()
    with pytest.raises(exceptions.ConnectionError) as caught:
        opened.run(lambda c: c.get("a"))
    assert not isinstance(caught.value, BreakerOpenError)
    server.start()
    error = rejected(opened)
    assert error.last_error is not None
    assert isinstance(error, redis.ConnectionError)
    assert server.seen("get") == 0
    cool(breaker, clock)
    assert opened.run(lambda c: c.get("a")) is None
    assert breaker.state is State.CLOSED


def watch(client: Any) -> Any:
    pipeline = client.pipeline()
    try:
        yield pipeline.watch("a")
    finally:
        yield pipeline.reset()


def own_connection(client: Any) -> Any:
    made = client.client()
    try:
        yield made.get("a")
    finally:
        yield made.close() if isinstance(made, redis.Redis) else made.aclose()


def one(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def steps(client: Any) -> Any:
        yield call(client)

    return steps


# What is done in steps, and how many calls it is.
EVERYTHING: dict[str, tuple[Callable[[Any], Any], int]] = {
    "a command": (one(lambda c: c.get("a")), 1),
    "a raw command": (one(lambda c: c.execute_command(b"GET", "a")), 1),
    "a transaction": (one(lambda c: c.pipeline().get("a").execute()), 1),
    "a pipeline": (one(lambda c: c.pipeline(transaction=False).get("a").execute(raise_on_error=False)), 1),
    "a watch": (watch, 1),
    "a lock": (one(lambda c: c.lock("lock", timeout=1).acquire()), 1),
    "a script": (one(lambda c: c.register_script("return 1")()), 3),  # it is not there, and is loaded
    "a subscription": (one(lambda c: c.pubsub().subscribe("channel")), 1),
    "a transaction by a function": (one(lambda c: c.transaction(lambda pipe: pipe.get("a"), "a")), 3),
    "publishing": (one(lambda c: c.publish("channel", "text")), 1),
    "a client of its own": (own_connection, 1),
    "a module": (one(lambda c: c.json().get("a")), 1),
}


@pytest.mark.parametrize("what", EVERYTHING)
def test_nothing_reaches_a_server_whose_breaker_is_open(
    server: Redis, provider: Provider, kind: str, what: str
) -> None:
    # With redis-py's own number of retries: a rejection is raised once.
    with client_of(kind, provider, server, name="r", retries=10) as opened:
        opened.run(lambda c: c.ping())
        provider.breakers["r"].force_open()
        server.ask("CONFIG RESETSTAT")
        with pytest.raises(BreakerOpenConnectionError):
            opened.steps(EVERYTHING[what][0])
        stats = server.ask("INFO commandstats")
        assert [line.split(":")[0] for line in stats.splitlines() if line.startswith("cmdstat_")] == [
            "cmdstat_config|resetstat"
        ]
        assert counts(provider.breakers["r"])["rejected"] == 1


@pytest.mark.parametrize("what", [what for what in EVERYTHING if what != "a module"])
def test_everything_counts_where_it_works_and_once_where_it_fails(
    server: Redis, patient: Provider, kind: str, what: str
) -> None:
    steps, calls = EVERYTHING[what]
    server.ask("SCRIPT FLUSH")
    with client_of(kind, patient, server, name="r") as opened:
        opened.steps(steps)
        breaker = patient.breakers["r"]
        if what == "a client of its own" and kind == "sync":
            calls += 1  # it takes its connection at once
        assert counts(breaker) == {"successes": calls}
        server.kill()
        with pytest.raises(exceptions.ConnectionError):
            opened.steps(steps)
        assert counts(breaker) == {"successes": calls, "failures": 1}


def test_a_half_open_breaker_lets_one_call_through(
    server: Redis, provider_of: Callable[..., Provider], clock: ManualClock, kind: str
) -> None:
    owner = provider_of(Policy(1, 2, 60.0))
    with client_of(kind, owner, server, name="r", decode_responses=True) as opened:
        opened.run(lambda c: c.set("a", b"\xff"))
        breaker = owner.breakers["r"]
        breaker.acquire().failure()
        cool(breaker, clock)
        with pytest.raises(UnicodeDecodeError):
            opened.run(lambda c: c.get("a"))  # ignored
        assert probing(breaker) == (State.HALF_OPEN, 0, 0)
        with pytest.raises(exceptions.ResponseError):
            opened.run(lambda c: c.lpush("a", 1))
        assert probing(breaker) == (State.HALF_OPEN, 1, 0)
        assert opened.run(lambda c: c.pipeline().set("a", 1).execute()) == [True]
        assert breaker.state is State.CLOSED


def test_a_task_that_is_cancelled_gives_its_slot_back(server: Redis, provider: Provider, clock: ManualClock) -> None:
    async def scenario() -> None:
        client = protect(redis_asyncio.Redis(host=HOST, port=server.port), provider, name="r")
        await client.ping()
        breaker = provider.breakers["r"]
        breaker.acquire().failure()
        cool(breaker, clock)

        async def wait() -> None:
            await client.blpop("nothing", 20)

        task = asyncio.create_task(wait())
        while breaker.snapshot().half_open_in_flight == 0:
            await asyncio.sleep(0.005)
        with pytest.raises(BreakerOpenConnectionError):
            await client.get("a")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert probing(breaker) == (State.HALF_OPEN, 0, 0)
        await client.get("a")
        assert breaker.state is State.CLOSED
        await client.aclose()

    asyncio.run(scenario())


def test_a_probe_in_one_thread_rejects_the_others(server: Redis, provider: Provider, clock: ManualClock) -> None:
    with client_of("sync", provider, server, name="r", socket_timeout=10) as opened:
        opened.run(lambda c: c.ping())
        breaker = provider.breakers["r"]
        breaker.acquire().failure()
        cool(breaker, clock)
        probe = threading.Thread(target=opened.client.blpop, args=("queue", 5))
        probe.start()
        while breaker.snapshot().half_open_in_flight == 0:
            pass
        for _ in range(5):
            rejected(opened)
        server.ask("LPUSH queue 1")
        probe.join()
        assert breaker.state is State.CLOSED
        assert server.seen("get") == 0


# Subscriptions.


def test_waiting_for_messages_is_no_call(opened: Client, server: Redis, provider: Provider) -> None:
    def work(client: Any) -> Any:
        subscription = client.pubsub(ignore_subscribe_messages=True)
        yield subscription.subscribe("channel")
        before = counts(provider.breakers["r"])
        assert (yield subscription.get_message(timeout=0.02)) is None
        assert (yield subscription.get_message(timeout=0.02)) is None
        provider.breakers["r"].force_open()
        server.ask("PUBLISH channel text")
        message = yield subscription.get_message(timeout=1)
        assert message["data"] == b"text"
        with pytest.raises(BreakerOpenConnectionError):
            yield subscription.subscribe("another")
        assert counts(provider.breakers["r"]) == before | {"rejected": 1}
        yield subscription.reset() if hasattr(subscription, "__enter__") else subscription.aclose()

    opened.steps(work)


def test_subscriptions_are_taken_up_again_without_asking(server: Redis, provider: Provider, kind: str) -> None:
    with client_of(kind, provider, server, name="r", retries=3) as opened:

        def work(client: Any) -> Any:
            subscription = client.pubsub(ignore_subscribe_messages=True)
            yield subscription.subscribe("channel")
            yield subscription.psubscribe("pattern*")
            yield subscription.get_message(timeout=0.1)
            yield subscription.get_message(timeout=0.1)
            before = counts(provider.breakers["r"])
            provider.breakers["r"].force_open()
            server.ask("CLIENT KILL TYPE pubsub")
            for _ in range(4):
                yield subscription.get_message(timeout=0.05)
            server.ask("PUBLISH channel text")
            message = None
            for _ in range(5):
                message = message or (yield subscription.get_message(timeout=0.2))
            assert message is not None
            assert message["data"] == b"text"
            assert counts(provider.breakers["r"]) == before
            yield subscription.reset() if hasattr(subscription, "__enter__") else subscription.aclose()

        opened.steps(work)


# What a rejection leaves behind.


def test_a_lock_whose_release_is_rejected_ends_by_itself(opened: Client, server: Redis, provider: Provider) -> None:
    def work(client: Any) -> Any:
        lock = client.lock("lock", timeout=0.05)
        assert (yield lock.acquire())
        provider.breakers["r"].force_open()
        with pytest.raises(BreakerOpenConnectionError):
            yield lock.release()
        provider.breakers["r"].clear_override()
        again = client.lock("lock", timeout=1, blocking_timeout=2)
        assert (yield again.acquire())

    opened.steps(work)


def test_a_rejected_pipeline_is_empty_and_its_connection_is_given_back(
    opened: Client, server: Redis, provider: Provider
) -> None:
    def work(client: Any) -> Any:
        pipeline = client.pipeline()
        yield pipeline.watch("a")
        pipeline.multi()
        pipeline.set("a", 1)
        provider.breakers["r"].force_open()
        with pytest.raises(BreakerOpenConnectionError):
            yield pipeline.execute()
        assert len(pipeline) == 0  # as after every error of redis-py
        assert pipeline.connection is None  # the watch has ended, whatever the breaker says
        provider.breakers["r"].clear_override()
        assert (yield client.get("a")) is None

    opened.steps(work)
    assert server.seen("unwatch") == 1
