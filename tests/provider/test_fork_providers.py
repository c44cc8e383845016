"""Providers, sources and logs after ``fork``, at moments in which another thread of the parent is in the middle."""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from breaker import Breaker, Policy, Provider, State, logs
from breaker._updates import Updates
from breaker.sources import FileSource, MemorySource
from breaker.sources.base import Watch
from support.drive import CONFIG, NAME, Boom, document, fail, raiser, rejected, succeed
from support.long import times
from support.processes import fork_and_check
from support.threads import Crowd, HookClock, watchers
from support.tree import Tree
from support.watching import eventually

QUICK = 0.005


class Fragile(MemorySource):
    """A source that does not survive a fork."""

    def after_fork(self) -> None:
        raise Boom("the connection belongs to the parent")


def test_a_source_that_fails_in_the_child_is_reported_and_harms_no_other_provider(source: MemorySource) -> None:
    fragile = Fragile({NAME: document(failureThreshold=1)})
    logger = structlog.get_logger()
    with (
        Provider(CONFIG, policy_source=fragile, logger=logger) as one,
        Provider(CONFIG, policy_source=source) as other,
        capture_logs() as lines,
    ):

        def child() -> None:
            (line,) = lines
            assert line["log_level"] == "error"
            assert "Boom('the connection belongs to the parent') in a forked process" in line["error"]
            fail(one.get_breaker(NAME))
            rejected(one.get_breaker(NAME))
            source.put(NAME, document(failureThreshold=3))
            assert other.get_breaker(NAME).policy == Policy(3)

        fork_and_check(child)
        assert lines == []
        fragile.put(NAME, document(failureThreshold=2))
        assert one.get_breaker(NAME).policy == Policy(2)


def test_a_fork_in_the_middle_of_a_publication_leaves_no_breaker_of_the_child_behind(source: MemorySource) -> None:
    # S153: the clock is read before anything is taken over
    clock, crowd = HookClock(), Crowd()
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        assert go.wait(20)

    with Provider(CONFIG, policy_source=source, clock=clock) as provider:
        breakers = [provider.get_breaker(f"name {number}") for number in range(5)]
        clock.hook = hold
        crowd.start(source.put, "default", document(failureThreshold=3))
        assert inside.wait(20)

        def child() -> None:
            assert [breaker.policy for breaker in breakers] == [Policy(3)] * 5
            source.put("default", document(failureThreshold=4))
            assert [breaker.policy for breaker in breakers] == [Policy(4)] * 5
            assert provider.get_breaker("new").policy == Policy(4)

        fork_and_check(child)
        go.set()
        crowd.join()
        assert [breaker.policy for breaker in breakers] == [Policy(3)] * 5


