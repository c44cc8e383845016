"""A provider's watch: its start, its thread, its end, and what disturbs it."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from breaker import Policy, Provider, State
from breaker.events import PolicyUpdated
from breaker.sources import FileSource, MemorySource
from breaker.sources.base import Watch
from support.collector import no_collector
from support.drive import CONFIG, NAME, Boom, document, fail, rejected, succeed
from support.processes import run_python
from support.sources import Handmade, document_of
from support.threads import Crowd, HookClock, together, watchers
from support.tree import Tree
from support.watching import eventually

QUICK = 0.005


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The log lines of the test; pass ``logger=structlog.get_logger()``."""
    with capture_logs() as lines:
        yield lines


# -- start --


def test_a_source_that_publishes_nothing_delays_the_start_by_the_limit_and_no_more() -> None:
    # S129
    started = time.monotonic()
    with Provider(CONFIG, policy_source=Handmade(), start_timeout=0.1) as provider:
        assert 0.1 <= time.monotonic() - started < 5
        succeed(provider.get_breaker(NAME))
        assert provider.get_breaker(NAME).policy == Policy()


def test_documents_that_come_after_the_start_are_applied(provider_of: Callable[..., Provider]) -> None:
    # S129
    source = Handmade()
    breaker = provider_of(policy_source=source, start_timeout=0).get_breaker(NAME)
    source.watches[0].publish(document_of(3), 1)
    assert breaker.policy == Policy(3)


def test_a_start_waits_for_the_first_documents(provider_of: Callable[..., Provider]) -> None:
    # S129
    def load(watch: Watch) -> None:
        time.sleep(0.05)  # a slow answer of a configuration centre
        watch.publish(document_of(3), 1)

    provider = provider_of(policy_source=Handmade(load), start_timeout=30)
    assert provider.get_breaker(NAME).policy == Policy(3)


def test_a_source_that_cannot_be_read_does_not_delay_the_start(logged: list[Any]) -> None:
    # S129
    started = time.monotonic()
    source = Handmade(lambda watch: watch.failed("cannot reach the centre; start it"))
    with Provider(CONFIG, policy_source=source, start_timeout=30, logger=structlog.get_logger()):
        assert time.monotonic() - started < 10
    assert [(line["log_level"], line["error"]) for line in logged] == [("error", "cannot reach the centre; start it")]


def test_a_source_that_fails_to_start_is_the_callers_error() -> None:
    class Broken(Handmade):
        def start(self, watch: Watch) -> None:
            raise Boom("no")

    with pytest.raises(Boom):
        Provider(CONFIG, policy_source=Broken())


def test_a_program_that_ends_with_a_watcher_at_work_ends_silently(tmp_path: Any) -> None:
    Tree(tmp_path).write(f"{NAME}.json", failureThreshold=3)
    program = f"""
from breaker import Config, Provider
from breaker.sources import FileSource
provider = Provider(Config("svc", "{CONFIG.policies_path}"), policy_source=FileSource({str(tmp_path)!r}, 0.0005))
print(provider.get_breaker({NAME!r}).policy.failure_threshold)
"""
    for ending in ("", "import sys; sys.exit(0)", "del provider"):
        assert run_python(program + ending) == "3\n"


# -- close --


def test_close_ends_the_watcher_and_may_be_repeated(tmp_path: Any) -> None:
    # S141
    before = watchers()
    provider = Provider(CONFIG, policy_source=FileSource(tmp_path, 3600))
    (watcher,) = watchers() - before
    assert watcher.daemon
    for _ in range(3):
        provider.close()
        assert not watcher.is_alive()


def test_close_by_many_threads_at_once(tmp_path: Any) -> None:
    # S141
    provider = Provider(CONFIG, policy_source=FileSource(tmp_path, QUICK))
    together(10, lambda _: provider.close())
    assert not watchers()


def test_close_while_a_publication_is_taken_over(provider_of: Callable[..., Provider], source: MemorySource) -> None:
    # S141: the clock is read while the publication waits for its turn
    clock, crowd = HookClock(), Crowd()
    inside, go = threading.Event(), threading.Event()
    provider = provider_of(policy_source=source, clock=clock)
    breaker = provider.get_breaker(NAME)

    def hold() -> None:
        inside.set()
        assert go.wait(10)

    clock.hook = hold
    crowd.start(source.put, NAME, document(failureThreshold=3))
    assert inside.wait(10)
    for _ in range(2):
        crowd.start(provider.close)
    succeed(breaker)
    go.set()
    crowd.join()
    assert breaker.policy == Policy(3)


def test_close_waits_only_so_long_for_a_watcher_in_a_slow_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    # S141, S142
    monkeypatch.setattr("breaker.provider._CLOSE_LIMIT", 0.05)
    inside, go = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        inside.set()
        go.wait(10)

    later = Handmade(lambda watch: watch.wait(QUICK) or watch.publish({f"{NAME}.json": b"wrong"}, 1))
    provider = Provider(CONFIG, policy_source=later, start_timeout=0)
    provider.subscribe(slow)
    assert inside.wait(10)
    provider.close()
    (watcher,) = watchers()
    go.set()
    watcher.join(10)
    assert not watcher.is_alive()


