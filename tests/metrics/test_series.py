"""What a scrape says, held against the calls that the test made."""

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from breaker import Breaker, BreakerOpenError, Mode, Policy, State, Window
from breaker.events import ProbeOverdue, StateChanged, WouldHaveOpened
from breaker.metrics.prometheus import register
from breaker.testing import ManualClock
from support.drive import NAME, Boom, HangUp, Providers, cool, fail, ignored, raiser, rejected, succeed, trip
from support.scraping import FORMATS, Scrape, parsed

Scraping = Callable[..., Scrape]
forms = pytest.mark.parametrize("form", FORMATS)

ZEROS = {
    ("circuit_breaker_calls_total", "outcome"): {"success", "failure", "ignored"},
    ("circuit_breaker_rejected_calls_total", "reason"): {"open", "half_open", "operator", "recovering"},
    ("circuit_breaker_probes_total", "result"): {"success", "failure", "ignored", "late", "overdue"},
    ("circuit_breaker_state_seconds_total", "state"): {"closed", "open", "half_open"},
    ("circuit_breaker_late_results_total", None): {""},
    ("circuit_breaker_shadow_openings_total", None): {""},
}


@forms
def test_all_series_are_there_from_the_creation(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, form: str
) -> None:
    # S230
    provider = provider_of()
    register(provider, registry)
    assert scrape(form).breakers() == set()
    provider.get_breaker(NAME)
    seen = scrape(form)
    for (sample, label), values in ZEROS.items():
        assert seen.of(sample, label, service="svc", name=NAME) == dict.fromkeys(values, 0)
    assert seen.of("circuit_breaker_state", "state") == {"closed": 1, "open": 0, "half_open": 0}
    assert seen.of("circuit_breaker_mode", "mode") == {"auto": 1, "forced_open": 0, "disabled": 0, "shadow": 0}
    moves = {
        (dict(labels)["from_state"], dict(labels)["to_state"]): value
        for (name, labels), value in seen.series.items()
        if name == "circuit_breaker_transitions_total"
    }
    assert moves == {
        ("closed", "open"): 0,
        ("open", "half_open"): 0,
        ("half_open", "open"): 0,
        ("half_open", "closed"): 0,
        ("open", "closed"): 0,
    }
    assert seen.of("circuit_breaker_policy_updates_total", "result", service="svc") == {
        "applied": 0,
        "unchanged": 0,
        "invalid": 0,
        "deleted": 0,
    }
    assert seen.value("circuit_breaker_recovery_share") == 1
    assert math.isnan(seen.value("circuit_breaker_failure_rate"))
    assert seen.of("circuit_breaker_source_up") == {}
    later = {key for key, _ in driven(provider.get_breaker(NAME), scrape, form).series.items()}
    assert later == set(seen.series)


def driven(breaker: Breaker, scrape: Scraping, form: str) -> Scrape:
    fail(breaker, 5)
    rejected(breaker)
    breaker.shadow()
    return scrape(form)


def test_one_life_of_a_breaker(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, clock: ManualClock
) -> None:
    # S230
    provider = provider_of(Policy(2, 1, 60, probe_timeout=10))
    register(provider, registry)
    breaker = provider.get_breaker(NAME)
    succeed(breaker, 7)
    ignored(breaker, 3)
    late = breaker.acquire()
    fail(breaker, 2)
    late.success()
    rejected(breaker, 4)
    clock.advance(25)
    seen = scrape()
    assert seen.of("circuit_breaker_state", "state") == {"closed": 0, "open": 1, "half_open": 0}
    assert (seen.value("circuit_breaker_state_code"), seen.value("circuit_breaker_late_results_total")) == (1, 1)
    assert seen.of("circuit_breaker_calls_total", "outcome") == {"success": 7, "failure": 2, "ignored": 3}
    assert seen.of("circuit_breaker_rejected_calls_total", "reason")["open"] == 4
    assert seen.value("circuit_breaker_transitions_total", from_state="closed", to_state="open") == 1
    assert seen.value("circuit_breaker_retry_after_seconds") == 35
    assert seen.value("circuit_breaker_state_age_seconds") == 25
    cool(breaker, clock)
    probe = breaker.acquire()
    rejected(breaker)
    seen = scrape()
    assert (seen.value("circuit_breaker_state_code"), seen.value("circuit_breaker_half_open_in_flight")) == (2, 1)
    clock.advance(11)
    breaker.acquire().success()  # takes the slot of the overdue one back, and closes
    probe.failure()
    seen = scrape()
    assert seen.of("circuit_breaker_probes_total", "result") == {
        "success": 1,
        "failure": 0,
        "ignored": 0,
        "late": 1,
        "overdue": 1,
    }
    assert seen.of("circuit_breaker_state_seconds_total", "state") == {"closed": 0, "open": 60, "half_open": 11}
    breaker.force_open()
    rejected(breaker, 2)
    seen = scrape()
    assert seen.of("circuit_breaker_mode", "mode") == {"auto": 0, "forced_open": 1, "disabled": 0, "shadow": 0}
    assert seen.of("circuit_breaker_state", "state")["closed"] == 1
    assert seen.of("circuit_breaker_rejected_calls_total", "reason") == {
        "open": 4,
        "half_open": 1,
        "operator": 2,
        "recovering": 0,
    }


