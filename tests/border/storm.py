"""Random programs of threads, forks, signals, collections and listeners that call back, and their books.

``python storm.py SEED`` runs one program: everything it does follows from its seed, but for what the threads make of it.
It keeps its own count of what was admitted and rejected, and the list of what its listeners were notified of. At the end
the breakers' totals are the same, no slot is held, and each breaker's events are one unbroken chain. It ends with 0, or
says what is wrong.
"""

import contextlib
import faulthandler
import gc
import itertools
import os
import queue
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from breaker import Breaker, BreakerOpenError, Mode, Policy, Provider, State, get_default_config
from breaker.events import StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock

NAMES = ("http:a", "grpc:b")
STEPS = 150
HANGS_AFTER = 60  # seconds
HAS_FORK = hasattr(os, "fork") and getattr(sys, "_is_gil_enabled", lambda: True)()


class Broken(Exception):
    """What the functions of a storm fail with."""


class Books:
    """What one actor has seen: a thread, a signal handler or a listener. Nobody else writes in it."""

    def __init__(self) -> None:
        self.admitted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()


class Storm:
    """One program."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.depth = threading.local()
        self.meddled: list[tuple[str, str]] = []  # by listeners, in several threads: appending needs no lock
        self.clock = ManualClock()
        self.source = MemorySource({"default": self.policy(self.dice)})
        self.provider = Provider(get_default_config("storm", "dev"), policy_source=self.source, clock=self.clock)
        self.events: dict[str, list[StateChanged]] = {name: [] for name in NAMES}
        self.provider.subscribe(self.record)
        self.provider.subscribe(self.meddle)
        self.breakers = [self.provider.get_breaker(name) for name in NAMES]
        self.decorated = {breaker.name: breaker(self.ran) for breaker in self.breakers}
        self.handed: queue.SimpleQueue[Any] = queue.SimpleQueue()  # permits that another thread settles
        self.books: list[Books] = []

    def new_books(self) -> Books:
        self.books.append(books := Books())
        return books

    @staticmethod
    def policy(dice: random.Random) -> Policy:
        return Policy(
            dice.randint(1, 4),
            dice.randint(1, 3),
            dice.choice([0.5, 1.0, 5.0]),
            half_open_max_calls=dice.randint(1, 3),
            probe_timeout=dice.choice([None, 0.7, 3.0]),
            open_timeout_multiplier=dice.choice([1.0, 2.0]),
            open_timeout_jitter=dice.choice([0.0, 0.5]),
        )

    # -- what listeners do --

    def record(self, event: Any) -> None:
        if isinstance(event, StateChanged):
            self.events[event.name].append(event)

    def meddle(self, event: Any) -> None:
        """Use the breaker from inside its own delivery. One delivery at a time, so a lock is not needed per breaker."""
        if getattr(self.depth, "inside", False) or not hasattr(event, "name"):
            return
        self.depth.inside = True
        try:
            breaker = self.provider.get_breaker(event.name)
            choice = hash((event.name, type(event).__name__, len(self.events[event.name]), self.seed)) % 7
            if choice == 0:
                breaker.snapshot()
            elif choice == 1:
                gc.collect(0)
            elif choice == 2:
                breaker.acquire()  # dropped; counted below by what the breaker says of it
                self.meddled.append(("admitted", event.name))
        except BreakerOpenError:
            self.meddled.append(("rejected", event.name))
        finally:
            self.depth.inside = False

    # -- what threads do --

    @staticmethod
    def ran(fail: bool) -> int:
        if fail:
            raise Broken
        return 5

    @staticmethod
    async def ran_async(fail: bool) -> int:
        return Storm.ran(fail)

    @staticmethod
    def generated(fail: bool) -> Iterator[int]:
        yield 1
        yield Storm.ran(fail)

    @staticmethod
    async def generated_async(fail: bool) -> AsyncIterator[int]:
        yield 1
        yield Storm.ran(fail)

    def call(self, breaker: Breaker, dice: random.Random, books: Books) -> None:
        """One call in one of its forms, entered into the books."""
        form, fail = dice.choice(self.CALLS), dice.random() < 0.4
        admitted = True
        try:
            with contextlib.suppress(Broken):
                admitted = form(self, breaker, fail, dice) is not False
        except BreakerOpenError as rejected:
            assert rejected.name == breaker.name
            books.rejected[breaker.name] += 1
            return
        books.admitted[breaker.name] += admitted

    def do(self, breaker: Breaker, fail: bool, dice: random.Random) -> object:
        return breaker.do(self.ran, fail)

    def do_decorated(self, breaker: Breaker, fail: bool, dice: random.Random) -> object:
        return self.decorated[breaker.name](fail)

    def do_coroutine(self, breaker: Breaker, fail: bool, dice: random.Random) -> object:
        coroutine = breaker.do(self.ran_async, fail)
        if dice.random() < 0.1:
            coroutine.close()
            return False
        try:
            coroutine.send(None)
        except StopIteration as end:
            assert end.value == 5
        return True

    def do_generator(self, breaker: Breaker, fail: bool, dice: random.Random) -> object:
        items = breaker.do(self.generated, fail)
        assert next(items) == 1
        if dice.random() < 0.7:
            for _ in items:
                pass
        return True

    def do_async_generator(self, breaker: Breaker, fail: bool, dice: random.Random) -> object:
        items: Any = breaker.do(self.generated_async, fail)
        for _ in range(dice.randint(1, 3)):
            step = items.__anext__()
            try:
                step.send(None)
            except StopIteration:
                continue
            except StopAsyncIteration:
                break
        return True

    def hold(self, breaker: Breaker, fail: bool, dice: random.Random) -> object:
        permit = breaker.acquire()
        kind = dice.randint(0, 4)
        if kind == 0:
            self.handed.put(permit)  # settled by another thread, or dropped at the end
        elif kind == 1:
            cycle: list[Any] = [permit]
            cycle.append(cycle)  # dropped by the collector
        elif kind == 2:
            with permit:
                self.ran(fail)
        elif kind == 3:
            permit.failure(Broken("held")) if fail else permit.success()
        return True

    CALLS: tuple[Callable[..., object], ...] = (
        *(do, do, do, do_decorated, do_decorated, do_coroutine, do_coroutine),
        *(do_generator, do_async_generator, hold, hold),
    )

    def settle_another(self, dice: random.Random) -> None:
        with contextlib.suppress(queue.Empty):
            permit = self.handed.get_nowait()
            dice.choice([permit.success, permit.failure, permit.ignore])()

    def operate(self, breaker: Breaker, dice: random.Random) -> None:
        kind = dice.randint(0, 9)
        if kind == 0:
            breaker.reset()
        elif kind == 1:
            breaker.override(dice.choice([None, None, None, *Mode]))
        elif kind <= 3:
            self.source.put(breaker.name, self.policy(dice))
        elif kind <= 6:
            self.clock.advance(dice.choice([0.1, 0.6, 2.0]))
        elif kind == 7:
            gc.collect(dice.randint(0, 2))
        else:
            breaker.snapshot()

    def work(self, seed: int, books: Books) -> None:
        dice = random.Random(seed)
        for _ in range(STEPS):
            breaker = dice.choice(self.breakers)
            what = dice.random()
            if what < 0.75:
                self.call(breaker, dice, books)
            elif what < 0.85:
                self.settle_another(dice)
            else:
                self.operate(breaker, dice)

    # -- signals and forks --

    def handle_signals(self) -> None:
        books, dice = self.new_books(), random.Random(self.seed + 2)
        busy = [False]

        def handler(*_: object) -> None:
            if not busy[0]:
                busy[0] = True
                self.call(dice.choice(self.breakers), dice, books)
                busy[0] = False

        signal.signal(signal.SIGUSR1, handler)

    def fork(self) -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(HANGS_AFTER // 2)  # not faulthandler: its thread is not in the child
                self.check_child()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"a forked child ended with {os.waitstatus_to_exitcode(status)}"

    def check_child(self) -> None:
        """In a child: no thread of the parent is here; slots they held are free, and calls go on."""
        books = Books()
        dice = random.Random(self.seed + 3)
        for _ in range(20):
            self.call(dice.choice(self.breakers), dice, books)
        for breaker in self.breakers:
            breaker.clear_override()
            breaker.reset()
            assert breaker.do(self.ran, False) == 5

    # -- the whole --

    def run(self) -> None:
        self.handle_signals()
        threads = [
            threading.Thread(target=self.guarded, args=(self.seed * 100 + number, self.new_books()))
            for number in range(self.dice.randint(1, 4))
        ]
        self.errors: list[BaseException] = []
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            what = self.dice.random()
            if what < 0.5:
                os.kill(os.getpid(), signal.SIGUSR1)
            elif what < 0.55 and HAS_FORK:
                self.fork()
            elif what < 0.7:
                gc.collect(0)
            threads[0].join(0.001)
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        self.check()

    def guarded(self, seed: int, books: Books) -> None:
        try:
            self.work(seed, books)
        except BaseException as error:
            self.errors.append(error)

    def check(self) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        while not self.handed.empty():
            self.handed.get()
        gc.collect()
        for breaker in self.breakers:
            breaker.clear_override()
            breaker.reset()
            seen = breaker.snapshot()
            ended = seen.successes + seen.failures + seen.ignored + seen.late + seen.lost
            admitted = sum(books.admitted[breaker.name] for books in self.books)
            admitted += self.meddled.count(("admitted", breaker.name))
            rejected = sum(books.rejected[breaker.name] for books in self.books)
            rejected += self.meddled.count(("rejected", breaker.name))
            assert (ended, seen.rejected) == (admitted, rejected), (breaker, seen, admitted, rejected)
            assert seen.half_open_in_flight == 0
            moves = self.events[breaker.name]
            assert not moves or moves[0].from_state is State.CLOSED
            for before, after in itertools.pairwise(moves):
                assert before.to_state is after.from_state, (before, after)
                assert before.epoch < after.epoch, (before, after)
            assert not moves or moves[-1].to_state is breaker.state is State.CLOSED
        self.provider.close()


def main() -> None:
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    sys.setswitchinterval(1e-5)
    Storm(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
