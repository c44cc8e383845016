"""Interpreters that are not run as usual: with checks, without assertions, traced, forked, several in one process."""

import importlib.util
import sys

import pytest

from breaker import Policy, Provider, State
from support.drive import CONFIG, NAME, rejected, succeed, trip
from support.processes import run_python

CYCLE = """
import asyncio, os, sys
import breaker
from breaker import BreakerOpenError, Policy, Provider, State, get_default_config
from breaker.testing import ManualClock, recorded

class Boom(Exception): pass

def fails(): raise Boom("down")

async def awaited(value): return value

def counted(most): yield from range(most)

def cycle():
    clock = ManualClock()
    provider = Provider(get_default_config("svc", "dev"), default_policy=Policy(2, 1, 60), clock=clock)
    guarded = provider.get_breaker("x")
    with recorded(provider) as events:
        for _ in range(2):
            try: guarded.do(fails)
            except Boom: pass
        try: guarded.do(int)
        except BreakerOpenError as rejected: after = rejected.retry_after
        clock.advance(60)
        if guarded.do(int) != 0 or guarded(len)("abc") != 3: raise SystemExit("wrong value")
        if asyncio.run(guarded.do(awaited, 5)) != 5 or sum(guarded.do(counted, 4)) != 6: raise SystemExit("wrong value")
        with guarded.acquire(): pass
    seen = guarded.snapshot()
    return after, seen.state.value, seen.successes, seen.failures, seen.rejected, seen.openings, len(events)
"""
EXPECTED = "(60.0, 'CLOSED', 5, 2, 1, 1, 5)"


@pytest.mark.parametrize(
    "options", [[], ["-X", "dev"], ["-O"], ["-OO"], ["-X", "dev", "-O"], ["-X", "tracemalloc=5"], ["-B", "-I"]], ids=str
)
def test_a_cycle_with_options_of_the_interpreter(options: list[str]) -> None:
    assert run_python(CYCLE + "print(cycle())", *options).strip() == EXPECTED


@pytest.mark.parametrize("allocator", ["debug", "malloc_debug", "malloc"])
def test_a_cycle_with_another_allocator(monkeypatch: pytest.MonkeyPatch, allocator: str) -> None:
    monkeypatch.setenv("PYTHONMALLOC", allocator)
    assert run_python(CYCLE + "print(cycle())").strip() == EXPECTED


WATCHED = {
    "settrace": """
def tracer(frame, event, argument):
    global noticed
    noticed += 1
    return tracer
sys.settrace(tracer)
""",
    "setprofile": """
def profiler(frame, event, argument):
    global noticed
    noticed += 1
sys.setprofile(profiler)
""",
    "cProfile": """
import cProfile
noticed = 1
profile = cProfile.Profile()
profile.enable()
""",
    "monitoring": """
def started(code, offset):
    global noticed
    noticed += 1
sys.monitoring.use_tool_id(sys.monitoring.PROFILER_ID, "test")
sys.monitoring.register_callback(sys.monitoring.PROFILER_ID, sys.monitoring.events.PY_START, started)
sys.monitoring.set_events(sys.monitoring.PROFILER_ID, sys.monitoring.events.PY_START)
""",
}


ENDED = {"cProfile": "profile.disable()\n"}


@pytest.mark.parametrize("how", sorted(WATCHED))
def test_a_cycle_that_is_watched(how: str) -> None:
    if how == "monitoring" and sys.version_info < (3, 12):
        pytest.skip("from 3.12 on")
    ended = f"{ENDED.get(how, '')}sys.setprofile(None)\nsys.settrace(None)\nprint(found, noticed > 0)"
    program = f"{CYCLE}\nnoticed = 0\n{WATCHED[how]}\nfound = cycle()\n{ended}"
    assert run_python(program).strip() == f"{EXPECTED} True"


def test_a_fork_while_open() -> None:
    # S150
    program = """
import os
from breaker import BreakerOpenError, Policy, Provider, State, get_default_config
from breaker.testing import ManualClock, trip
clock = ManualClock()
guarded = Provider(get_default_config("svc", "dev"), default_policy=Policy(1, 1, 60), clock=clock).get_breaker("x")
trip(guarded)
child = os.fork()
try:
    guarded.do(int)
except BreakerOpenError as rejected:
    assert rejected.retry_after == 60
else:
    raise SystemExit("admitted")
clock.advance(60)
assert guarded.do(int) == 0 and guarded.state is State.CLOSED
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print("both")
"""
    assert run_python(program, "-X", "dev").strip() == "both"


def test_a_clock_that_jumps_forward_and_back() -> None:
    # S71
    now = 0
    breaker = Provider(CONFIG, default_policy=Policy(1, 1, 60), clock=lambda: now).get_breaker(NAME)
    for far, jump in enumerate((2**61, 2**40, -(2**61), 0), 1):
        trip(breaker)
        now -= 10**15
        assert rejected(breaker).retry_after == breaker.retry_after == 60, "back: as at the moment of the opening"
        now = 2**62 + far * 60 * 10**9
        succeed(breaker)
        assert breaker.state is State.CLOSED
        now = jump
        succeed(breaker)
        assert breaker.snapshot().seconds_in_state >= 0


HAS_LEGACY = importlib.util.find_spec("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")


@pytest.mark.parametrize("first", ["import breaker", ""], ids=["main first", "sub-interpreter first"])
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_sub_interpreter_is_refused_and_the_main_one_goes_on(first: str, kind: str) -> None:
    # S155
    assert HAS_LEGACY is not None
    create = f"create({kind!r})" if sys.version_info >= (3, 13) else f"create(isolated={kind == 'isolated'})"
    program = f"""
import os, sys
import {HAS_LEGACY.name} as interpreters
{first}
reader, writer = os.pipe()
made = interpreters.{create}
interpreters.run_string(made, '''
import os
try:
    import breaker
except ImportError as error:
    os.write({{}}, str(error).encode())
'''.format(writer))
print(os.read(reader, 1000).decode())
interpreters.destroy(made)
import breaker
print(breaker.Provider(breaker.get_default_config("svc", "dev")).get_breaker("x").do(int))
"""
    said, value = run_python(program).splitlines()
    assert said.startswith("breaker cannot be imported in a sub-interpreter: its state belongs to the main interpreter")
    assert value == "0"
