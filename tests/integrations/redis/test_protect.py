"""`protect` for clients: names, what it refuses, what a rejection is, what stays as it was, what is left behind."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio as redis_asyncio
from redis import exceptions

from breaker import BreakerOpenError, Provider, State
from breaker.integrations.redis import BreakerOpenConnectionError, RedisCall, protect
from support.etcd.ports import HOST
from support.reading import counts
from support.servers.clients import KINDS, Client, client_of
from support.servers.redis import Redis


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, server: Redis, patient: Provider) -> Iterator[Client]:
    with client_of(kind, patient, server, name="r") as client:
        yield client


NAMES = {
    "redis://Cache.example.com": "redis:cache.example.com",
    "redis://user:secret@cache.example.com:6379/3": "redis:cache.example.com",
    "redis://127.0.0.1:7000": "redis:127.0.0.1:7000",
    "rediss://:secret@cache.example.com:6380?ssl_cert_reqs=none": "redis:cache.example.com:6380",
    "redis://[::1]:7000": "redis:[::1]:7000",
    "redis://": "redis:localhost",
    "unix:///run/redis.sock?db=1&password=secret": "redis:/run/redis.sock",
}


@pytest.mark.parametrize("url", NAMES)
def test_the_default_name_is_the_host(patient: Provider, url: str) -> None:
    for library in (redis, redis_asyncio):
        client: Any = library.Redis.from_url(url)
        assert protect(client, patient) is client
    assert list(patient.breakers) == [NAMES[url]]


def test_a_name_that_no_breaker_can_have_is_refused_at_once(patient: Provider) -> None:
    with pytest.raises(ValueError, match="at most 255 bytes"):
        protect(redis.Redis(host="a" * 300), patient)


def test_a_callable_gets_the_call(patient: Provider, server: Redis, kind: str) -> None:
    calls: list[RedisCall] = []

    def name(call: RedisCall) -> str | None:
        calls.append(call)
        return None if call.command == "PING" else f"redis:{call.command}"

    def work(client: Any) -> Any:
        yield client.ping()
        yield client.set("a", 1)
        yield client.execute_command(b"get", "a")
        yield client.pipeline().set("a", 2).get("a").execute()
        yield client.pubsub().subscribe("channel")

    with client_of(kind, patient, server, name=name) as opened:
        opened.steps(work)
    assert calls[0] == RedisCall("PING", ())
    assert calls[1] == ("SET", ("a", 1))
    assert calls[2] == ("GET", ("a",))
    assert calls[3] == ("PIPELINE", (("SET", "a", 2), ("GET", "a")))
    assert calls[4].command == "SUBSCRIBE"
    assert list(patient.breakers) == ["redis:SET", "redis:GET", "redis:PIPELINE", "redis:SUBSCRIBE"]


def test_a_callable_that_fails_is_an_error_of_the_call(patient: Provider, server: Redis, kind: str) -> None:
    def name(call: RedisCall) -> Any:
        if call.command == "GET":
            raise KeyError("shop")
        return 7

    with client_of(kind, patient, server, name=name) as opened:
        with pytest.raises(RuntimeError, match="name= of protect raised KeyError"):
            opened.run(lambda c: c.get("a"))
        with pytest.raises(TypeError, match=r"must return the name of a breaker \(text\), got int"):
            opened.run(lambda c: c.set("a", 1))
    assert server.seen("get") == server.seen("set") == 0


def test_what_is_no_client_is_refused(patient: Provider) -> None:
    wrong: Any
    client = redis.Redis()
    for wrong, got in (
        (redis.Redis, "the class Redis"),
        (client.connection_pool, "ConnectionPool"),
        (client.json(), "JSON"),
        ("redis://", "str"),
        (None, "NoneType"),
    ):
        with pytest.raises(TypeError, match=rf"takes an instance of redis\.Redis or RedisCluster, .*, got {got}$"):
            protect(wrong, patient)
    for wrong in (client.pipeline(), redis_asyncio.Redis().pipeline()):
        with pytest.raises(TypeError, match="got a pipeline: protect its client"):
            protect(wrong, patient)


def test_what_is_no_provider_or_no_name_is_refused_and_nothing_is_changed(patient: Provider) -> None:
    client = redis.Redis()
    wrong: Any
    for wrong, message in ((Provider, "got the class Provider; pass an instance"), (None, "got NoneType")):
        with pytest.raises(TypeError, match=message):
            protect(client, wrong)
    for wrong in (7, b"redis"):
        with pytest.raises(TypeError, match="name= of protect must be a callable"):
            protect(client, patient, name=wrong)
    assert type(client) is redis.Redis


def test_a_client_is_protected_once(patient: Provider, server: Redis) -> None:
    client = protect(redis.Redis(host=HOST, port=server.port), patient)
    own = client.client()
    for again in (client, own):
        with pytest.raises(ValueError, match="protected already; each command would count twice"):
            protect(again, patient)
    own.close()
    client.close()


def test_other_clients_of_the_same_pool_are_not_touched(patient: Provider, server: Redis) -> None:
    client = protect(redis.Redis(host=HOST, port=server.port), patient, name="r")
    other = redis.Redis(connection_pool=client.connection_pool)
    assert type(other) is redis.Redis
    assert isinstance(client, redis.Redis)
    assert type(client).__qualname__ == "Redis"
    patient.breakers["r"].force_open()
    assert other.get("a") is None
    with pytest.raises(BreakerOpenConnectionError):
        client.get("a")
    protect(other, patient, name="other")
    assert other.get("a") is None
    assert counts(patient.breakers["other"]) == {"successes": 1}
    client.close()


def test_a_class_of_the_programs_own_keeps_its_methods(patient: Provider, server: Redis) -> None:
    class Shop(redis.Redis):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.asked: list[Any] = []

        def execute_command(self, *args: Any, **options: Any) -> Any:
            self.asked.append(args[0])
            return super().execute_command(*args, **options)

        def price(self) -> Any:
            return self.get("price")

    shop = protect(Shop(host=HOST, port=server.port), patient, name="r")
    assert shop.price() is None
    assert shop.asked == ["GET"]
    patient.breakers["r"].force_open()
    with pytest.raises(BreakerOpenConnectionError):
        shop.price()
    assert shop.asked == ["GET"]
    shop.close()


def test_what_a_tool_does_to_the_library_later_is_done_to_protected_clients_too(
    opened: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[Any] = []
    library: Any = type(opened.client).__mro__[1]
    plain = library.execute_command

    def tracing(self: Any, *args: Any, **options: Any) -> Any:
        traced.append(args[0])
        return plain(self, *args, **options)

    monkeypatch.setattr(library, "execute_command", tracing)
    assert opened.run(lambda c: c.get("a")) is None
    assert traced == ["GET"]


def test_modules_have_protected_pipelines(opened: Client, patient: Provider, kind: str) -> None:
    if kind == "asyncio":  # redis-py gives asyncio clients the pipelines of the others here
        return
    patient.breakers["r"].force_open()
    for module in (opened.client.json(), opened.client.ts(), opened.client.ft("index")):
        pipeline = module.pipeline()
        pipeline.execute_command("GET", "a")
        with pytest.raises(BreakerOpenConnectionError):
            pipeline.execute()
    assert counts(patient.breakers["r"]) == {"rejected": 3}


def test_a_rejection_is_both(opened: Client, patient: Provider, server: Redis) -> None:
    breaker = patient.breakers["r"]
    breaker.force_open()
    with pytest.raises(redis.RedisError) as caught:
        opened.run(lambda c: c.set("secret", "secret"))
    error = caught.value
    assert isinstance(error, BreakerOpenError)
    assert isinstance(error, BreakerOpenConnectionError)
    assert isinstance(error, exceptions.ConnectionError)
    assert (error.name, error.state, error.reason) == ("r", State.OPEN, "operator")
    assert error.error_type is exceptions.ConnectionError("x").error_type
    assert error.status_code is None
    assert error.__cause__ is None
    assert "secret" not in f"{error!s} {error!r}"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is BreakerOpenConnectionError
        assert again.args == error.args
    assert copy.deepcopy(error).args == error.args


def test_clients_are_let_go(patient: Provider, server: Redis) -> None:
    client = protect(redis.Redis(host=HOST, port=server.port), patient)
    pipeline = client.pipeline()
    pipeline.get("a")
    pipeline.execute()
    subscription = client.pubsub()
    subscription.subscribe("channel")
    left = [weakref.ref(each) for each in (client, pipeline, subscription, client.connection_pool)]
    client.close()
    del client, pipeline, subscription
    gc.collect()
    assert [reference() for reference in left] == [None, None, None, None]


def test_clients_of_one_kind_share_one_class(patient: Provider) -> None:
    one, two = (protect(redis.Redis(), patient) for _ in range(2))
    assert type(one) is type(two)
    assert type(one.pipeline()) is type(two.pipeline())
