"""Which policy a name gets: ``{name}.json``, then ``default.json``, then the provider's default."""

from typing import Any

import pytest

from breaker import Mode, Policy, Provider, State
from breaker.events import PolicyRejected, PolicyUpdated, StateChanged
from breaker.policies.names import document_key
from breaker.policies.origin import DocumentOrigin
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, fail, rejected, succeed, trip
from support.reading import of_type
from support.sources import Handmade


@pytest.fixture
def provider(provider_of: Providers, source: MemorySource) -> Provider:
    return provider_of(Policy(7, 3, 90.0, half_open_max_calls=2), policy_source=source)


def test_each_field_comes_from_the_first_that_has_it(provider: Provider, source: MemorySource) -> None:
    # S123
    source.put("default", {"successThreshold": 4, "openStateTimeout": "30s"})
    source.put(NAME, {"openStateTimeout": "10s", "mode": "shadow"})
    assert provider.get_breaker(NAME).policy == Policy(7, 4, 10.0, half_open_max_calls=2, mode=Mode.SHADOW)
    assert provider.get_breaker("other").policy == Policy(7, 4, 30.0, half_open_max_calls=2)


def test_deleting_documents_falls_back_step_by_step_and_keeps_the_state(
    provider: Provider, source: MemorySource
) -> None:
    # S123
    source.put("default", {"failureThreshold": 6})
    source.put(NAME, {"failureThreshold": 5})
    breaker = provider.get_breaker(NAME)
    fail(breaker, 4)
    for name, threshold in ((NAME, 6), ("default", 7)):
        source.delete(name)
        assert breaker.policy.failure_threshold == threshold
        assert breaker.snapshot().consecutive_failures == 4
    source.delete("never there")


def test_a_held_reference_obeys_the_new_policy(provider: Provider, source: MemorySource) -> None:
    # S110
    breaker = provider.get_breaker(NAME)
    source.put(NAME, {"failureThreshold": 2})
    fail(breaker, 2)
    assert breaker.state is State.OPEN
    assert provider.get_breaker(NAME) is breaker


def test_default_applies_to_all_that_say_nothing_themselves(
    provider: Provider, source: MemorySource, events: list[Any]
) -> None:
    # S123
    provider.subscribe(events.append)
    source.put("own", {"failureThreshold": 9})
    breakers = [provider.get_breaker(name) for name in ("a", "b", "own")]
    source.put("default", {"failureThreshold": 2})
    assert [breaker.policy.failure_threshold for breaker in breakers] == [2, 2, 9]
    assert {event.name for event in of_type(events, PolicyUpdated)} == {"a", "b"}
    assert breakers[0].policy is breakers[1].policy


def test_an_update_tells_old_new_and_revision(provider_of: Providers, source: MemorySource, events: list[Any]) -> None:
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    source.put(NAME, {"failureThreshold": 2})
    source.put(NAME, {"failureThreshold": 3})
    first, second = of_type(events, PolicyUpdated)
    assert (first.name, first.old, first.new) == (NAME, Policy(), Policy(2))
    assert (second.old, second.new) == (Policy(2), breaker.policy)
    assert second.revision > first.revision


@pytest.mark.parametrize("again", [b'{"openStateTimeout": "1m"}', b'{ "openStateTimeout":"60s", "mode": "auto" }'])
def test_the_same_policy_again_is_nothing(
    provider_of: Providers, source: MemorySource, events: list[Any], again: bytes
) -> None:
    # S116
    source.put(NAME, b'{"openStateTimeout": "1m"}')
    breaker = provider_of(Policy(5, 2, 5), policy_source=source).get_breaker(NAME)
    policy, heard = breaker.policy, len(events)
    source.put(NAME, again)
    assert breaker.policy is policy
    assert len(events) == heard


def test_an_update_while_open_keeps_state_and_deadline(
    provider_of: Providers, source: MemorySource, clock: ManualClock, events: list[Any]
) -> None:
    # S110
    breaker = provider_of(Policy(1, 1, 60), policy_source=source).get_breaker(NAME)
    trip(breaker)
    clock.advance(10)
    before = len(of_type(events, StateChanged))
    source.put(NAME, {"successThreshold": 3})
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 50)
    assert len(of_type(events, StateChanged)) == before


