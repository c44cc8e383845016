"""The core's C headers that need no breaker, compiled by themselves and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

NATIVE = Path(__file__).parents[2] / "src/breaker/native"
SOURCE = """
#include "windows.h"
#include "in_flight.h"
#define OUT __attribute__((visibility("default")))
OUT bk_window_t *window_make(int64_t calls, int64_t span, int slow, int64_t now) {
    bk_window_t *w = bk_window_make(calls, span, slow);
    if (w != NULL) bk_window_empty(w, now);
    return w;
}
OUT void window_free(bk_window_t *w) { PyMem_RawFree(w); }
OUT void window_empty(bk_window_t *w, int64_t now) { bk_window_empty(w, now); }
OUT int window_turn(bk_window_t *w, int64_t now) { return bk_window_turn(w, now); }
OUT int64_t window_end(bk_window_t *w) { return bk_window_end(w); }
OUT void window_pass_over(bk_window_t *w, int64_t n) { bk_window_pass(w, n); }
OUT void window_record(bk_window_t *w, int failed, int slow) { bk_window_record(w, failed, slow); }
OUT void window_forget_slow(bk_window_t *w) { bk_window_forget_slow(w); }
OUT void window_take(bk_window_t *w, bk_window_t *old, int64_t now) { bk_window_take(w, old, now); }
OUT void window_seen(bk_window_t *w, int64_t *out) {
    out[0] = w->all.calls, out[1] = w->all.failures, out[2] = w->all.slow;
}
OUT void window_with(bk_window_t *w, int failed, int slow, int64_t *out) {
    bk_tally_t all = bk_window_with(w, failed, slow);
    out[0] = all.calls, out[1] = all.failures, out[2] = all.slow;
}
OUT size_t flights_size(void) { return sizeof(bk_in_flight_t); }
OUT void flights_follow(bk_in_flight_t *f, int64_t duration, int64_t now) { bk_flights_follow(f, duration, now); }
OUT void flights_forget(bk_in_flight_t *f) { bk_flights_forget(f); }
OUT int flights_look(bk_in_flight_t *f, int64_t now) { return bk_flights_look(f, now); }
OUT int64_t flights_late(bk_in_flight_t *f, int64_t now) { return bk_flights_late(f, now); }
OUT int64_t flights_late_as_looked(bk_in_flight_t *f) { return f->late; }
OUT uint32_t flights_depart(bk_in_flight_t *f) { return bk_flights_depart(f); }
OUT void flights_arrive(bk_in_flight_t *f, uint32_t departed) { bk_flights_arrive(f, departed); }
OUT void flights_number(bk_in_flight_t *f, uint32_t beat) { f->beat = f->first = beat; }
"""


def compiled(folder: Path) -> ctypes.PyDLL:
    """The units, built into a folder."""
    (folder / "units.c").write_text(SOURCE, encoding="utf-8")
    command = [
        *os.environ.get("CC", "cc").split(),
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
    ]
    command += [f"-I{NATIVE}", f"-I{sysconfig.get_paths()['include']}", "units.c", "-o", "units.so"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    units = ctypes.PyDLL(str(folder / "units.so"))
    units.window_make.restype = ctypes.c_void_p
    units.window_make.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_int, ctypes.c_int64]
    for name, arguments in (
        ("window_free", []),
        ("window_empty", [ctypes.c_int64]),
        ("window_turn", [ctypes.c_int64]),
        ("window_end", []),
        ("window_pass_over", [ctypes.c_int64]),
        ("window_record", [ctypes.c_int, ctypes.c_int]),
        ("window_forget_slow", []),
        ("window_take", [ctypes.c_void_p, ctypes.c_int64]),
        ("window_seen", [ctypes.c_void_p]),
        ("window_with", [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]),
        ("flights_follow", [ctypes.c_int64, ctypes.c_int64]),
        ("flights_forget", []),
        ("flights_look", [ctypes.c_int64]),
        ("flights_late", [ctypes.c_int64]),
        ("flights_late_as_looked", []),
        ("flights_depart", []),
        ("flights_arrive", [ctypes.c_uint32]),
        ("flights_number", [ctypes.c_uint32]),
    ):
        getattr(units, name).argtypes = [ctypes.c_void_p, *arguments]
    for name in ("window_end", "flights_late", "flights_late_as_looked"):
        getattr(units, name).restype = ctypes.c_int64
    units.flights_depart.restype = ctypes.c_uint32
    units.flights_size.restype = ctypes.c_size_t
    return units


class CWindow:
    """A window of the core's."""

    def __init__(self, units: Any, calls: int, span: int, slow: bool, now: int) -> None:
        self.units = units
        self.address = units.window_make(calls, span, slow, now)
        assert self.address

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.units, f"window_{name}")
        return lambda *arguments: function(self.address, *arguments)

    def __del__(self) -> None:
        self.units.window_free(self.address)

    @property
    def tally(self) -> tuple[int, ...]:
        out = (ctypes.c_int64 * 3)()
        self.units.window_seen(self.address, out)
        return tuple(out)

    def tally_with(self, failed: bool, slow: bool) -> tuple[int, ...]:
        out = (ctypes.c_int64 * 3)()
        self.units.window_with(self.address, failed, slow, out)
        return tuple(out)


class CInFlight:
    """A ledger of calls in flight of the core's, all zero at first."""

    def __init__(self, units: Any) -> None:
        self.units = units
        self.memory = ctypes.create_string_buffer(units.flights_size())

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.units, f"flights_{name}")
        return lambda *arguments: function(ctypes.addressof(self.memory), *arguments)