def test_a_fork_when_some_breakers_have_the_new_policy_and_others_the_old(
    source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S153
    inside, go, crowd, replace = threading.Event(), threading.Event(), Crowd(), Updates._bring_up_to_date

    def halting(updates: Updates, breaker: Breaker, now: int) -> bool:
        if breaker.name == "name 2" and threading.current_thread() is not threading.main_thread():
            inside.set()
            assert go.wait(20)
        return replace(updates, breaker, now)

    with Provider(CONFIG, policy_source=source) as provider:
        breakers = [provider.get_breaker(f"name {number}") for number in range(5)]
        monkeypatch.setattr(Updates, "_bring_up_to_date", halting)
        crowd.start(source.put, "default", document(failureThreshold=3))
        assert inside.wait(20)
        assert {breaker.policy for breaker in breakers} == {Policy(3), Policy()}

        def child() -> None:
            assert [breaker.policy for breaker in breakers] == [Policy(3)] * 5
            assert provider.get_breaker("new").policy == Policy(3)

        fork_and_check(child)
        go.set()
        crowd.join()
        assert [breaker.policy for breaker in breakers] == [Policy(3)] * 5


def test_the_childs_watcher_is_its_own_and_closing_it_leaves_the_parents(tmp_path: Path) -> None:
    # S153
    tree = Tree(tmp_path)
    with Provider(CONFIG, policy_source=FileSource(tmp_path, QUICK)) as provider:
        (parents,) = watchers()
        breaker = provider.get_breaker(NAME)

        def child() -> None:
            (own,) = watchers()
            assert own is not parents
            tree.write(f"{NAME}.json", failureThreshold=3)
            eventually(lambda: breaker.policy == Policy(3))
            provider.close()
            assert not watchers()

        fork_and_check(child)
        assert parents.is_alive()
        tree.write(f"{NAME}.json", failureThreshold=4)
        eventually(lambda: breaker.policy == Policy(4))


def test_a_child_of_a_child_has_it_all_too(tmp_path: Path) -> None:
    # S153
    tree = Tree(tmp_path)
    with Provider(CONFIG, policy_source=FileSource(tmp_path, QUICK)) as provider:
        breaker = provider.get_breaker(NAME)

        def grandchild() -> None:
            tree.write(f"{NAME}.json", failureThreshold=3)
            eventually(lambda: breaker.policy == Policy(3))
            fail(breaker, 3)
            rejected(breaker)

        def child() -> None:
            fork_and_check(grandchild)
            eventually(lambda: breaker.policy == Policy(3))
            succeed(breaker)

        fork_and_check(child, 40)
        succeed(breaker)


def test_a_fork_in_a_listener_in_the_watchers_thread(tmp_path: Path) -> None:
    # there the child's only thread is the parent's watcher: it goes on as the child, with a watcher of its own
    tree, heard = Tree(tmp_path), list[Any]()

    def listener(_: Any) -> None:
        if not heard:
            heard.append(1)
            fork_and_check(child)
            heard.append(2)

    def child() -> None:
        tree.write(f"{NAME}.json", failureThreshold=4)
        eventually(lambda: breaker.policy == Policy(4))
        fail(breaker, 4)
        rejected(breaker)
        provider.close()

    with Provider(CONFIG, policy_source=FileSource(tmp_path, QUICK)) as provider:
        breaker = provider.get_breaker(NAME)
        provider.subscribe(listener)
        tree.write(f"{NAME}.json", failureThreshold=3)
        eventually(lambda: heard == [1, 2])
        eventually(lambda: breaker.policy == Policy(4))
        succeed(breaker)


def test_a_provider_whose_start_is_under_way_in_another_thread_holds_nobody_up(source: MemorySource) -> None:
    inside, go, crowd, parent = threading.Event(), threading.Event(), Crowd(), os.getpid()

    class Slow(MemorySource):
        def start(self, watch: Watch) -> None:
            if os.getpid() == parent:
                inside.set()
                assert go.wait(20)
            super().start(watch)

    crowd.start(lambda: Provider(CONFIG, policy_source=Slow()).close())
    assert inside.wait(20)
    fork_and_check(lambda: succeed(Provider(CONFIG, policy_source=source).get_breaker(NAME)))
    go.set()
    crowd.join()


def test_a_subscription_made_in_the_child_stays_there(provider_of: Callable[..., Provider], events: list[Any]) -> None:
    provider = provider_of(Policy(1))
    breaker = provider.get_breaker(NAME)
    heard: list[Any] = []

    def child() -> None:
        provider.subscribe(heard.append)
        fail(breaker)
        assert heard == events[1:]
        assert len(heard) == 2

    fork_and_check(child)
    fail(breaker)
    assert (heard, len(events)) == ([], 3)


@pytest.fixture
def structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class Paused(io.StringIO):
    """A stream on which one thread is in the middle of writing."""

    def __init__(self, inside: threading.Event, go: threading.Event) -> None:
        super().__init__()
        self.inside, self.go = inside, go

    def write(self, text: str) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.inside.set()
            assert self.go.wait(20)
        return super().write(text)


@pytest.mark.usefixtures("structlog_as_it_was")
def test_a_line_that_another_thread_was_writing_hangs_nobody_in_the_child() -> None:
    # S152
    inside, go, crowd = threading.Event(), threading.Event(), Crowd()
    stream = Paused(inside, go)
    logs.configure_json(stream)
    provider = Provider(CONFIG, default_policy=Policy(1), logger=structlog.get_logger("breaker"))
    breaker = provider.get_breaker(NAME)
    crowd.start(provider.get_breaker, "slow")
    assert inside.wait(20)

    def child() -> None:
        fail(breaker)
        assert '"to": "OPEN"' in stream.getvalue()

    fork_and_check(child)
    go.set()
    crowd.join()


@pytest.mark.usefixtures("structlog_as_it_was")
def test_many_forks_while_threads_make_breakers_change_policies_and_log(monkeypatch: pytest.MonkeyPatch) -> None:
    # S152
    monkeypatch.setattr("sys.stdout", io.StringIO())
    logs.configure_json(level="debug")
    stop, crowd, source = threading.Event(), Crowd(), MemorySource()
    provider = Provider(CONFIG, policy_source=source, default_policy=Policy(3), logger=structlog.get_logger("breaker"))

    def load(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            breaker = provider.get_breaker(f"{number} {turn % 100}")
            with_failure(breaker)
            source.put(f"{number} {turn % 7}", document(failureThreshold=turn))
            time.sleep(0.0001)  # the forking thread needs its turn too

    def with_failure(breaker: Any) -> None:
        try:
            breaker.do(raiser(Boom()))
        except Exception:
            breaker.reset()

    def child() -> None:
        own = provider.get_breaker("of the child")
        source.put("of the child", document(failureThreshold=1))
        fail(own)
        assert own.state is State.OPEN
        for breaker in provider.breakers.values():
            with_failure(breaker)

    for number in range(3):
        crowd.start(load, number)
    try:
        for _ in range(times(30, 100)):
            fork_and_check(child)
    finally:
        stop.set()
        crowd.join()
    provider.close()
