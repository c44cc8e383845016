"""Loops around one statement, and interleaved timing of several of them."""

import gc
import itertools
import random
import statistics
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Namespace = Mapping[str, object]

# Long enough that one reading of the clock costs nothing beside it, short enough that a busy machine
# disturbs some repeats and not all.
BATCH_SECONDS = 0.004


@dataclass(frozen=True)
class Loop:
    """One statement, ready to run ``n`` times. ``run(n)`` returns nothing and is what is timed."""

    run: Callable[[int], None]
    statement: str


def _compile(statement: str, names: Sequence[str], keyword: str) -> Callable[..., Any]:
    indented = statement.replace("\n", "\n        ")
    parameters = "".join(f", {name}" for name in names)
    source = f"{keyword} loop(_it{parameters}):\n    for _ in _it:\n        {indented}\n"
    scope: dict[str, Any] = {}
    exec(compile(source, f"<{statement.splitlines()[0]}>", "exec"), scope)
    loop: Callable[..., Any] = scope["loop"]
    return loop


def sync_loop(statement: str, names: Namespace) -> Loop:
    """``for _ in …: statement``, with every name a local variable as in a function's own code.

    Each loop has a code object of its own, so that the interpreter specialises it for its own types.
    """
    body = _compile(statement, list(names), "def")
    values = tuple(names.values())

    def run(n: int) -> None:
        body(itertools.repeat(None, n), *values)

    return Loop(run, statement)


def async_loop(statement: str, names: Namespace) -> Loop:
    """The same inside a coroutine that never suspends, driven by one ``send(None)``."""
    body = _compile(statement, list(names), "async def")
    values = tuple(names.values())

    def run(n: int) -> None:
        coroutine: Coroutine[Any, None, None] = body(itertools.repeat(None, n), *values)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        coroutine.close()
        raise RuntimeError(f"{statement!r} suspended")

    return Loop(run, statement)


Clock = Callable[[], int]

# The processor's time of this thread: what other programs take of a busy machine is not ours.
PROCESSOR: Clock = time.thread_time_ns
# For what happens in other threads and processes too. It wants a machine that does nothing else.
WALL: Clock = time.perf_counter_ns


def _timed(loop: Loop, n: int, clock: Clock) -> float:
    start = clock()
    loop.run(n)
    return (clock() - start) / n


def _batch(loop: Loop, clock: Clock) -> int:
    """How many turns take about one batch's time. Also warms the loop up."""
    loop.run(100)
    n = 100
    while n < 10_000_000 and (nanoseconds := _timed(loop, n, clock) * n) < BATCH_SECONDS * 1e9:
        n = int(n * min(10.0, max(1.5, BATCH_SECONDS * 1e9 / max(nanoseconds, 1.0))))
    return n


def _rounds(count: int, repeats: int) -> Iterator[range]:
    """The order of each repeat: forwards, then backwards, so that none always follows the same one."""
    for repeat in range(repeats):
        yield range(count) if repeat % 2 == 0 else range(count - 1, -1, -1)


def interleaved(loops: Sequence[Loop], repeats: int, clock: Clock = PROCESSOR) -> list[float]:
    """Median nanoseconds per turn of each loop, all of them measured in every repeat."""
    return _medians(loops, [_batch(loop, clock) for loop in loops], _rounds(len(loops), repeats), clock)


def shuffled(loops: Sequence[Loop], repeats: int, turns: int, clock: Clock = PROCESSOR) -> list[float]:
    """The same for turns that take long and wander more than the loops differ.

    A batch is a few turns and there are many of them, so that each loop sees the same weather; their order in a repeat
    is drawn by lot, so that none follows another, or itself, more often than the rest.
    """
    order, lots = list(range(len(loops))), random.Random(0)
    for loop in loops:
        loop.run(turns)
    orders = (lots.sample(order, len(order)) for _ in range(repeats))
    return _medians(loops, [turns] * len(loops), orders, clock)


def _medians(
    loops: Sequence[Loop], batches: Sequence[int], orders: Iterable[Iterable[int]], clock: Clock
) -> list[float]:
    samples: list[list[float]] = [[] for _ in loops]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for order in orders:
            for index in order:
                samples[index].append(_timed(loops[index], batches[index], clock))
    finally:
        if collecting:
            gc.enable()
    return [statistics.median(sample) for sample in samples]