def test_a_listener_in_the_watchers_thread_may_close(tmp_path: Any) -> None:
    # S141
    tree, heard = Tree(tmp_path), list[Any]()
    before = watchers()
    provider = Provider(CONFIG, policy_source=FileSource(tmp_path, QUICK))
    breaker = provider.get_breaker(NAME)

    def listener(event: Any) -> None:
        provider.close()
        heard.append((type(event), threading.current_thread() in before_close))

    before_close = watchers() - before
    provider.subscribe(listener)
    tree.write(f"{NAME}.json", failureThreshold=3)
    eventually(lambda: heard)
    assert heard == [(PolicyUpdated, True)]
    eventually(lambda: not watchers() - before)
    assert breaker.policy == Policy(3)


def test_a_listener_in_a_callers_thread_may_close(tmp_path: Any) -> None:
    # S141
    before = watchers()
    provider = Provider(CONFIG, policy_source=FileSource(tmp_path, QUICK), default_policy=Policy(1))
    provider.subscribe(lambda _: provider.close())
    fail(provider.get_breaker(NAME))
    assert not watchers() - before
    rejected(provider.get_breaker(NAME))


def test_after_close_everything_goes_on_with_the_last_documents(source: MemorySource) -> None:
    # S141
    source.put(NAME, document(failureThreshold=1))
    source.put("default", document(openStateTimeout="5s"))
    with Provider(CONFIG, policy_source=source) as provider:
        held = provider.get_breaker(NAME)
    source.put(NAME, document(failureThreshold=9))
    source.delete("default")
    assert provider.get_breaker(NAME) is held
    assert provider.get_breaker("made later").policy == Policy(5, 2, 5)
    fail(held)
    assert held.state is State.OPEN
    assert 0 < held.retry_after <= 5


def test_leaving_the_block_by_an_exception_closes_and_hides_nothing(tmp_path: Any) -> None:
    before = watchers()
    with pytest.raises(Boom), Provider(CONFIG, policy_source=FileSource(tmp_path, 3600)) as provider:  # noqa: PT012
        assert provider.get_breaker(NAME).name == NAME
        raise Boom
    assert not watchers() - before


def test_a_source_is_stopped_once_and_what_it_publishes_then_is_dropped() -> None:
    source = Handmade()
    provider = Provider(CONFIG, policy_source=source, start_timeout=0)
    provider.close()
    provider.close()
    assert source.stopped == source.watches
    source.watches[0].publish(document_of(3), 1)
    assert provider.get_breaker(NAME).policy == Policy()


def test_of_two_providers_of_one_source_one_may_close(source: MemorySource) -> None:
    with Provider(CONFIG, policy_source=source) as going:
        Provider(CONFIG, policy_source=source).close()
        source.put(NAME, document(failureThreshold=3))
        assert going.get_breaker(NAME).policy == Policy(3)


# -- dropped without close --


@no_collector()
def test_a_provider_that_is_dropped_ends_its_watcher_and_its_breakers_go_on(tmp_path: Any) -> None:
    # S143
    before = watchers()
    Tree(tmp_path).write(f"{NAME}.json", failureThreshold=1)
    breaker = Provider(CONFIG, policy_source=FileSource(tmp_path, QUICK)).get_breaker(NAME)
    eventually(lambda: not watchers() - before)
    fail(breaker)
    rejected(breaker)


@no_collector()
def test_a_source_keeps_nothing_of_providers_that_were_dropped(source: MemorySource) -> None:
    for _ in range(100):
        Provider(CONFIG, policy_source=source)
    source.put(NAME, document(failureThreshold=3))
    with Provider(CONFIG, policy_source=source) as provider:
        assert provider.get_breaker(NAME).policy == Policy(3)
        assert sum(type(found).__name__ == "ProviderWatch" for found in gc.get_objects()) < 20


# -- a watcher that is disturbed --


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_watcher_survives_what_a_listener_raises(
    monkeypatch: pytest.MonkeyPatch, logged: list[Any], tmp_path: Any, error: BaseException
) -> None:
    # S142: in its thread there is no caller whom an interrupt could reach
    monkeypatch.setattr("breaker.sources.watch._PAUSE", QUICK)
    tree, errors = Tree(tmp_path), [error]

    def listener(event: Any) -> None:
        if isinstance(event, PolicyUpdated) and errors:
            raise errors.pop()

    source = FileSource(tmp_path, QUICK)
    with Provider(CONFIG, policy_source=source, logger=structlog.get_logger()) as provider:
        breaker = provider.get_breaker(NAME)
        provider.subscribe(listener)
        tree.write(f"{NAME}.json", failureThreshold=3)
        eventually(lambda: not errors)
        tree.write(f"{NAME}.json", failureThreshold=4)
        eventually(lambda: breaker.policy == Policy(4))
    (heard,) = [line for line in logged if line["event"] == "circuit breaker policy source failed"]
    assert heard["error"] == f"the watch broke off with {error!r} and begins anew"


def test_a_loop_of_a_source_that_breaks_off_begins_anew(
    monkeypatch: pytest.MonkeyPatch, provider_of: Callable[..., Provider]
) -> None:
    monkeypatch.setattr("breaker.sources.watch._PAUSE", QUICK)
    runs: list[int] = []

    def loop(watch: Watch) -> None:
        runs.append(1)
        if len(runs) < 3:
            raise Boom("lost the connection")
        watch.publish(document_of(3), 1)

    breaker = provider_of(policy_source=Handmade(loop)).get_breaker(NAME)
    eventually(lambda: breaker.policy == Policy(3))
    assert len(runs) == 3
    eventually(lambda: not watchers())
