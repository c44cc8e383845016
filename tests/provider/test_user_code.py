"""No code of the user runs under a lock of the provider: from within it, another thread may do all there is to do.

Each test lets a clock, a source, a listener or a logger wait for a second thread that uses the provider. If a lock were
held, both would wait for each other.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from breaker import Policy, Provider
from breaker.events import BreakerCreated, PolicyRejected, PolicyUpdated, SourceLost, SourceRegained
from breaker.sources import MemorySource
from breaker.sources.base import Watch
from support.drive import CONFIG, NAME, Boom, Providers, document
from support.processes import fork_and_check
from support.sources import Handmade, document_of
from support.threads import HookClock, in_another_thread


class Use:
    """Calling it uses the provider from another thread, and fails if that has to wait."""

    def __init__(self) -> None:
        self.provider: Provider | None = None
        self.watch: Watch | None = None
        self.times = 0

    def __call__(self, *_: object, **__: object) -> None:
        self.times += 1
        if self.times == 1:  # what is used here calls this again
            in_another_thread(self._use)

    def _use(self) -> None:
        provider = self.provider
        assert provider is not None
        made = provider.get_breaker("another")
        assert provider.get_breaker("another", failure_on=None) is made
        assert "another" in [snapshot.name for snapshot in provider.snapshot()]
        provider.subscribe(print)()
        assert provider.remove("another")
        provider.source_status  # noqa: B018 - reading it is the point
        if self.watch is not None:
            self.watch.publish({"third.json": document(failureThreshold=7)}, 1_000)
            assert provider.get_breaker("third").policy == Policy(7)
        provider.close()


@pytest.fixture
def use() -> Iterator[Use]:
    """To be called by the user's code of the test, which it must have been."""
    use = Use()
    yield use
    assert use.times >= 1


@pytest.fixture
def handmade() -> Handmade:
    return Handmade()


@pytest.fixture
def followed(provider_of: Providers, handmade: Handmade, use: Use) -> Provider:
    """A provider with a breaker and a source of which the test publishes."""
    provider = provider_of(policy_source=handmade, start_timeout=0)
    provider.get_breaker(NAME)
    use.provider, use.watch = provider, handmade.watches[0]
    return provider


# -- the clock --


def test_the_clock_while_a_breaker_is_made(provider_of: Providers, use: Use) -> None:
    # S140, S147
    clock = HookClock()
    use.provider = provider_of(clock=clock)
    clock.hook = use
    assert use.provider.get_breaker(NAME).name == NAME


def test_the_clock_while_a_made_breaker_joins_the_others(provider_of: Providers, use: Use) -> None:
    # S140, S147
    clock = HookClock()
    use.provider = provider_of(clock=clock)

    clock.hook = lambda: setattr(clock, "hook", use)  # at the next reading
    assert use.provider.get_breaker(NAME).name == NAME


def test_the_clock_while_documents_are_published(
    provider_of: Providers, handmade: Handmade, use: Use, events: list[Any]
) -> None:
    # S147
    clock = HookClock()
    use.provider = provider_of(policy_source=handmade, clock=clock, start_timeout=0)
    use.watch = handmade.watches[0]
    use.provider.get_breaker(NAME)
    clock.hook = use
    handmade.watches[0].publish(document_of(3), 1)
    updates = [(event.name, event.new) for event in events if isinstance(event, PolicyUpdated)]
    assert updates == [(NAME, Policy(3)), (NAME, Policy())]  # one publication after the other: the second has no NAME


def test_the_clock_while_a_snapshot_is_taken(provider_of: Providers, use: Use) -> None:
    # S147
    clock = HookClock()
    use.provider = provider_of(clock=clock)
    use.provider.get_breaker(NAME)
    clock.hook = use
    assert [snapshot.name for snapshot in use.provider.snapshot()] == [NAME]


# -- the source --


def test_the_start_of_a_source(provider_of: Providers, use: Use) -> None:
    # S147
    class Starting(Handmade):
        def start(self, watch: Watch) -> None:
            super().start(watch)
            use.watch = watch
            use()

    use.provider = provider_of()
    use.provider.follow(Starting(), start_timeout=0)


def test_the_stop_of_a_source(provider_of: Providers, use: Use) -> None:
    # S147
    class Stopping(Handmade):
        def stop(self, watch: Watch) -> None:
            use()

    use.provider = provider_of()
    source = Stopping()
    use.provider.follow(source, start_timeout=0)
    use.provider.close()


