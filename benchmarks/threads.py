"""Throughput of one statement run by several threads at once."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence


def elapsed(run: Callable[[int], object], threads: int, calls: int) -> float:
    """Seconds from a common start until each thread has run ``run(calls)``."""
    start = threading.Barrier(threads + 1)
    failures: list[BaseException] = []

    def work() -> None:
        start.wait()
        try:
            run(calls)
        except BaseException as error:
            # A thread that dies early would otherwise look like a fast one.
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    begin = time.perf_counter()
    for worker in workers:
        worker.join()
    taken = time.perf_counter() - begin
    if failures:
        raise failures[0]
    return taken


def throughput(run: Callable[[int], object], threads: int, calls: int) -> float:
    """Calls per second of all threads together, ``calls`` of them in all."""
    each = calls // threads
    return each * threads / elapsed(run, threads, each)


def waiting(seconds: float = 0.001) -> Callable[[], None]:
    """A call that waits like one over the network does: without the interpreter's lock."""

    def wait() -> None:
        time.sleep(seconds)

    return wait


def _calls(run: Callable[[int], object], seconds: float) -> int:
    """How many calls one thread makes in about ``seconds``."""
    count = 10
    while (taken := elapsed(run, 1, count)) < 0.005:
        count *= 4
    return max(1, int(count * seconds / taken))


def median_throughputs(
    subjects: dict[str, Callable[[int], object]], threads: Sequence[int], seconds: float, repeats: int
) -> dict[tuple[str, int], float]:
    """Calls per second of every subject with every number of threads, measured in turns.

    The same number of calls is divided among the threads, as many as take one thread ``seconds``: several times
    as long as the interpreter lets a thread run before it gives another its turn.
    """
    calls = {name: _calls(run, seconds) for name, run in subjects.items()}
    samples: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeats):
        for name, run in subjects.items():
            for count in threads:
                samples.setdefault((name, count), []).append(throughput(run, count, calls[name]))
    return {key: statistics.median(values) for key, values in samples.items()}
