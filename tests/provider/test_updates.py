"""Publications that are taken over by breakers that run, and that come at bad moments."""

from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, Policy, Provider
from breaker._updates import Updates
from breaker.events import PolicyRejected, PolicyUpdated
from breaker.sources import MemorySource
from support.drive import CONFIG, NAME, Boom, Providers, document
from support.reading import of_type
from support.sources import Handmade, document_of
from support.threads import HookClock, in_another_thread


def test_a_clock_that_fails_during_a_publication_leaves_no_breaker_behind_for_long(
    provider_of: Callable[..., Provider], source: MemorySource
) -> None:
    # S142: what was not reached then is reached by the next publication, whatever that changes
    def broken() -> None:
        raise Boom("clock")

    clock = HookClock()
    provider = provider_of(policy_source=source, clock=clock)
    breakers = [provider.get_breaker(f"name {number}") for number in range(3)]
    clock.hook = broken
    with pytest.raises(Boom):
        source.put("default", document(failureThreshold=3))
    source.put("somebody else", document(failureThreshold=9))
    assert [breaker.policy for breaker in breakers] == [Policy(3)] * 3
    in_another_thread(lambda: source.put("default", document(failureThreshold=4)))
    assert [breaker.policy for breaker in breakers] == [Policy(4)] * 3


def test_a_publication_inside_another_is_the_later_one(
    provider_of: Callable[..., Provider], source: MemorySource, events: list[Any]
) -> None:
    # S128: a signal handler or a clock publishes while documents are taken over
    clock = HookClock()
    breaker = provider_of(policy_source=source, clock=clock).get_breaker(NAME)
    clock.hook = lambda: source.put(NAME, document(failureThreshold=4))
    source.put(NAME, document(failureThreshold=3))
    assert breaker.policy == Policy(4)
    updates = [(event.old.failure_threshold, event.new.failure_threshold) for event in of_type(events, PolicyUpdated)]
    assert updates == [(5, 3), (3, 4)]


def test_an_older_publication_never_overwrites_a_newer(provider_of: Callable[..., Provider]) -> None:
    # S128
    source = Handmade()
    breaker = provider_of(policy_source=source, start_timeout=0).get_breaker(NAME)
    watch = source.watches[0]
    for threshold, revision, expected in ((3, 7, 3), (4, 6, 3), (5, 8, 5), (6, 8, 6), (7, 1, 6)):
        watch.publish(document_of(threshold), revision)
        assert breaker.policy == Policy(expected)
    watch.publish(document_of(8), 1, restarted=True)
    assert breaker.policy == Policy(8)


def test_an_interrupt_while_it_is_reported_loses_neither_policies_nor_reports(
    provider_of: Callable[..., Provider], source: MemorySource, events: list[Any]
) -> None:
    interrupts = [KeyboardInterrupt()]

    def listener(event: Any) -> None:
        if isinstance(event, PolicyUpdated) and interrupts:
            raise interrupts.pop()

    provider = provider_of(policy_source=Handmade(), start_timeout=0)
    provider.subscribe(listener)
    breakers = [provider.get_breaker(name) for name in ("a", "b")]
    watch = provider._watch
    assert watch is not None
    good = document(failureThreshold=3)
    with pytest.raises(KeyboardInterrupt):
        watch.publish({"a.json": good, "b.json": good, "c.json": b"wrong"}, 1)
    assert [breaker.policy for breaker in breakers] == [Policy(3)] * 2
    watch.publish({"a.json": good, "b.json": good, "c.json": b"wrong", "d.json": good}, 2)
    assert [event.key for event in of_type(events, PolicyRejected)] == ["/config/dev/svc/breakers/c.json"]
    assert {event.name for event in of_type(events, PolicyUpdated)} == {"a", "b"}


def test_a_document_of_a_kind_that_is_none_is_reported_with_its_place(
    provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    source = Handmade()
    provider = provider_of(policy_source=source, start_timeout=0)
    wrong: Any = {f"{NAME}.json": {"failureThreshold": 3}, "b.json": None, "c.json": document(failureThreshold=4)}
    source.watches[0].publish(wrong, 1)
    assert provider.get_breaker("c").policy == Policy(4)
    errors = [event.error for event in of_type(events, PolicyRejected)]
    assert [error.partition(": ")[0] for error in errors] == [f"center:{CONFIG.policies_path}{name}" for name in wrong][
        :2
    ]
    assert "got dict from a source that publishes no text" in errors[0]


def test_an_update_names_its_revision(
    provider_of: Callable[..., Provider], source: MemorySource, events: list[Any]
) -> None:
    provider_of(policy_source=source).get_breaker(NAME)
    for threshold in (3, 4):
        source.put(NAME, document(failureThreshold=threshold))
    one, two = of_type(events, PolicyUpdated)
    assert one.revision < two.revision
    assert (one.old, one.new, two.old, two.new) == (Policy(), Policy(3), Policy(3), Policy(4))


def test_a_publication_that_a_broken_clock_refused_does_not_come_later(
    provider_of: Providers, events: list[Any]
) -> None:
    # the source knows that it failed; publications would pile up behind a clock that stays broken
    def broken() -> None:
        raise Boom("clock")

    clock, source = HookClock(), Handmade()
    breaker = provider_of(policy_source=source, clock=clock, start_timeout=0).get_breaker(NAME)
    clock.hook = broken
    with pytest.raises(Boom):
        source.watches[0].publish(document_of(3), 1)
    source.watches[0].publish(document_of(4), 2)
    assert breaker.policy == Policy(4)
    assert [event.new for event in of_type(events, PolicyUpdated)] == [Policy(4)]


# -- a breaker that is made meanwhile --


class Watched:
    """In place of `Updates._bring_up_to_date`: what it changed, and whether anybody could see the breaker by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.provider: Provider | None = None
        self.seen: list[tuple[bool, bool]] = []  # changed, among the breakers
        self.after: Callable[[], Any] | None = None
        replace = Updates._bring_up_to_date

        def watched(updates: Updates, breaker: Breaker, now: int) -> bool:
            changed = replace(updates, breaker, now)
            assert self.provider is not None
            self.seen.append((changed, breaker.name in self.provider.breakers))
            after, self.after = self.after, None
            if after is not None:
                after()
            return changed

        monkeypatch.setattr(Updates, "_bring_up_to_date", watched)


def test_nobody_sees_a_new_breaker_with_a_policy_that_is_past(
    provider_of: Providers, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S140
    clock, watched = HookClock(), Watched(monkeypatch)
    watched.provider = provider_of(policy_source=source, clock=clock)
    clock.hook = lambda: source.put(NAME, document(failureThreshold=3))  # it was made by the documents before
    assert watched.provider.get_breaker(NAME).policy == Policy(3)
    assert watched.seen[0] == (True, False)


def test_documents_that_a_signal_handler_publishes_while_it_joins_the_others_are_not_missed(
    provider_of: Providers, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S140
    watched = Watched(monkeypatch)
    watched.provider = provider_of(policy_source=source)
    watched.after = lambda: source.put(NAME, document(failureThreshold=3))
    assert watched.provider.get_breaker(NAME).policy == Policy(3)
