"""Memory and import time, each measured in a process of its own.

``python -m benchmarks.footprint per-breaker 200000`` and ``… growth PATH CALLS`` print one number: bytes.
"""

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRELOADED = "dataclasses, enum, typing, re, threading"
# Each costs more to import than the whole of this package, and none is needed for a call.
UNWANTED = ("structlog", "msgspec", "asyncio", "logging", "grpc")


def resident() -> int:
    """Bytes of memory that this process holds now, whoever allocated them."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def per_breaker(count: int) -> float:
    """Bytes per breaker, its place in the provider's registry included, its name not."""
    from benchmarks.subjects import CLOSED, provider

    owner = provider(CLOSED, 1001)
    names = [f"grpc:service-{number}" for number in range(count)]
    before = resident()
    for name in names:
        owner.get_breaker(name)
    return (resident() - before) / count


def _cancelled() -> tuple[Callable[[], None], Callable[[], int]]:
    from benchmarks.subjects import subject

    made = subject("closed")

    class Suspend:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def hang() -> None:
        await Suspend()

    def call() -> None:
        coroutine = made.breaker.do(hang)
        coroutine.send(None)
        try:
            coroutine.throw(asyncio.CancelledError)
        except asyncio.CancelledError:
            return

    return call, lambda: made.total("ignored")


def _run_case(group: str, name: str, calls: int) -> float:
    from benchmarks import cases

    case = next(case for case in cases.ALL if (case.group, case.name) == (group, name))
    made = cases.ready(case)
    made.loops["breaker"].run(100_000)
    # In this order: the first look at the totals loads the module that shows them.
    counted, before = made.total(), resident()
    made.loops["breaker"].run(calls)
    grown = resident() - before
    assert made.total() - counted == calls
    return grown


def _run_cancelled(calls: int) -> float:
    call, counted = _cancelled()
    for _ in range(10_000):
        call()
    assert counted() == 10_000
    before = resident()
    for _ in range(calls):
        call()
    grown = resident() - before
    assert counted() == calls + 10_000
    return grown


GROWTH = ("closed/do-1-arg", "decorated/function-1-arg", "acquire/with-acquire", "rejected/do",
          "failing/do", "probe/do", "await/do", "cancelled")  # fmt: skip


def growth(path: str, calls: int) -> float:
    """Bytes that this process has grown by in ``calls`` calls of one kind, after it is warm."""
    if path == "cancelled":
        return _run_cancelled(calls)
    group, _, name = path.partition("/")
    return _run_case(group, name, calls)


def in_process(*arguments: str) -> float:
    """One number of this module's command line, from a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.footprint", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def _import_once(preload: str, bytecode: str) -> tuple[float, list[str]]:
    code = (
        f"import sys, time; {preload}t = time.perf_counter_ns(); import breaker; "
        f"t = time.perf_counter_ns() - t; print(t, *[m for m in {UNWANTED} if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    # Where it is set, every import would compile its source anew, as in no program that is installed.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    taken, *loaded = done.stdout.split()
    return int(taken) / 1e6, loaded


def import_times(repeats: int) -> tuple[float, float, list[str]]:
    """Milliseconds of ``import breaker`` cold and beside preloaded modules, and unwanted modules it loaded.

    Cold means that no module is loaded; the files are in the system's cache and compiled to bytecode.
    """
    cold: list[float] = []
    beside: list[float] = []
    unwanted: Sequence[str] = ()
    with tempfile.TemporaryDirectory() as bytecode:
        _import_once("", bytecode)
        for _ in range(repeats):
            taken, unwanted = _import_once("", bytecode)
            cold.append(taken)
            beside.append(_import_once(f"import {PRELOADED}; ", bytecode)[0])
    return statistics.median(cold), statistics.median(beside), list(unwanted)


def main(arguments: Sequence[str]) -> None:
    kind, *rest = arguments
    result = per_breaker(int(rest[0])) if kind == "per-breaker" else growth(rest[0], int(rest[1]))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
