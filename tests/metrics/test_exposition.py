"""The text that is made here is prometheus_client's, byte by byte, whatever was kept from the last scrape."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

from breaker import BreakerOpenError, Config, Policy, Provider, Window
from breaker.metrics._exposition import _number as written
from breaker.metrics.prometheus import exposition, register
from breaker.testing import ManualClock
from support.drive import NAME, PATH, Boom, HangUp, Providers, succeed
from support.scraping import FORMATS, parsed
from support.threads import Crowd

THEIRS: dict[str, Callable[[Any], bytes]] = {"text": generate_latest, "openmetrics": openmetrics.generate_latest}
forms = pytest.mark.parametrize("form", FORMATS)


def ours(registry: CollectorRegistry, form: str) -> bytes:
    text, content_type = exposition(registry, FORMATS[form][0])
    assert content_type.startswith(FORMATS[form][0].partition(";")[0])
    return text


@forms
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_same_text(registry: CollectorRegistry, clock: ManualClock, seed: int, form: str) -> None:
    chance = random.Random(seed)
    policy = Policy(2, 1, 5, failure_rate_threshold=0.5, window=Window(calls=9), minimum_calls=3, recovery_time=30)
    shop = Provider(Config("shop", PATH), default_policy=policy, clock=clock)
    stock = Provider(Config('"stock"\\', PATH), clock=clock)
    for provider in (shop, stock):
        register(provider, registry, resilience4j=True)
    for turn in range(60):
        name = chance.choice(["a", 'b"\\\n', "größer 💥", "\x00\r\x85"])
        breaker = chance.choice([shop, stock]).get_breaker(name)
        try:
            with breaker.acquire():
                clock.advance(chance.choice([0, 0.1, 7, 1e6]))
                if chance.random() < 0.6:
                    raise chance.choice([Boom, HangUp])
        except (Boom, HangUp, BreakerOpenError):
            pass
        if turn % 9 == 0:
            chance.choice([shop, stock]).remove(name)
        if turn % 3 == 0:
            assert ours(registry, form) == THEIRS[form](registry)


@forms
def test_what_else_is_in_the_registry_is_there_once(
    provider_of: Providers, registry: CollectorRegistry, form: str
) -> None:
    Counter("requests", "Of the program.", ["path"], registry=registry).labels("/").inc(3)
    register(provider_of(), registry)
    Gauge("temperature_celsius", "Of the program.", registry=registry).set(21)
    Info("build", "Of the program.", registry=registry).info({"version": "1"})
    seen = parsed(ours(registry, form).decode(), form)
    assert seen.value("requests_total", path="/") == 3
    assert seen.value("temperature_celsius") == 21
    assert seen.value("circuit_breaker_unreadable") == 0
    theirs = parsed(THEIRS[form](registry).decode(), form)
    without_times = {key: value for key, value in seen.series.items() if "_created" not in key[0]}
    assert without_times == {key: value for key, value in theirs.series.items() if "_created" not in key[0]}
    assert seen.series.keys() == theirs.series.keys()


def test_a_registry_without_breakers_is_prometheus_clients(registry: CollectorRegistry) -> None:
    Gauge("temperature_celsius", "Of the program.", registry=registry).set(21)
    assert ours(registry, "text") == generate_latest(registry)
    assert ours(CollectorRegistry(), "openmetrics") == b"# EOF\n"


def test_a_collector_that_raises_leaves_nothing_behind(provider_of: Providers, registry: CollectorRegistry) -> None:
    class Broken:
        def collect(self) -> Any:
            raise Boom("a collector of the program")

        def describe(self) -> list[Any]:
            return []

    broken: Any = Broken()
    register(provider_of(), registry)
    registry.register(broken)
    with pytest.raises(Boom):
        exposition(registry)
    registry.unregister(broken)
    assert b"circuit_breaker_unreadable" in generate_latest(registry)
    assert ours(registry, "text") == generate_latest(registry)


def test_texts_of_many_threads_are_whole(provider_of: Providers, registry: CollectorRegistry) -> None:
    provider = provider_of(clock=None)
    register(provider, registry)
    over = threading.Event()
    crowd = Crowd()

    def scrape(form: str) -> None:
        before: dict[Any, float] = {}
        while not over.is_set():
            now = parsed(ours(registry, form).decode(), form).counters()
            assert [key for key, value in now.items() if value < before.get(key, 0)] == []
            before |= now

    for form in (*FORMATS, "text"):
        crowd.start(scrape, form)
    for turn in range(1500):
        succeed(provider.get_breaker(f"name {turn % 5}"))
        if turn % 50 == 0:
            provider.remove("name 0")
    over.set()
    crowd.join()


def test_a_registry_that_leaves_metrics_out_leaves_them_out(
    provider_of: Providers, registry: CollectorRegistry
) -> None:
    class Few(CollectorRegistry):
        def collect(self) -> Any:
            yield from (metric for metric in super().collect() if metric.name == "circuit_breaker_state_code")

    provider, few = provider_of(), Few()
    registration = register(provider, registry)
    provider.get_breaker(NAME)
    restricted: Any = registry.restricted_registry(["circuit_breaker_state_code"])
    expected = ours(restricted, "text")
    assert [line.split("{")[0] for line in expected.decode().splitlines()][2:] == ["circuit_breaker_state_code"]
    registration.unregister()
    register(provider, few)
    assert ours(few, "text") == expected


@pytest.mark.parametrize("number", [0, 1, 999_999, 1_000_000, 123_456_789, -1, 2**63, True, 0.0, 0.5, 1e7])
def test_numbers_are_written_as_prometheus_client_writes_them(number: float) -> None:
    assert written(number) == floatToGoString(number)