def test_rates_slow_calls_and_recovery(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, clock: ManualClock
) -> None:
    # S230
    policy = Policy(
        None,
        1,
        10,
        failure_rate_threshold=0.5,
        slow_call_rate_threshold=0.75,
        slow_call_duration=2,
        window=Window(calls=8),
        minimum_calls=4,
        recovery_time=90,
    )
    provider = provider_of(policy)
    register(provider, registry)
    breaker = provider.get_breaker(NAME)
    succeed(breaker, 2)
    fail(breaker)
    assert math.isnan(scrape().value("circuit_breaker_failure_rate"))  # below the minimum
    hanging = breaker.acquire()
    clock.advance(3)
    succeed(breaker, 1)
    seen = scrape()
    assert seen.value("circuit_breaker_failure_rate") == 0.25
    assert seen.value("circuit_breaker_slow_call_rate") == 0.2  # the hanging one is the fifth
    assert (seen.value("circuit_breaker_window_calls"), seen.value("circuit_breaker_slow_calls_in_flight")) == (4, 1)
    assert seen.value("circuit_breaker_failure_rate_threshold") == 0.5
    assert seen.value("circuit_breaker_slow_call_rate_threshold") == 0.75
    hanging.ignore()
    trip(breaker)
    cool(breaker, clock)
    succeed(breaker)
    clock.advance(10)
    assert scrape().value("circuit_breaker_recovery_share") == pytest.approx(0.2)


def test_shadow_openings_count_what_would_have_happened(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, events: list[Any]
) -> None:
    # S166, S230
    provider = provider_of(Policy(2))
    register(provider, registry)
    breaker = provider.get_breaker(NAME)
    breaker.shadow()
    for _ in range(3):
        fail(breaker, 4)
        succeed(breaker)
    seen = scrape()
    assert seen.value("circuit_breaker_shadow_openings_total") == 3
    assert len([event for event in events if isinstance(event, WouldHaveOpened)]) == 3
    assert seen.of("circuit_breaker_state", "state")["closed"] == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_scrape_equals_what_was_counted_outside(
    provider_of: Providers, registry: CollectorRegistry, clock: ManualClock, events: list[Any], seed: int
) -> None:
    # S230: every call, rejection and event of a random life, by the test's own counts
    chance = random.Random(seed)
    provider = provider_of(Policy(2, 2, 5, half_open_max_calls=2, probe_timeout=3, recovery_time=8))
    register(provider, registry)
    breaker = provider.get_breaker(NAME)
    calls: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    spent: Counter[str] = Counter()

    def call(outcome: str, work: Callable[[], Any]) -> None:
        try:
            breaker.do(work)
        except BreakerOpenError as error:
            reasons[error.reason] += 1
            return
        except (Boom, HangUp):
            pass
        calls[outcome] += 1

    for _ in range(600):
        step = chance.random()
        if step < 0.35:
            call("success", lambda: None)
        elif step < 0.75:
            call("failure", raiser(Boom("down")))
        elif step < 0.8:
            call("ignored", raiser(HangUp()))
        elif step < 0.98:
            seconds = chance.choice((0.25, 1, 4))
            spent[str(breaker.state).lower()] += seconds  # type: ignore[assignment]
            clock.advance(seconds)
        elif step < 0.99:
            breaker.override(chance.choice([None, Mode.FORCED_OPEN, Mode.SHADOW]))
        else:
            breaker.reset()
    seen = parsed(generate_latest(registry).decode())
    zero = dict.fromkeys(("success", "failure", "ignored"), 0)
    assert seen.of("circuit_breaker_calls_total", "outcome") == zero | calls
    no_reasons = dict.fromkeys(("open", "half_open", "operator", "recovering"), 0)
    assert seen.of("circuit_breaker_rejected_calls_total", "reason") == no_reasons | reasons
    no_time = dict.fromkeys(("closed", "open", "half_open"), 0)
    assert seen.of("circuit_breaker_state_seconds_total", "state") == no_time | spent
    moves = Counter((e.from_state, e.to_state) for e in events if isinstance(e, StateChanged))
    for before in State:
        for after in State:
            labels = {"from_state": before.lower(), "to_state": after.lower()}
            found = seen.of("circuit_breaker_transitions_total", **labels)
            assert sum(found.values()) == moves[before, after]
    overdue = len([e for e in events if isinstance(e, ProbeOverdue)])
    assert seen.value("circuit_breaker_probes_total", result="overdue") == overdue
    assert sum(calls.values()) >= 60
    assert sum(reasons.values()) >= 60


def test_scraping_changes_nothing(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, clock: ManualClock, events: list[Any]
) -> None:
    # S160, S231: after the open timeout too, the next call is still the first probe
    provider = provider_of(Policy(1, 1, 5))
    register(provider, registry)
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    clock.advance(6)
    before = breaker.snapshot()
    told = list(events)
    for _ in range(50):
        scrape()
    assert breaker.snapshot() == before
    assert events == told
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_nobody_listens_to_the_calls(provider_of: Providers, registry: CollectorRegistry) -> None:
    # S231: an event is made where somebody listens, so nobody does
    provider = provider_of()
    listening = provider._listeners.listeners
    with register(provider, registry):
        provider.get_breaker(NAME)
        assert provider._listeners.listeners == listening == ()
