"""Fields that contradict each other: in one policy, and only once documents are put together."""

from typing import Any

import pytest

from breaker import Policy, PolicyError, Provider, Window
from breaker.events import PolicyRejected, PolicyUpdated
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Providers
from support.reading import of_type

SLOW = {"slow_call_rate_threshold": 0.5, "slow_call_duration": 1.0}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"slow_call_rate_threshold": 0.5}, ["slow_call_rate_threshold 0.5", "slow_call_duration off"]),
        ({"slow_call_duration": 2}, ["slow_call_rate_threshold off", "slow_call_duration 2.0"]),
        ({"failure_threshold": None}, ["failure_threshold", "failure_rate_threshold", "slow_call_rate_threshold"]),
        (
            {"failure_rate_threshold": 0.5, "minimum_calls": 101},
            ["minimum_calls 101", "window Window(calls=100)"],
        ),
        ({"failure_rate_threshold": 0.5, "window": Window(calls=9)}, ["minimum_calls 10", "window Window(calls=9)"]),
        ({**SLOW, "minimum_calls": 200}, ["minimum_calls 200", "window Window(calls=100)"]),
    ],
)
def test_a_policy_names_the_fields_that_contradict_each_other(fields: dict[str, Any], names: list[str]) -> None:
    # S217
    with pytest.raises(PolicyError) as refused:
        Policy(**fields)
    assert all(name in str(refused.value) for name in names)
    assert refused.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {"minimum_calls": 1000},
        {"window": Window(calls=1)},
        {"failure_rate_threshold": 0.5, "minimum_calls": 100},
        {"failure_rate_threshold": 0.5, "minimum_calls": 10**6, "window": Window(time=1)},
        {"failure_threshold": None, "failure_rate_threshold": 0.5},
        {"failure_threshold": None, **SLOW},
    ],
)
def test_what_does_not_contradict_itself(fields: dict[str, Any]) -> None:
    # S217: a minimum matters only where there is a rate, and a window by time holds any number
    policy = Policy(**fields)
    assert Policy.from_json(policy.to_json()) == policy


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ('{"slowCallRateThreshold": 0.5}', "slowCallRateThreshold and slowCallDuration must be both given or both off"),
        ('{"failureRateThreshold": 0.5, "minimumCalls": 500}', "minimumCalls and window must be a minimum that"),
        ('{"failureThreshold": null}', "failureThreshold, failureRateThreshold and slowCallRateThreshold must be not"),
    ],
)
def test_a_document_read_by_itself_is_refused_with_its_own_spelling(document: str, names: str) -> None:
    # S217
    with pytest.raises(PolicyError) as refused:
        Policy.from_json(document)
    assert str(refused.value).startswith(names)


@pytest.fixture
def provider(provider_of: Providers, source: MemorySource, events: list[Any]) -> Provider:
    return provider_of(Policy(7), policy_source=source)


def refusals(events: list[Any]) -> list[str]:
    return [event.error for event in of_type(events, PolicyRejected)]


def test_half_a_rule_is_right_beside_the_other_half(
    provider: Provider, source: MemorySource, events: list[Any]
) -> None:
    # S217
    source.put("default", {"slowCallRateThreshold": 0.5, "slowCallDuration": "1s"})
    source.put(NAME, {"slowCallDuration": "5s"})
    assert provider.get_breaker(NAME).policy == Policy(7, slow_call_rate_threshold=0.5, slow_call_duration=5)
    assert refusals(events) == []
    stored = source.list()[NAME]
    assert (stored.error, stored.policy and stored.policy.slow_call_duration) == (None, 5.0)


def test_a_breaker_keeps_its_policy_and_a_new_one_does_without_its_document(
    provider: Provider, source: MemorySource, events: list[Any]
) -> None:
    # S217
    source.put("default", {"failureThreshold": 4})
    source.put(NAME, {"successThreshold": 3})
    breaker = provider.get_breaker(NAME)
    source.put(NAME, {"successThreshold": 9, "slowCallRateThreshold": 0.5})
    assert breaker.policy == Policy(4, 3)
    (error,) = refusals(events)
    for part in (
        f"{NAME}.json: ",
        "slowCallRateThreshold 0.5",
        f"({NAME}.json)",
        "slowCallDuration off",
        "the provider's",
    ):
        assert part in error
    provider.remove(NAME)
    assert provider.get_breaker(NAME).policy == Policy(4)
    source.put(NAME, {"successThreshold": 9, "slowCallRateThreshold": 0.5, "slowCallDuration": "1s"})
    assert provider.get_breaker(NAME).policy.success_threshold == 9
    assert len(refusals(events)) == 1


