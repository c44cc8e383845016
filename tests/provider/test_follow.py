"""`Provider.follow`: a provider at module level gets its source when the program starts."""

import threading
from typing import Any

import pytest

from breaker import Policy, Provider, State
from breaker.events import BreakerCreated, PolicyUpdated
from breaker.sources import FileSource, MemorySource
from breaker.sources.base import Watch
from support.collector import no_collector
from support.drive import CONFIG, NAME, Boom, Providers, document, drive_to, fail, rejected, succeed
from support.processes import fork_and_check, run_python
from support.reading import of_type
from support.sources import Handmade, document_of
from support.threads import Crowd, in_another_thread, together, watchers
from support.tree import Tree
from support.watching import eventually

QUICK = 0.005


def test_breakers_that_exist_get_their_policies_and_keep_their_state(
    provider_of: Providers, source: MemorySource, clock: Any, events: list[Any]
) -> None:
    # S144
    provider = provider_of(Policy(2))
    opened = drive_to(provider.get_breaker(NAME), clock, State.OPEN)
    source.put(NAME, document(openStateTimeout="5s"))
    source.put("later", document(failureThreshold=7))
    assert provider.source_status is None
    provider.follow(source)
    assert (opened.state, opened.policy) == (State.OPEN, Policy(2, 2, 5))
    assert provider.get_breaker("later").policy == Policy(7)
    assert of_type(events, PolicyUpdated) == [PolicyUpdated(NAME, Policy(2), Policy(2, 2, 5), 2)]
    source.put(NAME, document(failureThreshold=3))
    assert opened.policy == Policy(3)
    assert provider.source_status is not None
    assert provider.source_status.revision == 3


def test_a_second_source_is_refused_and_not_started(provider_of: Providers, source: MemorySource) -> None:
    # S144
    second = Handmade()
    made_with, attached = provider_of(policy_source=source), provider_of()
    attached.follow(source)
    for provider in (made_with, attached):
        for another in (second, source):
            with pytest.raises(RuntimeError, match=r"follows a policy source already, .* make another Provider"):
                provider.follow(another)
    assert second.watches == []
    source.put(NAME, document(failureThreshold=3))
    assert attached.get_breaker(NAME).policy == made_with.get_breaker(NAME).policy == Policy(3)


def test_of_threads_that_attach_at_once_one_succeeds(provider_of: Providers) -> None:
    # S144
    for _ in range(20):
        provider, sources, refused = provider_of(), [Handmade() for _ in range(4)], list[int]()

        def work(
            number: int, provider: Provider = provider, sources: Any = sources, refused: list[int] = refused
        ) -> None:
            try:
                provider.follow(sources[number], start_timeout=0)
            except RuntimeError:
                refused.append(number)

        together(4, work)
        assert len(refused) == 3
        assert sum(len(source.watches) for source in sources) == 1


def test_a_closed_provider_follows_nothing(provider_of: Providers) -> None:
    # S144
    provider, late = provider_of(), Handmade()
    provider.close()
    with pytest.raises(RuntimeError, match="closed and follows no source; make a new Provider"):
        provider.follow(late)
    assert (late.watches, provider.source_status) == ([], None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None,), TypeError, "policy_source must be a PolicySource, got None without .start()"),
        (("/etc",), TypeError, "policy_source must be a PolicySource, got '/etc' without .start()"),
        ((MemorySource,), TypeError, "got the class MemorySource; pass an instance"),
        ((MemorySource(), "2"), TypeError, "start_timeout must be seconds, got str"),
        ((MemorySource(), True), TypeError, "start_timeout must be seconds, got bool"),
        ((MemorySource(), -1), ValueError, "start_timeout must be a number of seconds from 0 to "),
        ((MemorySource(), float("nan")), ValueError, "start_timeout must be a number of seconds from 0 to "),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named_and_nothing_is_attached(
    provider_of: Providers, source: MemorySource, arguments: Any, error: type[Exception], message: str
) -> None:
    provider = provider_of()
    with pytest.raises(error) as caught:
        provider.follow(arguments[0], **dict(zip(["start_timeout"], arguments[1:], strict=False)))
    assert message in str(caught.value)
    provider.follow(source)


def test_it_waits_for_the_first_documents(provider_of: Providers) -> None:
    # S129, S144
    provider, asked = provider_of(), threading.Event()

    def load(watch: Watch) -> None:
        assert asked.wait(10)
        watch.publish(document_of(3), 1)

    source = Handmade(load)
    crowd = Crowd()
    waiting = crowd.start(provider.follow, source)
    eventually(lambda: source.watches)
    assert waiting.is_alive()
    asked.set()
    crowd.join()
    assert provider.get_breaker(NAME).policy == Policy(3)


def test_it_waits_no_longer_than_it_may(provider_of: Providers) -> None:
    # S129, S144
    provider, source = provider_of(), Handmade()
    provider.follow(source, start_timeout=0.05)
    source.watches[0].publish(document_of(3), 1)
    assert provider.get_breaker(NAME).policy == Policy(3)


def test_a_close_ends_the_wait(provider_of: Providers) -> None:
    # S141, S144
    provider, source, crowd = provider_of(), Handmade(), Crowd()
    crowd.start(lambda: provider.follow(source, start_timeout=1000))
    eventually(lambda: source.watches)
    provider.close()
    crowd.join()
    eventually(lambda: source.stopped == source.watches)


