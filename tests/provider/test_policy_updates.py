"""`Provider.policy_updates`: how many documents came to which end."""

import pytest

from breaker import Policy
from breaker.sources import MemorySource
from support.drive import NAME, Providers, Put, document
from support.sources import Handmade, document_of

NONE = {"applied": 0, "unchanged": 0, "invalid": 0, "deleted": 0}


def test_all_results_are_there_from_the_beginning_without_a_source_too(provider_of: Providers) -> None:
    # S133
    assert provider_of().policy_updates == NONE


def test_it_belongs_to_the_caller(provider_of: Providers) -> None:
    # S133
    provider = provider_of()
    dict.update(provider.policy_updates, applied=7)
    assert provider.policy_updates == NONE


def test_a_document_is_applied_unchanged_invalid_deleted(
    provider_of: Providers, source: MemorySource, put: Put
) -> None:
    # S133
    provider = provider_of(policy_source=source)
    begun = provider.policy_updates

    def since() -> dict[str, int]:
        return {result: count - begun[result] for result, count in provider.policy_updates.items()}

    put(failureThreshold=3)
    assert since() == NONE | {"applied": 1}
    source.put(NAME, b'{ "failureThreshold":  3 }')  # other bytes that say the same
    assert since() == NONE | {"applied": 1, "unchanged": 1}
    source.put("default", document(successThreshold=4))
    assert since() == NONE | {"applied": 2, "unchanged": 1}
    source.delete(NAME)
    assert since() == NONE | {"applied": 2, "unchanged": 1, "deleted": 1}


def test_a_publication_counts_its_documents_and_not_those_that_stay(provider_of: Providers) -> None:
    # S133
    source = Handmade()
    provider = provider_of(policy_source=source, start_timeout=0)
    watch = source.watches[0]
    three = {"a.json": document(failureThreshold=1), "b.json": b"{", "default.json": document(successThreshold=3)}
    watch.publish(three, 5)
    assert provider.policy_updates == NONE | {"applied": 2, "invalid": 1}
    watch.publish(three, 5)
    assert provider.policy_updates == NONE | {"applied": 2, "invalid": 1, "unchanged": 1}
    watch.publish({}, 4)  # older: dropped
    assert provider.policy_updates == NONE | {"applied": 2, "invalid": 1, "unchanged": 1}
    watch.publish({"no policy": b"{}", "default.json": three["default.json"]}, 6)
    assert provider.policy_updates == NONE | {"applied": 2, "invalid": 1, "unchanged": 1, "deleted": 2}


def test_a_contradiction_is_invalid_and_not_applied(provider_of: Providers) -> None:
    # S133, S217
    source = Handmade()
    provider = provider_of(Policy(3), policy_source=source, start_timeout=0)
    breaker = provider.get_breaker("a")
    source.watches[0].publish({"a.json": document(slowCallRateThreshold=0.5)}, 1)
    assert provider.policy_updates == NONE | {"invalid": 1}
    assert breaker.policy == Policy(3)


@pytest.mark.parametrize("close", [False, True])
def test_the_counts_stay_after_the_source(provider_of: Providers, close: bool) -> None:
    # S133, S141
    source = Handmade()
    provider = provider_of(policy_source=source, start_timeout=0)
    source.watches[0].publish(document_of(3), 1)
    if close:
        provider.close()
    source.watches[0].publish(document_of(4), 2)
    assert provider.policy_updates["applied"] == (1 if close else 2)
