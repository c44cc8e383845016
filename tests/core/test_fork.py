"""After ``fork``: usable breakers with the state of that moment, fresh locks, a watcher of the child's own."""

import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from breaker import Breaker, Policy, State
from breaker.events import StateChanged
from breaker.sources import FileSource, MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, Providers, drive_to, fail, rejected, succeed, trip
from support.long import times
from support.processes import FREE_THREADED, fork_and_check, run_python
from support.reading import counts, of_type
from support.threads import in_another_thread
from support.tree import FOLDER as PATH
from support.tree import has, write
from support.watching import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")


@pytest.fixture(autouse=True)
def forking_with_threads_is_what_is_tested() -> Iterator[None]:
    """From 3.12 on Python warns of a fork in a process with threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
        yield


def test_the_child_goes_on_from_the_state_of_that_moment_and_the_parent_from_its_own(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S150
    closed, opened = make_breaker(Policy(5), name="a"), make_breaker(Policy(1, 1, 60), name="b")
    fail(closed, 4)
    trip(opened)
    before = (closed.snapshot(), opened.snapshot())

    def child() -> None:
        assert (closed.snapshot(), opened.snapshot()) == before
        fail(closed)
        assert closed.state is State.OPEN
        clock.advance(60)
        succeed(opened)
        assert opened.state is State.CLOSED

    fork_and_check(child)
    assert (closed.snapshot(), opened.snapshot()) == before


def test_slots_of_the_parents_other_threads_are_free_in_the_child(make_breaker: Make, clock: ManualClock) -> None:
    # S151
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    permits: list[Any] = []
    in_another_thread(lambda: permits.append(breaker.acquire()))
    before = breaker.snapshot()
    assert before.half_open_in_flight == 1

    def child() -> None:
        assert breaker.snapshot().half_open_in_flight == 0
        assert breaker.retry_after == 0
        probe = breaker.acquire()
        permits[0].failure(Boom("of a thread that is not here"))
        assert breaker.snapshot().half_open_in_flight == 1
        probe.success()
        assert breaker.state is State.CLOSED
        after = breaker.snapshot()
        assert (after.ignored, after.failures, after.late) == (before.ignored + 1, before.failures, before.late)

    fork_and_check(child)
    rejected(breaker)
    permits[0].success()
    assert breaker.state is State.CLOSED


def test_the_forking_thread_keeps_its_own_probe_on_both_sides(make_breaker: Make, clock: ManualClock) -> None:
    # S151
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)

    def probe() -> None:
        def child() -> None:
            assert breaker.snapshot().half_open_in_flight == 1
            Context().run(rejected, breaker)  # a call that is not inside the probe

        fork_and_check(child)

    breaker.do(probe)
    assert breaker.state is State.CLOSED


def test_a_fork_inside_a_probe_lets_the_child_finish_it(make_breaker: Make, clock: ManualClock) -> None:
    # S151
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    permit = breaker.acquire()

    def child() -> None:
        permit.success()
        assert breaker.state is State.CLOSED

    fork_and_check(child)
    assert breaker.state is State.HALF_OPEN
    permit.failure()
    assert breaker.state is State.OPEN


def test_children_of_an_open_breaker_draw_a_jitter_of_their_own(make_breaker: Make) -> None:
    # S74: or a pool of workers that were forked during an outage would all probe at one moment
    breaker = make_breaker(Policy(1, 1, 10, open_timeout_jitter=1.0))
    trip(breaker)
    of_the_parent = breaker.retry_after
    reader, writer = os.pipe()

    def draw() -> None:
        drawn = {breaker.retry_after for _ in range(10)}
        assert drawn == {rejected(breaker).retry_after}
        os.write(writer, f"{drawn.pop()} ".encode())

    def child() -> None:
        draw()
        fork_and_check(draw)

    for _ in range(10):
        fork_and_check(child)
    os.close(writer)
    with open(reader) as pipe:
        found = [float(drawn) for drawn in pipe.read().split()]
    assert len({of_the_parent, *found}) == 21
    assert all(10 <= drawn <= 20 for drawn in found)
    assert breaker.retry_after == of_the_parent


@pytest.mark.parametrize("state", [State.CLOSED, State.HALF_OPEN])
def test_a_child_of_a_breaker_that_is_not_open_takes_over_how_long_it_was_open(
    make_breaker: Make, clock: ManualClock, state: State
) -> None:
    # S74, S78, S150: the growth and the last span are a part of the state
    breaker = make_breaker(Policy(1, 1, 10, open_timeout_multiplier=3.0, open_timeout_jitter=1.0))
    drive_to(breaker, clock, State.HALF_OPEN)
    if state is State.CLOSED:
        succeed(breaker)

    def child() -> None:
        fail(breaker)
        assert 30 <= breaker.retry_after <= 60

    fork_and_check(child)
    child()


def test_a_fork_inside_a_listener_goes_on_delivering_on_both_sides(make_breaker: Make, listeners: list[Any]) -> None:
    # S152
    heard: list[Any] = []

    def listen(event: Any) -> None:
        heard.append(event)
        if isinstance(event, StateChanged) and event.to_state is State.OPEN:
            breaker.reset()
            fork_and_check(lambda: None)

    listeners.append(listen)
    breaker = make_breaker(Policy(1))
    fail(breaker)
    assert [event.to_state for event in of_type(heard, StateChanged)] == [State.OPEN, State.CLOSED]


def test_a_fork_while_another_thread_delivers_does_not_silence_the_child(
    make_breaker: Make, listeners: list[Any]
) -> None:
    # S152
    inside, leave, heard = threading.Event(), threading.Event(), []

    def listen(event: Any) -> None:
        heard.append(event)
        if isinstance(event, StateChanged) and not leave.is_set():
            inside.set()
            assert leave.wait(20)

    listeners.append(listen)
    breaker = make_breaker(Policy(1))
    slow = threading.Thread(target=trip, args=(breaker,))
    slow.start()
    assert inside.wait(20)

    def child() -> None:
        leave.set()
        del heard[:]
        breaker.reset()
        assert [event.to_state for event in of_type(heard, StateChanged)] == [State.CLOSED]

    fork_and_check(child)
    leave.set()
    slow.join()


def test_a_fork_while_another_thread_makes_breakers_leaves_no_lock_held(provider_of: Providers) -> None:
    # S152
    held, leave = threading.Event(), threading.Event()

    def clock() -> int:
        if threading.current_thread() is maker:
            held.set()
            assert leave.wait(20)
        return 0

    maker = threading.Thread(target=lambda: provider.get_breaker("slow"))
    provider = provider_of(Policy(), clock=clock)
    maker.start()
    assert held.wait(20)
    fork_and_check(lambda: succeed(provider.get_breaker("new")))
    leave.set()
    maker.join()
    assert set(provider.breakers) == {"slow"}


def test_parent_and_child_each_follow_the_files(tmp_path: Path, provider_of: Providers) -> None:
    # S153
    directory = tmp_path / PATH
    directory.mkdir(parents=True)
    provider = provider_of(Policy(), policy_source=FileSource(tmp_path, 0.01))
    assert has(provider, 5)()

    def child() -> None:
        write(directory, failureThreshold=2)
        eventually(has(provider, 2))
        provider.close()

    fork_and_check(child)
    eventually(has(provider, 2))
    write(directory, failureThreshold=3)
    eventually(has(provider, 3))


def test_documents_put_in_the_child_stay_there(provider_of: Providers, source: MemorySource) -> None:
    provider = provider_of(Policy(), policy_source=source)

    def child() -> None:
        source.put(NAME, {"failureThreshold": 2})
        assert has(provider, 2)()

    fork_and_check(child)
    assert has(provider, 5)()


def test_a_closed_provider_starts_no_watcher_in_the_child(tmp_path: Path, provider_of: Providers) -> None:
    # S153
    provider = provider_of(Policy(), policy_source=FileSource(tmp_path, 0.01))
    provider.close()

    def child() -> None:
        assert threading.active_count() == 1
        assert has(provider, 5)()

    fork_and_check(child)


@pytest.mark.skipif(
    FREE_THREADED, reason="the child may find the interpreter's own object locks held by threads that it has not"
)
def test_many_forks_under_load_hang_nobody(provider_of: Providers) -> None:
    # S152
    provider = provider_of(Policy(3, 1, 0.001), clock=None)
    breaker = provider.get_breaker(NAME)
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            call_both_ways(breaker)

    crowd = [threading.Thread(target=load) for _ in range(4)]
    for thread in crowd:
        thread.start()
    try:
        for _ in range(times(30, 100)):
            fork_and_check(lambda: [call_both_ways(breaker) for _ in range(50)] and provider.get_breaker("new"))
    finally:
        stop.set()
        for thread in crowd:
            thread.join()
    assert counts(breaker)["failures"] > 0


def call_both_ways(breaker: Breaker) -> None:
    """A call that succeeds and one that fails, if they are admitted."""
    for error in (None, Boom("down")):
        try:
            permit = breaker.acquire()
        except Exception:
            continue
        permit.success() if error is None else permit.failure(error)
    breaker.snapshot()


def test_multiprocessing_children_use_the_breakers_they_inherit(make_breaker: Make) -> None:
    # S150
    breaker = make_breaker(Policy(2))
    fail(breaker)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def work() -> None:
        fail(breaker)
        answers.put(str(breaker.state))

    children = [context.Process(target=work) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(20)
        assert child.exitcode == 0
    assert [answers.get() for _ in children] == ["OPEN"] * 3
    assert breaker.state is State.CLOSED


def test_fork_handlers_that_use_a_breaker_whether_registered_before_or_after_it() -> None:
    # S152: without the interpreter's lock the forking thread holds all breakers' locks between its handlers and ours
    run_python("""