def test_a_source_after_a_fork() -> None:
    # S147, S153
    use = Use()

    class Forked(MemorySource):
        def after_fork(self) -> None:
            super().after_fork()
            use()

    with Provider(CONFIG, policy_source=Forked()) as provider:
        use.provider = provider

        def child() -> None:
            assert use.times == 1
            assert repr(provider) == "<Provider of 'svc': 0 breakers, closed>"

        fork_and_check(child)
        assert use.times == 0


def test_the_place_of_a_document_that_is_refused(provider_of: Providers, use: Use, events: list[Any]) -> None:
    # S124, S147
    class Named(Handmade):
        def location(self, path: str, key: str) -> str:
            use()
            return f"place of {key}"

    source = Named()
    use.provider = provider_of(policy_source=source, start_timeout=0)
    use.watch = source.watches[0]
    source.watches[0].publish({"a.json": b"wrong"}, 1)
    (rejected,) = [event for event in events if isinstance(event, PolicyRejected)]
    assert rejected.error.startswith("place of a.json: ")


class Documents(dict[str, Any]):
    """Documents whose reading is code of the source."""

    def __init__(self, documents: Mapping[str, Any], hook: Callable[[], Any]) -> None:
        super().__init__(documents)
        self.hook = hook

    def items(self) -> Any:
        self.hook()
        return super().items()

    def keys(self) -> Any:
        self.hook()
        return super().keys()


def test_the_mapping_that_a_source_publishes(followed: Provider, handmade: Handmade, use: Use) -> None:
    # S147
    handmade.watches[0].publish(Documents(document_of(3), use), 1)


def test_documents_whose_own_code_is_never_run(provider_of: Providers, handmade: Handmade) -> None:
    # S147
    class Text(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __hash__(self) -> int:
            raise AssertionError("hashed")

        def __str__(self) -> str:
            raise AssertionError("asked for its text")

    provider = provider_of(policy_source=handmade, start_timeout=0)
    for revision in (1, 2):
        handmade.watches[0].publish({f"{NAME}.json": Text('{"failureThreshold": 3}')}, revision)
    assert provider.get_breaker(NAME).policy == Policy(3)


# -- listeners and the logger --


@pytest.mark.parametrize(
    "kind", [BreakerCreated, PolicyUpdated, PolicyRejected, SourceLost, SourceRegained], ids=lambda kind: kind.__name__
)
def test_a_listener(followed: Provider, handmade: Handmade, use: Use, kind: type) -> None:
    # S147
    watch = handmade.watches[0]
    followed.subscribe(lambda event: use() if isinstance(event, kind) else None)
    followed.get_breaker("new")
    watch.connected("here")
    watch.publish({**document_of(3), "wrong.json": b"wrong"}, 1)
    if not use.times:
        watch.failed("gone")
        watch.connected("there")
        watch.publish(document_of(3), 2)


@pytest.mark.parametrize("act", ["line", "report"])
def test_the_logger(provider_of: Providers, handmade: Handmade, use: Use, act: str) -> None:
    # S147
    class Logger:
        def info(self, message: str, **_: object) -> None:
            """Of the breakers that are made."""

        debug = info

        def warning(self, message: str, **_: object) -> None:
            if message == "circuit breaker policy has unknown fields":
                use()

        def error(self, message: str, **_: object) -> None:
            if message == "circuit breaker listener failed":
                use()

    use.provider = provider_of(policy_source=handmade, start_timeout=0, logger=Logger())
    use.watch = handmade.watches[0]
    if act == "line":
        use.watch.publish({"a.json": document(newer=1)}, 1)
    else:

        def listener(event: object) -> None:
            raise Boom

        end = use.provider.subscribe(listener)
        use.provider.get_breaker(NAME)
        end()


# -- options --


def test_a_predicate_that_compares_itself(provider_of: Providers, use: Use) -> None:
    # S147
    class Predicate:
        def __call__(self, value: object) -> bool:
            return False

        def __eq__(self, other: object) -> bool:
            use()
            return True

        def __hash__(self) -> int:
            return 1

    use.provider = provider_of()
    use.provider.get_breaker(NAME, failed_result=Predicate())
    use.provider.get_breaker(NAME, failed_result=Predicate())
