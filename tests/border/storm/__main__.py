"""Random programs of threads, forks, signals, collections and listeners that call back, and their books.

``python tests/border/storm SEED`` runs one program: everything that it does follows from its seed, but for what the
threads make of it. It enters what was admitted, rejected and failed, and what its listeners were notified of. At the
end the breakers' totals are the same, no slot is held, and each breaker's events are one unbroken chain. It ends with
0, or says what is wrong.
"""

import faulthandler
import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

_at_fork: list[Callable[[str], object]] = []


def _fork_handler(moment: str) -> Callable[[], None]:
    def run() -> None:
        for each in _at_fork:
            each(moment)

    return run


# Before breaker registers its own handlers: in a fork these run between those of the package.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_fork_handler("before"),
        after_in_parent=_fork_handler("parent"),
        after_in_child=_fork_handler("child"),
    )

from border.storm.actors import Actors
from border.storm.books import check_chains, check_totals
from breaker import Breaker, Mode

STEPS = 200
HANGS_AFTER = 60  # seconds
CHILD_HANGS_AFTER = 20


class Storm(Actors):
    """One program: its threads, signals and forks."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.process = os.getpid()
        self.over = threading.Event()
        self.signalled = False  # a handler is at work
        self.errors: list[BaseException] = []
        self.children = 0

    def guarded(self, work: Callable[..., object], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self.errors.append(error)

    def work(self, seed: int) -> None:
        """What one thread does."""
        dice = random.Random(seed)
        for _ in range(STEPS):
            self.act(dice)

    # -- signals --

    def handle_signals(self) -> None:
        dice = random.Random(self.seed + 2)

        def handler(*_: object) -> None:
            if not self.signalled and os.getpid() == self.process:
                self.signalled = True
                self.guarded(self.call, dice.choice(self.breakers), dice)
                self.signalled = False

        signal.signal(signal.SIGUSR1, handler)

    def send_signals(self) -> None:
        """Until all is over, to the main thread: Python runs handlers there."""
        while not self.over.wait(0.0007):
            os.kill(self.process, signal.SIGUSR1)

    # -- forks --

    def at_fork(self, moment: str) -> None:
        """Calls between the package's own handlers."""
        dice = random.Random(self.seed + self.children)
        if moment == "child":
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            self.breakers[0].snapshot()
        else:
            self.guarded(self.call, dice.choice(self.breakers), dice)

    def fork(self) -> None:
        """Only in the main thread. Whatever goes on around it, the child checks itself and ends."""
        self.children += 1
        child = os.fork()
        if child == 0:
            self.end_child()
        _, status = os.waitpid(child, 0)
        assert status == 0, f"a forked child ended with {os.waitstatus_to_exitcode(status)}"

    def end_child(self) -> None:
        code = 1
        try:
            # Not dump_traceback_later: its thread is not in the child.
            faulthandler.register(signal.SIGALRM, chain=True)
            signal.alarm(CHILD_HANGS_AFTER)
            self.check_child()
            code = 0
        except BaseException:
            sys.stderr.write(traceback.format_exc())
            sys.stderr.flush()
        finally:
            os._exit(code)

    def check_child(self) -> None:
        """No thread of the parent is here. Slots that they held are free, calls go on, and each is counted once."""
        self.in_child = self.clock.in_child = True
        gc.disable()
        self.drop_all()  # what the parent left is settled before the books are opened
        before = {breaker.name: breaker.snapshot() for breaker in self.breakers}
        self.entries.clear()
        dice = random.Random(self.seed + 3)
        for _ in range(15):
            self.call(dice.choice(self.breakers), dice)
        self.stormy = False
        self.drop_all()
        for breaker in self.breakers:
            breaker.clear_override()
            breaker.reset()
            check_totals(self.entries, before[breaker.name], breaker.snapshot())
            breaker.override(Mode.AUTO)
            assert breaker.do(int) == 0

    # -- the whole --

    def run(self) -> None:
        self.handle_signals()
        threads = [
            threading.Thread(target=self.guarded, args=(self.work, self.seed * 100 + number))
            for number in range(self.dice.randint(1, 4))
        ]
        sniper = threading.Thread(target=self.guarded, args=(self.send_signals,))
        for thread in (*threads, sniper):
            thread.start()
        _at_fork.append(self.at_fork)
        self.guarded(self.main_thread, threads)
        for thread in threads:
            thread.join()
        self.over.set()
        sniper.join()
        _at_fork.clear()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        self.errors += self.unraisable
        if self.errors:
            raise self.errors[0]
        self.check()

    def main_thread(self, threads: list[threading.Thread]) -> None:
        steps = 0
        while steps < STEPS or any(thread.is_alive() for thread in threads):
            steps += 1
            what = self.dice.random()
            if what < 0.015:
                self.fork()
            elif what < 0.03:
                self.call(self.dice.choice(self.breakers), self.dice, Storm.fork_inside)
            else:
                self.act(self.dice)
            time.sleep(0)

    def fork_inside(self, breaker: Breaker, dice: random.Random) -> bool:
        """A form of call: fork in the middle of it. The child never ends it."""
        breaker.do(self.fork)
        return True

    def check(self) -> None:
        self.stormy = False
        self.drop_all()
        for breaker in self.breakers:
            breaker.clear_override()
            breaker.reset()
            now = breaker.snapshot()
            check_totals(self.entries, None, now)
            check_chains(self.entries, self.events[breaker.name], now, interrupted=self.interrupts)
            spent = sum(now.state_seconds.values())
            assert abs(spent - self.clock.seconds) < 1e-3, (spent, self.clock.seconds)
        self.provider.close()


def run(seed: int) -> dict[str, Any]:
    """Run one program; what it did, in numbers."""
    storm = Storm(seed)
    storm.run()
    return {"entries": len(storm.entries), "forks": storm.children}


if __name__ == "__main__":
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    print(run(int(sys.argv[1])))