def test_an_invalid_document_keeps_the_last_good_one(
    provider_of: Providers, source: MemorySource, events: list[Any]
) -> None:
    # S124
    provider = provider_of(Policy(), policy_source=source)
    source.put(NAME, {"failureThreshold": 2})
    breaker, other = provider.get_breaker(NAME), provider.get_breaker("other")
    source.publish_raw(NAME, {"failureThreshold": 0, "successThreshold": 9})
    assert breaker.policy == Policy(2)
    source.put("default", {"successThreshold": 4})  # what it inherits goes on following
    assert (breaker.policy, other.policy) == (Policy(2, 4), Policy(5, 4))
    (rejection,) = of_type(events, PolicyRejected)
    assert rejection.key.endswith(f"/{NAME}.json")
    for word in (NAME, "failureThreshold", "whole number from 1", "got 0"):
        assert word in rejection.error
    source.put(NAME, {"failureThreshold": 3})
    assert breaker.policy == Policy(3, 4)


def test_a_first_document_that_is_invalid_counts_as_absent(
    provider_of: Providers, source: MemorySource, events: list[Any]
) -> None:
    # S124
    source.publish_raw(NAME, "{")
    source.put("default", {"failureThreshold": 4})
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    assert breaker.policy == Policy(4)


def test_an_invalid_default_keeps_its_last_good_fields(provider: Provider, source: MemorySource) -> None:
    # S124
    source.put("default", {"failureThreshold": 4})
    source.publish_raw("default", "[]")
    assert provider.get_breaker(NAME).policy.failure_threshold == 4


def test_an_error_is_reported_once_per_content_of_its_document(
    provider_of: Providers, source: MemorySource, events: list[Any]
) -> None:
    # S124
    provider_of(Policy(), policy_source=source)
    source.publish_raw(NAME, "wrong")
    source.put("other", {"failureThreshold": 2})
    source.publish_raw(NAME, "wrong")
    source.publish_raw("third", "wrong too")
    assert len(of_type(events, PolicyRejected)) == 2
    source.publish_raw(NAME, "wrong differently")
    assert len(of_type(events, PolicyRejected)) == 3


def test_a_document_deleted_while_invalid_forgets_its_last_good_version(
    provider: Provider, source: MemorySource
) -> None:
    # S124
    source.put(NAME, {"failureThreshold": 2})
    source.publish_raw(NAME, "wrong")
    source.delete(NAME)
    assert provider.get_breaker(NAME).policy.failure_threshold == 7
    source.publish_raw(NAME, "wrong")
    assert provider.get_breaker(NAME).policy.failure_threshold == 7


@pytest.mark.parametrize("name", ["/pkg.Service/Method", "a b", "naïve ☃", "..", "50%", "x" * 255, "tab\there"])
def test_any_name_has_a_document_of_its_own(provider: Provider, source: MemorySource, name: str) -> None:
    # S122
    source.put(name, {"failureThreshold": 2})
    assert provider.get_breaker(name).policy.failure_threshold == 2
    assert provider.get_breaker("another").policy.failure_threshold == 7


def test_keys_that_are_no_policies_change_nothing(provider: Provider, source: MemorySource) -> None:
    # S122
    breaker = provider.get_breaker(NAME)
    source.put("unrelated", {"failureThreshold": 1})
    assert breaker.policy.failure_threshold == 7


def test_a_mode_in_a_document_is_an_overlay_until_it_is_taken_back(
    provider_of: Providers, source: MemorySource, clock: ManualClock
) -> None:
    # S92
    breaker = provider_of(Policy(5), policy_source=source).get_breaker(NAME)
    fail(breaker, 3)
    source.put("default", {"mode": "forced_open"})
    assert rejected(breaker).reason == "operator"
    breaker.override(Mode.AUTO)
    succeed(breaker, 0)
    assert breaker.snapshot().consecutive_failures == 3
    breaker.clear_override()
    assert breaker.mode is Mode.FORCED_OPEN
    source.delete("default")
    assert (breaker.mode, breaker.snapshot().consecutive_failures) == (Mode.AUTO, 3)


def test_a_burst_ends_with_the_last_document(provider: Provider, source: MemorySource) -> None:
    # S128
    breaker = provider.get_breaker(NAME)
    for threshold in range(1, 101):
        source.put(NAME, {"failureThreshold": threshold})
    assert breaker.policy.failure_threshold == 100


