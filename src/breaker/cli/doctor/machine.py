"""The interpreter and the clock."""

from __future__ import annotations

import platform
import struct
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from breaker.cli.doctor.findings import NOTE, OK, WRONG, Finding

_SLOW_CLOCK = 500.0  # nanoseconds; 20 to 60 is usual, and a system call costs more than this
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


def findings() -> Iterator[Finding]:
    """All of them."""
    yield _python()
    yield _clock()


def _python() -> Finding:
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    with_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    kind = "free-threaded" if free_threaded else "with the GIL"
    debug = ", a debug build" if hasattr(sys, "gettotalrefcount") else ""
    bits = 8 * struct.calcsize("P")
    text = (
        f"{platform.python_implementation()} {platform.python_version()}, {kind}{debug}, {bits} bit, "
        f"{platform.system()} {platform.machine()}, {sys.executable}"
    )
    if free_threaded and with_gil:
        remedy = "a module that was imported, or PYTHON_GIL=1, has switched it on: python -X gil=0"
        return Finding("python", NOTE, f"{text}; the GIL is on all the same", remedy)
    return Finding("python", OK, text)


def _clock() -> Finding:
    info = time.get_clock_info("monotonic")
    cost = clock_cost()
    source = _clock_source()
    text = f"{info.implementation}, resolution {info.resolution * 1e9:g} ns, read in {cost:.0f} ns"
    text += f", from {source}" if source else ""
    if not info.monotonic:
        return Finding("clock", WRONG, f"{text}; it may go back", "breakers need a monotonic clock")
    if cost > _SLOW_CLOCK:
        return Finding("clock", NOTE, text, "reading it is slow; on a virtual machine choose tsc or kvm-clock")
    return Finding("clock", OK, text)


def clock_cost() -> float:
    """Nanoseconds of one reading, in the best of 7 rounds of 1,000."""
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter_ns()
        for _ in range(1000):
            time.monotonic_ns()
        best = min(best, (time.perf_counter_ns() - began) / 1000)
    return best


def _clock_source() -> str:
    try:
        return _CLOCK_SOURCE.read_text().strip()
    except OSError:
        return ""
