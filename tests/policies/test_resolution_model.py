"""Resolution against an oracle: after any sequence of documents each breaker has the policy that the rules name. N."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker import Config, Mode, Policy, Provider
from breaker.events import ModeChanged, PolicyRejected, PolicyUpdated, UnknownFields
from breaker.policies.names import document_key
from breaker.sources import MemorySource
from support.drive import NAME, Put, document
from support.reading import of_type

NAMES = ["a", "/b", "late", "default"]
DEFAULT = Policy(7, 3, 90.0, half_open_max_calls=2, probe_timeout=5)
FIELDS: dict[str, tuple[str, dict[Any, Any]]] = {
    "failureThreshold": ("failure_threshold", {1: 1, 9: 9}),
    "openStateTimeout": ("open_state_timeout", {"10s": 10.0, "90s": 90.0}),
    "halfOpenMaxCalls": ("half_open_max_calls", {1: 1, 2: 2}),
    "mode": ("mode", {"auto": Mode.AUTO, "shadow": Mode.SHADOW}),
    "openTimeoutMultiplier": ("open_timeout_multiplier", {1: 1.0, 2.5: 2.5}),
}
INVALID = [b"", b"[]", b'{"failureThreshold": 0}', b'{"mode": "auto", "openStateTimeout": 60}']

good = st.fixed_dictionaries({}, optional={key: st.sampled_from(list(values)) for key, (_, values) in FIELDS.items()})
acts = st.tuples(
    st.sampled_from(NAMES), good.map(lambda fields: json.dumps(fields).encode()) | st.sampled_from(INVALID)
)
deletions = st.tuples(st.sampled_from(NAMES), st.none())


class Oracle:
    """What is put, the last good version of each, and what follows from them."""

    def __init__(self) -> None:
        self.put: dict[str, bytes] = {}
        self.good: dict[str, dict[str, Any]] = {}

    def act(self, name: str, text: bytes | None) -> bool:
        """Put or delete a document; whether there is an error to report."""
        if text is None:
            self.put.pop(name, None)
            self.good.pop(name, None)
            return False
        new = self.put.get(name) != text
        self.put[name] = text
        if text in INVALID:
            return new
        self.good[name] = json.loads(text)
        return False

    def policy(self, name: str) -> Policy:
        fields = {name: getattr(DEFAULT, name) for name in ("failure_threshold", "success_threshold", "mode")}
        fields |= {"half_open_max_calls": 2, "probe_timeout": 5, "open_state_timeout": 90.0}
        for source in ("default", name):
            for key, value in self.good.get(source, {}).items():
                field, values = FIELDS[key]
                fields[field] = values[value]
        return Policy(**fields)


@given(st.lists(acts | deletions, max_size=12))
def test_after_any_documents_each_breaker_has_the_policy_of_the_rules(sequence: list[tuple[str, bytes | None]]) -> None:
    # S123
    oracle, source, events = Oracle(), MemorySource(), list[Any]()
    with Provider(Config("svc", "/c/"), policy_source=source, default_policy=DEFAULT) as provider:
        provider.subscribe(events.append)
        breakers = {name: provider.get_breaker(name) for name in ("a", "/b")}
        for name, text in sequence:
            before = {name: breaker.policy for name, breaker in breakers.items()}
            del events[:]
            rejected = oracle.act(name, text)
            source.delete(name) if text is None else source.publish_raw(name, text)
            changed = {name for name in breakers if oracle.policy(name) != before[name]}
            for own, breaker in breakers.items():
                assert breaker.policy == oracle.policy(own)
                assert breaker.mode is breaker.policy.mode
                assert (breaker.policy is before[own]) == (own not in changed)
            updates = of_type(events, PolicyUpdated)
            assert {(update.name, update.old, update.new) for update in updates} == {
                (name, before[name], oracle.policy(name)) for name in changed
            }
            assert len(updates) == len(changed)
            assert [event.key for event in of_type(events, PolicyRejected)] == [f"/c/{document_key(name)}"] * rejected
        assert provider.get_breaker("late").policy == oracle.policy("late")


@given(st.lists(acts, max_size=6))
def test_documents_that_are_there_at_the_start_say_the_same(sequence: list[tuple[str, bytes | None]]) -> None:
    oracle = Oracle()
    for name, text in sequence:
        if text not in INVALID:
            oracle.act(name, text)
    source = MemorySource({name: text for name, text in sequence if text is not None and text not in INVALID})
    with Provider(Config("svc", "/c/"), policy_source=source, default_policy=DEFAULT) as provider:
        for name in ("a", "/b", "late"):
            assert provider.get_breaker(name).policy == oracle.policy(name)


# -- what the oracle does not say --


def test_an_update_comes_before_the_change_of_mode_that_it_brings(
    provider_of: Callable[..., Provider], source: MemorySource, put: Put, events: list[Any]
) -> None:
    # S86
    provider_of(policy_source=source).get_breaker(NAME)
    del events[:]
    put(mode="shadow", failureThreshold=3)
    updated, mode = events
    assert updated == PolicyUpdated(NAME, Policy(), Policy(3, mode=Mode.SHADOW), updated.revision)
    assert mode == ModeChanged(NAME, Mode.AUTO, Mode.SHADOW)


def test_a_mode_of_the_default_document_is_everybodys_who_has_none(
    provider_of: Callable[..., Provider], source: MemorySource, put: Put
) -> None:
    provider = provider_of(policy_source=source)
    own, other = provider.get_breaker(NAME), provider.get_breaker("other")
    put(mode="auto")
    source.put("default", document(mode="forced_open"))
    assert (own.mode, other.mode) == (Mode.AUTO, Mode.FORCED_OPEN)
    assert provider.get_breaker("late").mode is Mode.FORCED_OPEN
    source.put("default", document(mode="auto"))
    assert {breaker.mode for breaker in provider.breakers.values()} == {Mode.AUTO}


def test_the_mode_of_the_providers_default_is_overruled_by_a_document(
    provider_of: Callable[..., Provider], source: MemorySource, put: Put
) -> None:
    breaker = provider_of(Policy(mode=Mode.DISABLED), policy_source=source).get_breaker(NAME)
    put(failureThreshold=3)
    assert breaker.policy == Policy(3, mode=Mode.DISABLED)
    put(mode="auto")
    assert breaker.mode is Mode.AUTO


def test_a_probe_timeout_follows_the_open_timeout_only_where_nobody_sets_it(
    provider_of: Callable[..., Provider], source: MemorySource, put: Put
) -> None:
    breaker = provider_of(policy_source=source).get_breaker(NAME)
    put(openStateTimeout="10s")
    assert breaker.policy == Policy(5, 2, 10.0, probe_timeout=None)
    source.put("default", document(probeTimeout="3s"))
    assert breaker.policy == Policy(5, 2, 10.0, probe_timeout=3.0)


def test_the_document_named_default_is_nobodys_own(provider_of: Callable[..., Provider], source: MemorySource) -> None:
    # S120, S121
    source.put("default", document(failureThreshold=9))
    source.put("default.json", document(failureThreshold=8))
    source.put("%64efault", document(failureThreshold=7))
    provider = provider_of(policy_source=source)
    with pytest.raises(ValueError, match="default"):
        provider.get_breaker("default")
    thresholds = {
        name: provider.get_breaker(name).policy.failure_threshold for name in ("default.json", "%64efault", "Default")
    }
    assert thresholds == {"default.json": 8, "%64efault": 7, "Default": 9}


def test_unknown_fields_are_warned_about_once_for_each_revision_that_brings_them(
    provider_of: Callable[..., Provider], source: MemorySource
) -> None:
    # S125
    warnings: list[Any] = []

    class Logger:
        def __getattr__(self, level: str) -> Any:
            return lambda message, **keys: warnings.append(keys) if level == "warning" else None

    source.publish_raw("a", document(newer=1, older=2))
    source.publish_raw("b", document(newest=1))
    breaker = provider_of(policy_source=source, logger=Logger()).get_breaker("a")
    source.put("c", document(failureThreshold=1))
    source.publish_raw("a", document(newer=1, older=2))
    source.publish_raw("a", document(newer=1, failureThreshold=3))
    assert [keys["fields"] for keys in warnings] == [
        {"a.json": ["newer", "older"], "b.json": ["newest"]},
        {"a.json": ["newer"]},
    ]
    assert len({keys["revision"] for keys in warnings}) == 2
    assert breaker.policy == Policy(3)


def test_unknown_fields_are_an_event_for_each_document_that_brings_them(
    provider_of: Callable[..., Provider], source: MemorySource, events: list[Any]
) -> None:
    # S125
    provider_of(policy_source=source)
    source.publish_raw("a", document(newer=1, older=2))
    source.publish_raw("b", document(failureThreshold=4, newest=1))
    source.publish_raw("b", document(failureThreshold=4))
    path = "/config/dev/svc/breakers/"
    told = of_type(events, UnknownFields)
    assert [(event.key, event.fields) for event in told] == [
        (f"{path}a.json", ("newer", "older")),
        (f"{path}b.json", ("newest",)),
    ]
    assert told[0].revision < told[1].revision
