"""How a provider reports its source: `source_status`, one event and one line for each end and beginning."""

from typing import Any

import pytest

from breaker import Provider
from breaker.events import SourceLost, SourceRegained
from breaker.sources import FileSource, MemorySource, Watch
from support.drive import Providers
from support.reading import of_type


class ByHand:
    """A source that publishes what the test tells it to."""

    watch: Watch

    def start(self, watch: Watch) -> None:
        self.watch = watch

    def stop(self, watch: Watch) -> None:
        pass

    def after_fork(self) -> None:
        pass

    def location(self, path: str, key: str) -> str:
        return path + key


@pytest.fixture
def by_hand() -> ByHand:
    return ByHand()


@pytest.fixture
def provider(provider_of: Providers, by_hand: ByHand, events: list[Any]) -> Provider:
    return provider_of(policy_source=by_hand, start_timeout=0)


def up(provider: Provider) -> tuple[bool, str | None, int]:
    status = provider.source_status
    assert status is not None
    return status.connected, status.endpoint, status.reconnects


def test_no_source_has_no_status(provider_of: Providers) -> None:
    assert provider_of().source_status is None


def test_down_up_down_up_closed(provider: Provider, by_hand: ByHand, events: list[Any]) -> None:
    assert up(provider) == (False, None, 0)
    by_hand.watch.connected("a")
    by_hand.watch.publish({}, 1)
    assert up(provider) == (True, "a", 0)
    by_hand.watch.failed("gone", endpoint="a")
    assert up(provider) == (False, "a", 0)
    by_hand.watch.connected("b")
    by_hand.watch.publish({}, 2)
    assert up(provider) == (True, "b", 1)
    provider.close()
    assert up(provider) == (False, "b", 1)
    heard = [event for event in events if isinstance(event, SourceLost | SourceRegained)]
    assert heard == [SourceLost("a", "gone"), SourceRegained("b", 2)]


def test_each_kind_is_reported_once_in_an_episode(provider: Provider, by_hand: ByHand, events: list[Any]) -> None:
    for problem, kind in (("no answer from a", "x"), ("no answer from b", "x"), ("refused", "y"), ("no answer", "x")):
        by_hand.watch.failed(problem, kind=kind)
    assert [event.error for event in of_type(events, SourceLost)] == ["no answer from a", "refused"]
    assert provider.source_status is not None
    assert provider.source_status.last_error == "no answer"


def test_documents_without_a_connection_end_no_episode(provider: Provider, by_hand: ByHand, events: list[Any]) -> None:
    by_hand.watch.failed("no watches here")
    by_hand.watch.publish({"a.json": b"{}"}, 1)
    by_hand.watch.failed("no watches here")
    assert up(provider) == (False, None, 0)
    assert of_type(events, SourceRegained) == []
    assert len(of_type(events, SourceLost)) == 1


def test_the_last_change_is_of_documents_not_of_publications(provider: Provider, by_hand: ByHand) -> None:
    def last() -> float | None:
        assert provider.source_status is not None
        return provider.source_status.last_change

    by_hand.watch.publish({}, 1)
    assert last() is None
    by_hand.watch.publish({"a.json": b"{}"}, 2)
    first = last()
    assert first is not None
    by_hand.watch.publish({"a.json": b"{}"}, 3)
    assert last() == first


def test_a_source_that_never_connects_is_up_when_it_publishes(provider_of: Providers) -> None:
    assert up(provider_of(policy_source=MemorySource())) == (True, None, 0)


def test_files_are_at_their_directory(provider_of: Providers, tmp_path: Any) -> None:
    provider = provider_of(policy_source=FileSource(tmp_path))
    assert up(provider) == (True, f"{tmp_path}/config/dev/svc/breakers/", 0)
