"""Breakers that go and come again: series vanish, and counters never fall."""

import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from breaker import Breaker, Policy, Provider
from breaker.metrics import _readings
from breaker.metrics.prometheus import register
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, fail, rejected, succeed
from support.scraping import Scrape, parsed

Scraping = Callable[..., Scrape]


def successes(seen: Scrape, name: str = NAME) -> float:
    return seen.value("circuit_breaker_calls_total", outcome="success", name=name)


def test_series_of_a_removed_breaker_vanish(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping
) -> None:
    # S230
    provider = provider_of()
    register(provider, registry, resilience4j=True)
    for name in ("a", "b", "c"):
        succeed(provider.get_breaker(name))
    assert scrape().breakers() == {"a", "b", "c"}
    provider.remove("b")
    assert scrape().breakers() == {"a", "c"}


@pytest.mark.parametrize("scrapes_between", [0, 1, 3])
def test_a_breaker_that_is_made_again_counts_on(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, scrapes_between: int
) -> None:
    # S232: what was counted after the last scrape is not lost either
    provider = provider_of(Policy(1))
    register(provider, registry)
    breaker = provider.get_breaker(NAME)
    succeed(breaker, 3)
    scrape()
    succeed(breaker, 4)
    fail(breaker)
    rejected(breaker, 2)
    provider.remove(NAME)
    for _ in range(scrapes_between):
        assert scrape().breakers() == set()
    succeed(provider.get_breaker(NAME), 5)
    for _ in range(2):
        seen = scrape()
        assert seen.of("circuit_breaker_calls_total", "outcome") == {"success": 12, "failure": 1, "ignored": 0}
        assert seen.value("circuit_breaker_rejected_calls_total", reason="open") == 2
        assert seen.of("circuit_breaker_state", "state")["closed"] == 1
    provider.remove(NAME)
    provider.get_breaker(NAME)
    assert successes(scrape()) == 12


def test_a_breaker_that_nobody_scraped_leaves_nothing(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping
) -> None:
    provider = provider_of()
    register(provider, registry)
    succeed(provider.get_breaker(NAME), 3)
    provider.remove(NAME)
    succeed(provider.get_breaker(NAME))
    assert successes(scrape()) == 1


def test_a_removed_breaker_is_kept_until_the_next_scrape_and_no_longer(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping
) -> None:
    provider = provider_of()
    register(provider, registry)
    breaker = provider.get_breaker(NAME)
    gone = weakref.ref(breaker)
    scrape()
    provider.remove(NAME)
    del breaker
    scrape()
    gc.collect()
    assert gone() is None


def test_sums_of_removed_names_are_bounded(
    provider_of: Providers, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S232: the oldest go first
    monkeypatch.setattr(_readings, "MOST_GONE", 3)
    provider = provider_of()
    register(provider, registry)
    for number in range(5):
        succeed(provider.get_breaker(f"name {number}"))
        generate_latest(registry)
        provider.remove(f"name {number}")
        generate_latest(registry)
    for number in range(5):
        provider.get_breaker(f"name {number}")
    seen = parsed(generate_latest(registry).decode())
    assert [successes(seen, f"name {number}") for number in range(5)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("seed", range(8))
def test_no_counter_ever_falls(
    provider_of: Providers, registry: CollectorRegistry, clock: ManualClock, seed: int
) -> None:
    # S232: removed, made again, reset, overridden, under new policies; and no call is lost on the way
    chance = random.Random(seed)
    provider = provider_of(Policy(2, 1, 5, recovery_time=10))
    register(provider, registry, resilience4j=True)
    made = dict.fromkeys("abc", 0)
    before: dict[Any, float] = {}
    for _ in range(300):
        name = chance.choice("abc")
        step = chance.randrange(8)
        if step < 4:
            made[name] += one_call(provider, name, chance)
        elif step == 4:
            provider.remove(name)
        elif step == 5:
            clock.advance(chance.choice((0.5, 6)))
        elif step == 6 and name in provider.breakers:
            chance.choice([Breaker.reset, Breaker.shadow])(provider.breakers[name])
        else:
            now = parsed(generate_latest(registry).decode()).counters()
            fallen = {key: (value, now[key]) for key, value in before.items() if key in now and now[key] < value}
            assert fallen == {}
            before |= now
    for name in "abc":
        provider.get_breaker(name)
    seen = parsed(generate_latest(registry).decode())
    for name in "abc":
        assert sum(seen.of("circuit_breaker_calls_total", "outcome", name=name).values()) <= made[name]


def one_call(provider: Provider, name: str, chance: random.Random) -> int:
    """Make a call. Returns 1 if it ran."""
    breaker = provider.get_breaker(name)
    before = breaker.snapshot()
    try:
        with breaker.acquire():
            if chance.random() < 0.5:
                raise Boom("down")
    except Exception:
        pass
    after = breaker.snapshot()
    return after.successes + after.failures - before.successes - before.failures


def test_calls_of_a_breaker_that_comes_and_goes_are_all_counted(
    provider_of: Providers, registry: CollectorRegistry
) -> None:
    # S232: scraped at least once in each of its lives
    provider = provider_of()
    register(provider, registry)
    for _ in range(20):
        breaker = provider.get_breaker(NAME)
        succeed(breaker)
        generate_latest(registry)
        succeed(breaker, 2)
        provider.remove(NAME)
    provider.get_breaker(NAME)
    assert successes(parsed(generate_latest(registry).decode())) == 60
