"""A cluster and a Sentinel, each of one node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio as redis_asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from breaker import Provider
from breaker.integrations.redis import BreakerOpenConnectionError, protect
from support.etcd.ports import HOST
from support.reading import counts
from support.servers.clients import KINDS, Client, runner_of
from support.servers.redis import Redis


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def started_node(tmp_path_factory: pytest.TempPathFactory, started_redis: Redis) -> Iterator[Redis]:
    """(``started_redis``: skipped where there is no Redis.)"""
    running = Redis(tmp_path_factory.mktemp("cluster"), {"cluster-enabled": "yes"}).start()
    assert "OK" in running.ask("CLUSTER ADDSLOTSRANGE 0 16383")
    yield running
    running.kill()


@pytest.fixture
def node(started_node: Redis) -> Redis:
    """The one of its cluster, which serves all slots. Redis waits for two seconds before it does."""
    if not started_node.is_up:
        started_node.start()
    deadline = time.monotonic() + 20
    while "cluster_state:ok" not in started_node.ask("CLUSTER INFO"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started_node.ask("FLUSHALL")
    return started_node


@pytest.fixture
def cluster(node: Redis, kind: str, patient: Provider) -> Iterator[Client]:
    with runner_of(kind) as runner:
        library: Any = redis_asyncio if kind == "asyncio" else redis
        retry: Any = (AsyncRetry if kind == "asyncio" else Retry)(NoBackoff(), 1)
        made = library.RedisCluster(host=HOST, port=node.port, retry=retry, socket_timeout=1)
        opened = Client(protect(made, patient), runner)
        yield opened
        opened.close()


def test_a_cluster_has_one_breaker(cluster: Client, node: Redis, patient: Provider) -> None:
    breaker = patient.breakers[node.name]

    def work(client: Any) -> Any:
        assert (yield client.set("a", 1))
        assert (yield client.get("b")) is None
        pipeline = client.pipeline()
        pipeline.set("a", 2)
        pipeline.get("b")
        assert (yield pipeline.execute()) == [True, None]
        with pytest.raises(exceptions.ResponseError):
            yield client.lpush("a", 1)
        with pytest.raises(exceptions.RedisClusterException):
            yield client.mget("a", "b")  # in two slots: not sent

    cluster.steps(work)
    assert counts(breaker) == {"successes": 4, "ignored": 1}


def test_nothing_reaches_a_cluster_whose_breaker_is_open(cluster: Client, node: Redis, patient: Provider) -> None:
    def work(client: Any) -> Any:
        yield client.get("a")
        patient.breakers[node.name].force_open()
        node.ask("CONFIG RESETSTAT")
        with pytest.raises(BreakerOpenConnectionError):
            yield client.get("a")
        pipeline = client.pipeline()
        pipeline.get("a")
        with pytest.raises(BreakerOpenConnectionError):
            yield pipeline.execute()

    cluster.steps(work)
    assert node.seen("get") == node.seen("cluster|slots") == node.seen("cluster|shards") == 0
    assert counts(patient.breakers[node.name])["rejected"] == 2


def test_subscriptions_of_a_cluster(cluster: Client, node: Redis, patient: Provider) -> None:
    def work(client: Any) -> Any:
        yield client.get("a")  # redis.asyncio learns of the nodes with its first command
        subscription = client.pubsub()
        yield subscription.subscribe("channel")
        patient.breakers[node.name].force_open()
        with pytest.raises(BreakerOpenConnectionError):
            yield subscription.subscribe("another")
        yield subscription.reset() if hasattr(subscription, "__enter__") else subscription.aclose()

    cluster.steps(work)
    assert counts(patient.breakers[node.name]) == {"successes": 2, "rejected": 1}


def test_a_cluster_that_is_away_is_a_failure(cluster: Client, node: Redis, patient: Provider) -> None:
    breaker = patient.breakers[node.name]

    def fails(client: Any) -> Any:
        with pytest.raises((exceptions.RedisError, exceptions.RedisClusterException)):
            yield client.get("a")

    cluster.run(lambda c: c.set("a", 1))
    node.kill()
    cluster.steps(fails)
    cluster.steps(fails)
    assert counts(breaker) == {"successes": 1, "failures": 2}


def test_a_client_of_sentinel(tmp_path: Path, server: Redis, patient: Provider, kind: str) -> None:
    with (
        Redis(tmp_path / "sentinel", sentinel_of=f"shop {HOST} {server.port}") as watching,
        runner_of(kind) as runner,
    ):
        module: Any = redis_asyncio if kind == "asyncio" else redis
        sentinel = module.sentinel.Sentinel([(HOST, watching.port)], socket_timeout=1)
        primary = Client(protect(sentinel.master_for("shop", retry_on_error=[]), patient), runner)
        replicas = protect(sentinel.slave_for("shop"), patient)
        assert list(patient.breakers) == ["redis:shop", "redis:shop/replicas"]
        assert primary.run(lambda c: c.set("a", 1))
        breaker = patient.breakers["redis:shop"]
        breaker.force_open()
        with pytest.raises(BreakerOpenConnectionError):
            primary.run(lambda c: c.get("a"))
        breaker.clear_override()
        assert counts(breaker) == {"successes": 1, "rejected": 1}
        primary.close()
        Client(replicas, runner).close()
        for each in sentinel.sentinels:
            Client(each, runner).close()