def test_a_listener_that_raises_or_publishes_leaves_no_name_behind(provider: Provider, source: MemorySource) -> None:
    # S142
    breakers = [provider.get_breaker(f"b{n}") for n in range(5)]

    def listen(event: Any) -> None:
        if isinstance(event, PolicyUpdated) and event.new.failure_threshold == 2:
            source.put("default", {"failureThreshold": 3})
            raise Boom("in a listener")

    provider.subscribe(listen)
    source.put("default", {"failureThreshold": 2})
    assert [breaker.policy.failure_threshold for breaker in breakers] == [3] * 5


def test_one_source_serves_several_providers_each_with_its_own_default(
    provider_of: Providers, source: MemorySource
) -> None:
    one, two = provider_of(Policy(3), policy_source=source), provider_of(Policy(4), policy_source=source)
    source.put(NAME, {"successThreshold": 1})
    assert (one.get_breaker(NAME).policy, two.get_breaker(NAME).policy) == (Policy(3, 1), Policy(4, 1))
    one.close()
    source.put(NAME, {"successThreshold": 5})
    assert (one.get_breaker(NAME).policy, two.get_breaker(NAME).policy) == (Policy(3, 1), Policy(4, 5))
    assert one.get_breaker("new, after close").policy == Policy(3)


def test_an_origin_names_the_document_of_each_field(provider: Provider, source: MemorySource) -> None:
    # S165
    source.put("default", {"successThreshold": 4, "openStateTimeout": "30s"})
    source.put(NAME, {"openStateTimeout": "10s"})
    own, others = document_key(NAME), "default.json"
    origin = provider.policy_origin(NAME)
    assert set(origin.fields) == set(Policy().document(whole=True)) | {"probeTimeout", "openTimeoutMax"}
    named = {field: key for field, key in origin.fields.items() if key is not None}
    assert named == {"successThreshold": others, "openStateTimeout": own}
    assert [(found.key, found.error) for found in origin.documents] == [(own, None), (others, None)]
    assert set(provider.policy_origin("other").fields.values()) == {others, None}


def test_an_origin_has_the_revision_that_brought_the_contents(provider: Provider, source: MemorySource) -> None:
    # S165
    def revisions() -> dict[str, int]:
        return {found.key: found.revision for found in provider.policy_origin(NAME).documents}

    assert revisions() == {}
    first = source.put("default", {"successThreshold": 4})
    second = source.put(NAME, {"failureThreshold": 3})
    third = source.put("another", {"failureThreshold": 3})
    assert revisions() == {document_key(NAME): second, "default.json": first}
    assert third > second > first
    fourth = source.put("default", {"successThreshold": 5})
    assert revisions() == {document_key(NAME): second, "default.json": fourth}
    source.delete(NAME)
    assert revisions() == {"default.json": fourth}


def test_an_origin_says_what_is_wrong_with_a_document_that_is_not_in_force(provider_of: Providers) -> None:
    # S124, S165
    source = Handmade(lambda watch: None)
    provider = provider_of(policy_source=source, start_timeout=0)
    (watch,) = source.watches
    key = document_key(NAME)
    watch.publish({key: b'{"failureThreshold": 3}'}, 1)
    watch.publish({key: b'{"failureThreshold": "many"}'}, 2)
    (found,) = provider.policy_origin(NAME).documents
    assert found.revision == 2
    assert found.error is not None
    assert f"{key}: failureThreshold must be" in found.error
    assert provider.policy_origin(NAME).fields["failureThreshold"] == key  # the last good one
    watch.publish({key: b'{"failureThreshold": 4}'}, 3)
    assert provider.policy_origin(NAME).documents == (DocumentOrigin(key, 3, None),)
    watch.publish({}, 4)
    assert provider.policy_origin(NAME).documents == ()


def test_an_origin_says_what_contradicts_itself(provider: Provider, source: MemorySource) -> None:
    # S165, S217
    source.put("default", {"failureRateThreshold": 0.5, "minimumCalls": 50})
    source.put(NAME, {"window": {"calls": 20}})
    own, others = provider.policy_origin(NAME).documents
    assert own.error is not None
    assert "minimumCalls and window" in own.error
    assert others.error is None
    assert provider.policy_origin(NAME).fields["window"] is None
    assert provider.policy_origin(NAME).fields["minimumCalls"] == "default.json"


@pytest.mark.parametrize("name", ["", "default", 5])
def test_an_origin_is_of_a_name(provider: Provider, name: Any) -> None:
    # S121, S165
    with pytest.raises((TypeError, ValueError), match=r"a breaker's name|no breaker"):
        provider.policy_origin(name)
