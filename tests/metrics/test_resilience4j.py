"""The second vocabulary: names, tags and percentages as the JVM's dashboards expect them."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from breaker import Mode, Policy, Window
from breaker.metrics.prometheus import register
from breaker.testing import ManualClock
from support.drive import NAME, Providers, cool, fail, ignored, rejected, succeed, trip
from support.scraping import FORMATS, Scrape

Scraping = Callable[..., Scrape]
PREFIX = "resilience4j_circuitbreaker_"
STATES = ("closed", "open", "half_open", "disabled", "forced_open", "metrics_only")


def test_it_is_opt_in(provider_of: Providers, registry: CollectorRegistry, scrape: Scraping) -> None:
    provider = provider_of()
    register(provider, registry)
    provider.get_breaker(NAME)
    assert PREFIX not in scrape().text


@pytest.mark.parametrize("form", FORMATS)
def test_names_tags_and_numbers(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, form: str
) -> None:
    provider = provider_of(Policy(failure_rate_threshold=0.5, window=Window(calls=10), minimum_calls=4))
    register(provider, registry, resilience4j=True)
    breaker = provider.get_breaker(NAME)
    seen = scrape(form)
    assert seen.value(PREFIX + "failure_rate") == seen.value(PREFIX + "slow_call_rate") == -1
    succeed(breaker, 3)
    fail(breaker)
    ignored(breaker, 2)
    seen = scrape(form)
    kinds = {"successful": 3, "failed": 1, "ignored": 2}
    assert seen.of(PREFIX + "calls_seconds_count", "kind", name=NAME, group="none") == kinds
    assert seen.of(PREFIX + "buffered_calls", "kind") == {"successful": 3, "failed": 1}
    assert seen.value(PREFIX + "failure_rate", name=NAME) == 25  # percent
    assert seen.of(PREFIX + "not_permitted_calls_total", "kind") == {"not_permitted": 0}
    breaker.force_open()
    rejected(breaker, 2)
    assert scrape(form).of(PREFIX + "not_permitted_calls_total", "kind") == {"not_permitted": 2}
    types = {name.removeprefix(PREFIX): family.type for name, family in seen.families.items() if PREFIX in name}
    assert types == {
        "calls_seconds": "summary",
        "not_permitted_calls": "counter",
        "state": "gauge",
        "buffered_calls": "gauge",
        "failure_rate": "gauge",
        "slow_call_rate": "gauge",
    }
    labels = {frozenset(dict(labels)) for (name, labels) in seen.series if name.startswith(PREFIX)}
    common = {"service", "name", "group"}
    assert labels == {frozenset(common), frozenset(common | {"kind"}), frozenset(common | {"state"})}


def test_a_mode_is_a_state_there(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, clock: ManualClock
) -> None:
    provider = provider_of(Policy(1, 1, 5))
    register(provider, registry, resilience4j=True)
    breaker = provider.get_breaker(NAME)

    def state() -> str:
        states = scrape().of(PREFIX + "state", "state")
        assert set(states) == set(STATES)
        (now,) = [name for name, value in states.items() if value]
        return now

    assert state() == "closed"
    trip(breaker)
    assert state() == "open"
    cool(breaker, clock)
    breaker.acquire().ignore()
    assert state() == "half_open"
    for mode, name in ((Mode.FORCED_OPEN, "forced_open"), (Mode.DISABLED, "disabled"), (Mode.SHADOW, "metrics_only")):
        breaker.override(mode)
        assert state() == name