import gc, os
uses = []
def use(where):
    for breaker in made[:1]:
        breaker.do(int)
        breaker.snapshot()
        provider.get_breaker(f"{where} {len(uses)}").do(int)
        gc.collect()
        uses.append(where)
def register(who):
    os.register_at_fork(
        before=lambda: use(f"{who}-before"),
        after_in_parent=lambda: use(f"{who}-parent"),
        after_in_child=lambda: use(f"{who}-child"),
    )
made = []
register("first")
from breaker import Provider, get_default_config
register("last")
provider = Provider(get_default_config("svc", "dev"))
made.append(provider.get_breaker("a"))
def fork():
    child = os.fork()
    if child == 0:
        assert uses[-2:] == ["first-child", "last-child"], uses
        before = made[0].snapshot().successes
        made[0].do(int)
        assert made[0].snapshot().successes == before + 1
        assert all(breaker.do(int) == 0 for breaker in provider.breakers.values())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert uses[-4:] == ["last-before", "first-before", "first-parent", "last-parent"], uses
fork()
fork()
nested = []
def fork_inside():
    if not nested:
        nested.append(os.getpid())
        fork()
os.register_at_fork(after_in_parent=fork_inside)
child = os.fork()
if child == 0:
    os._exit(made[0].do(int))
assert os.waitpid(child, 0)[1] == 0
assert len(nested) == 1 and made[0].do(int) == 0
""")
