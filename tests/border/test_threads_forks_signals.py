"""Small programs of threads, forks and signals around a breaker, each in a process of its own."""

import contextlib
import gc
import os
import signal
import sys
import threading
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, Provider
from breaker.testing import ManualClock, trip
from support.processes import in_a_process
from support.small_programs import CONFIG, fails, provider


@in_a_process()
def test_a_first_snapshot_in_many_threads_at_once() -> None:
    for name in [name for name in sys.modules if name.startswith("dataclasses")]:
        del sys.modules[name]
    breaker = provider().get_breaker("a")
    barrier = threading.Barrier(8)
    seen: list[object] = []

    def ask() -> None:
        barrier.wait()
        seen.append(breaker.snapshot())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({type(found) for found in seen}) == 1
    assert len(seen) == 8


# -- signals and forks --


@pytest.mark.parametrize("moment", ["before", "after_in_parent", "after_in_child"])
@in_a_process()
def test_a_fork_handler_uses_a_breaker(moment: str) -> None:
    """One that was registered before the package's, so it runs in between."""
    program = (
        "import os, sys, warnings; warnings.simplefilter('ignore');"
        f"os.register_at_fork({moment}=lambda: use());"
        "import gc, breaker;"
        "p = breaker.Provider(breaker.get_default_config('s', 'd'), default_policy=breaker.Policy(1));"
        "p.subscribe(lambda event: None);"
        "b = p.get_breaker('a');"
        "use = lambda: (b.do(int), b.acquire(), b.force_open(), b.clear_override(), b.snapshot(), gc.collect(), "
        "p.get_breaker('b' + str(os.getpid())).do(int));"
        "b.do(int);"
        "child = os.fork();"
        "child or os._exit(0 if b.do(int) == 0 else 3);"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or b.do(int))"
    )
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(20)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@in_a_process()
def test_a_signal_in_the_middle_of_a_predicate_a_clock_and_a_listener_uses_the_breaker() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    clock = ManualClock()

    def here(*_: object) -> bool:
        signal.raise_signal(signal.SIGUSR1)
        return False

    def reads() -> int:
        here()
        return clock()

    told = [0]

    def hears(_: object) -> None:
        told[0] += 1
        if told[0] % 7 == 0:  # the handler causes up to three events: at each event it would never end
            here()

    made = Provider(CONFIG, default_policy=Policy(1, 1, 60.0), clock=reads)
    made.subscribe(hears)
    used = [0]
    busy = [False]

    def handler(*_: object) -> None:
        if not busy[0] and used[0] < 200:  # or the events of each use would bring the next one, for ever
            busy[0] = True
            used[0] += 1
            with contextlib.suppress(BreakerOpenError, ValueError):
                breaker.do(fails) if used[0] % 2 else breaker.do(int)
            breaker.reset()
            busy[0] = False

    breaker = made.get_breaker("a", failed_result=here)
    signal.signal(signal.SIGUSR1, handler)
    for _ in range(50):
        with contextlib.suppress(BreakerOpenError, ValueError):
            breaker.do(fails)
        with contextlib.suppress(BreakerOpenError):
            breaker.do(int)
        clock.advance(61)
    breaker.reset()
    assert breaker.snapshot().half_open_in_flight == 0
    assert used[0] > 100


# -- without the lock --


@in_a_process(seconds=55)
def test_listeners_come_and_go_while_other_threads_deliver() -> None:
    made = provider(Policy(1, 1, 60.0))
    breaker = made.get_breaker("a")
    over = threading.Event()
    errors: list[BaseException] = []

    def subscribe() -> None:
        try:
            while not over.is_set():
                for unsubscribe in [made.subscribe(lambda event: None) for _ in range(20)]:
                    unsubscribe()
        except BaseException as error:
            errors.append(error)

    def deliver() -> None:
        try:
            for _ in range(2_000):
                with contextlib.suppress(BreakerOpenError, ValueError):
                    breaker.do(fails)
                breaker.reset()
        except BaseException as error:
            errors.append(error)

    subscribers = [threading.Thread(target=subscribe) for _ in range(2)]
    deliverers = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in (*subscribers, *deliverers):
        thread.start()
    for thread in deliverers:
        thread.join()
    over.set()
    for thread in subscribers:
        thread.join()
    assert errors == []
    assert breaker.snapshot().failures + breaker.snapshot().late + breaker.snapshot().rejected == 4_000


@in_a_process()
def test_a_thread_of_no_python_that_has_ended_leaves_its_permits_to_be_dropped() -> None:
    """Tickets outlive the thread that was admitted; its identity may belong to another one by then."""
    clock = ManualClock()
    breaker = Provider(CONFIG, default_policy=Policy(1, 3, 60.0, half_open_max_calls=3), clock=clock).get_breaker("a")
    trip(breaker)
    clock.advance(60)
    permits: list[Any] = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: permits.append(breaker.acquire()))
        thread.start()
        thread.join()
    assert breaker.snapshot().half_open_in_flight == 3
    permits.clear()
    gc.collect()
    assert (breaker.snapshot().half_open_in_flight, breaker.snapshot().ignored) == (0, 3)