def test_a_contradiction_may_come_with_default_json(
    provider: Provider, source: MemorySource, events: list[Any]
) -> None:
    # S217: one report for each pair of contents
    source.put("default", {"failureRateThreshold": 0.5, "window": {"calls": 50}})
    source.put(NAME, {"minimumCalls": 30})
    breaker, other = provider.get_breaker(NAME), provider.get_breaker("other")
    before = breaker.policy
    source.put("default", {"failureRateThreshold": 0.5, "window": {"calls": 20}})
    assert (breaker.policy, other.policy.window) == (before, Window(calls=20))
    assert len(refusals(events)) == 1
    assert "minimumCalls 30" in refusals(events)[0]
    assert "(default.json)" in refusals(events)[0]
    source.put("unrelated", {"failureThreshold": 2})
    assert len(refusals(events)) == 1
    source.put("default", {"failureRateThreshold": 0.5, "window": {"calls": 25}})
    assert len(refusals(events)) == 2
    source.put("default", {"failureRateThreshold": 0.5, "window": {"calls": 30}})
    assert breaker.policy.window == Window(calls=30)
    assert len(refusals(events)) == 2


def test_a_default_json_that_contradicts_the_providers_default(
    provider: Provider, source: MemorySource, events: list[Any]
) -> None:
    # S217
    held = provider.get_breaker("held")
    source.put("default", {"failureThreshold": 2, "slowCallDuration": "1s"})
    assert (held.policy, provider.get_breaker("new").policy) == (Policy(7), Policy(7))
    (event,) = of_type(events, PolicyRejected)
    assert event.key.endswith("/default.json")
    source.put(NAME, {"failureThreshold": 3, "slowCallDuration": None})
    assert provider.get_breaker(NAME).policy == Policy(3)
    assert len(refusals(events)) == 1


def test_null_overrules_an_inherited_value(provider: Provider, source: MemorySource, events: list[Any]) -> None:
    # S218
    source.put("default", {"failureRateThreshold": 0.5, "slowCallRateThreshold": 0.5, "slowCallDuration": "1s"})
    off: dict[str, Any] = dict.fromkeys(("failureThreshold", "slowCallRateThreshold", "slowCallDuration"))
    source.put(NAME, off)
    policy = provider.get_breaker(NAME).policy
    assert policy == Policy(None, failure_rate_threshold=0.5)
    assert b'"failureThreshold": null' in policy.to_json()
    source.put(NAME, off | {"failureThreshold": 3})
    (update,) = of_type(events, PolicyUpdated)
    assert update.old.differences(update.new) == {"failureThreshold": (None, 3)}


def test_a_window_replaces_an_inherited_one_as_a_whole(
    provider: Provider, source: MemorySource, clock: ManualClock
) -> None:
    # S200
    source.put("default", {"window": {"calls": 500}})
    source.put(NAME, {"window": {"time": "30s"}})
    assert provider.get_breaker(NAME).policy.window == Window(time=30)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "window must be one of calls and time, got neither"),
        ({"calls": 1, "time": 1.0}, "window must be one of calls and time, got both"),
        ({"calls": 0}, "window.calls must be a whole number from 1 to 1000000"),
        ({"calls": True}, "window.calls must be a whole number from 1 to 1000000"),
        ({"time": 0}, "window.time must be at least one nanosecond"),
        ({"time": "1s"}, "window.time must be a positive"),
    ],
)
def test_a_window_is_one_of_two_kinds(given: dict[str, Any], message: str) -> None:
    # S200
    with pytest.raises(PolicyError, match=message):
        Window(**given)


@pytest.mark.parametrize("value", [100, 60.0, "60s", {"calls": 100}, None])
def test_a_policy_takes_a_window(value: Any) -> None:
    # S200
    with pytest.raises(PolicyError, match=r"window must be a breaker.Window, .* write Window\(calls=100\)"):
        Policy(window=value)


def test_percentages_are_advised() -> None:
    # S126
    with pytest.raises(PolicyError, match=r"failure_rate_threshold must be a ratio .* write 0\.5 for 50 %"):
        Policy(failure_rate_threshold=50)
