"""Threads for tests: started together, joined always, their errors raised in the test."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LONGEST = 30 if "BREAKER_SANITIZED" not in os.environ else 300  # seconds; a sanitizer takes many times as long


@contextmanager
def eager_switching() -> Iterator[None]:
    """Make the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Crowd:
    """Threads whose first error is raised by ``join``."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []

    def start(self, work: Callable[..., Any], *args: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except BaseException as error:
                self.errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def join(self, seconds: float = LONGEST) -> None:
        for thread in self.threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a thread hangs"
        self.threads.clear()
        if self.errors:
            raise self.errors[0]


def together(count: int, work: Callable[[int], Any]) -> None:
    """Run ``work(number)`` in this many threads that leave a barrier at the same time."""
    barrier, crowd = threading.Barrier(count), Crowd()

    def run(number: int) -> None:
        barrier.wait()
        work(number)

    with eager_switching():
        for number in range(count):
            crowd.start(run, number)
        crowd.join()


def in_another_thread(work: Callable[[], Any]) -> None:
    """Run ``work`` in a second thread and wait for it: a held lock shows as a hang, not as a pass."""
    crowd = Crowd()
    crowd.start(work)
    crowd.join(10)


def watchers() -> set[threading.Thread]:
    """The threads in which providers watch their sources."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("breaker-policies-")}


class HookClock:
    """A clock that runs ``hook`` once, inside the next reading: in the middle of somebody's decision."""

    def __init__(self, now: int = 0) -> None:
        self.now, self.readings = now, 0
        self.hook: Callable[[], Any] | None = None

    def __call__(self) -> int:
        self.readings += 1
        hook, self.hook = self.hook, None
        now = self.now
        if hook is not None:
            hook()
        return now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1_000_000_000)