def test_a_close_in_the_middle_of_the_start_stops_the_source_once_it_has_started(provider_of: Providers) -> None:
    # S141, S144
    heard: list[str] = []

    class Closing(Handmade):
        def start(self, watch: Watch) -> None:
            in_another_thread(provider.close)
            heard.append("started")
            watch.publish(document_of(3), 1)

        def stop(self, watch: Watch) -> None:
            heard.append("stopped")

    provider = provider_of()
    provider.follow(Closing(), start_timeout=1000)
    provider.close()
    assert heard == ["started", "stopped"]
    assert provider.get_breaker(NAME).policy == Policy()


def test_a_listener_may_close_at_the_first_documents(provider_of: Providers, source: MemorySource) -> None:
    # S141, S144
    provider = provider_of()
    breaker = provider.get_breaker(NAME)
    provider.subscribe(lambda _: provider.close())
    source.put(NAME, document(failureThreshold=3))
    provider.follow(source)
    source.put(NAME, document(failureThreshold=4))
    assert breaker.policy == Policy(3)


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_a_listener_may_attach_the_source(
    provider_of: Providers, source: MemorySource, tmp_path: Any, kind: str
) -> None:
    # S81, S144: the event is delivered while its breaker is made, and the first documents change that very breaker
    provider, seen = provider_of(), list[Any]()
    Tree(tmp_path).write(f"{NAME}.json", failureThreshold=3)
    source.put(NAME, document(failureThreshold=3))
    attached = source if kind == "memory" else FileSource(tmp_path, QUICK)

    def listener(event: Any) -> None:
        seen.append(type(event))
        if isinstance(event, BreakerCreated):
            provider.follow(attached, start_timeout=1000)

    provider.subscribe(listener)
    assert provider.get_breaker(NAME).policy == Policy(3)
    assert seen == [BreakerCreated, PolicyUpdated]
    with pytest.raises(RuntimeError, match="already"):
        provider.follow(attached)


def test_a_listener_that_attaches_a_second_source_gets_the_error_and_the_first_goes_on(
    provider_of: Providers, source: MemorySource
) -> None:
    # S82, S144
    provider, second, errors = provider_of(), Handmade(), list[str]()
    breaker = provider.get_breaker(NAME)

    def listener(event: Any) -> None:
        try:
            provider.follow(second)
        except RuntimeError as error:
            errors.append(str(error))
            raise

    provider.subscribe(listener)
    source.put(NAME, document(failureThreshold=3))
    provider.follow(source)
    source.put(NAME, document(failureThreshold=4))
    assert breaker.policy == Policy(4)
    assert [error[:38] for error in errors] == ["the provider follows a policy source a"] * 2
    assert second.watches == []


def test_a_source_that_fails_to_start_leaves_room_for_another(provider_of: Providers, source: MemorySource) -> None:
    # S144
    class Broken(Handmade):
        def start(self, watch: Watch) -> None:
            super().start(watch)
            raise Boom("no")

    provider, broken = provider_of(), Broken()
    with pytest.raises(Boom):
        provider.follow(broken)
    assert broken.stopped == broken.watches
    assert provider.source_status is None
    broken.watches[0].publish(document_of(9), 9)
    source.put(NAME, document(failureThreshold=3))
    provider.follow(source)
    assert provider.get_breaker(NAME).policy == Policy(3)


@no_collector()
def test_a_provider_that_is_dropped_afterwards_ends_its_watcher(tmp_path: Any) -> None:
    # S143, S144
    before = watchers()
    provider = Provider(CONFIG)
    provider.follow(FileSource(tmp_path, QUICK))
    assert len(watchers() - before) == 1
    del provider
    eventually(lambda: not watchers() - before)


def test_a_program_without_a_source_loads_none() -> None:
    program = """
import sys
import breaker
provider = breaker.Provider(breaker.get_default_config("svc", "dev"))
provider.get_breaker("a").do(int)
provider.close()
print("breaker.sources" in sys.modules)
"""
    assert run_python(program) == "False\n"


# -- after a fork --


def test_a_worker_follows_for_itself(tmp_path: Any, events: list[Any], provider_of: Providers) -> None:
    # S144, S153: the provider is made with its module, the server forks, and each worker attaches the source
    tree, provider = Tree(tmp_path), provider_of(Policy(2))
    held = provider.get_breaker(NAME)
    tree.write(f"{NAME}.json", failureThreshold=3)

    def worker() -> None:
        provider.follow(FileSource(tmp_path, QUICK))
        assert held.policy == Policy(3)
        tree.write(f"{NAME}.json", failureThreshold=1)
        eventually(lambda: held.policy == Policy(1))
        fail(held)
        rejected(held)
        provider.close()
        assert not watchers()

    for _ in range(2):
        tree.write(f"{NAME}.json", failureThreshold=3)
        fork_and_check(worker)
        assert (provider.source_status, held.policy, held.state) == (None, Policy(2), State.CLOSED)
    assert not watchers()
    assert events == [BreakerCreated(NAME, Policy(2))]
    succeed(held)
    provider.follow(FileSource(tmp_path, QUICK))
    assert held.policy == Policy(1)


def test_a_worker_of_a_parent_that_follows_has_a_watch_of_its_own(tmp_path: Any, provider_of: Providers) -> None:
    # S144, S153
    tree, provider = Tree(tmp_path), provider_of()
    breaker = provider.get_breaker(NAME)
    provider.follow(FileSource(tmp_path, QUICK))

    def worker() -> None:
        with pytest.raises(RuntimeError, match="already"):
            provider.follow(FileSource(tmp_path, QUICK))
        tree.write(f"{NAME}.json", failureThreshold=3)
        eventually(lambda: breaker.policy == Policy(3))

    fork_and_check(worker)
    eventually(lambda: breaker.policy == Policy(3))
