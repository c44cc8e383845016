"""Long chains of errors, shared children and cycles, imports inside calls, clocks at the ends of their range."""

import asyncio
import contextlib
import gc
import os
import sys
import weakref
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, Provider, State, get_default_config
from breaker.testing import ManualClock, trip
from support.processes import in_a_process

CONFIG = get_default_config("svc", "dev")
LONG = 500_000 if "BREAKER_SANITIZED" not in os.environ else 50_000  # a sanitizer takes many times as long
FIRST, LAST = -(2**63), 2**63 - 1  # nanoseconds that a clock can show


@pytest.mark.parametrize("link", ["__context__", "__cause__"])
@in_a_process(seconds=55)
def test_a_long_chain_of_rejections_is_freed(link: str) -> None:
    breaker = Provider(CONFIG, default_policy=Policy(1)).get_breaker("a")
    trip(breaker)
    chain: BaseException | None = None
    for _ in range(LONG):
        try:
            breaker.do(int)
        except BreakerOpenError as rejected:
            rejected.__traceback__ = None
            setattr(rejected, link, chain)
            if link == "__cause__":
                rejected.__context__ = None
            chain = rejected
    assert isinstance(chain, BreakerOpenError)
    del chain


@in_a_process(seconds=55)
def test_a_long_chain_of_rejections_made_by_hand_and_of_a_subclass_is_freed() -> None:
    class Rejected(BreakerOpenError):
        pass

    for kind in (BreakerOpenError, Rejected):
        chain: BaseException | None = None
        for _ in range(LONG):
            error = kind("a", State.OPEN)
            error.__context__ = chain
            chain = error
        del chain, error


@in_a_process("-W", "ignore::RuntimeWarning", seconds=55)
def test_a_long_chain_of_coroutines_and_generators_is_freed() -> None:
    breaker = Provider(CONFIG).get_breaker("a")

    async def hold(value: object) -> object:
        return value

    def iterate(value: object) -> Any:
        yield value

    for make in (hold, iterate):
        chain: Any = None
        for _ in range(100_000):  # of three times as many Python's own crash, on 3.13
            chain = breaker.do(make, chain)
        if hasattr(chain, "close"):
            chain.close()
        del chain


@in_a_process()
def test_no_call_and_no_snapshot_imports_anything() -> None:
    class Finder:
        """Asked for each module that is not loaded yet."""

        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            raise ImportError(f"no {name} now")

    sys.meta_path.insert(0, Finder())
    clock = ManualClock()
    breaker = Provider(CONFIG, default_policy=Policy(1, 1, 60), clock=clock).get_breaker("a")
    assert breaker.snapshot().name == "a"
    trip(breaker)
    clock.advance(60)
    breaker.acquire()  # dropped
    assert breaker.do(int) == 0
    assert (breaker.snapshot().ignored, breaker.state) == (1, State.CLOSED)
    del sys.meta_path[0]


@in_a_process()
def test_a_core_whose_import_fails_half_way_is_imported_again() -> None:
    import subprocess

    program = """
import sys
missing = sys.modules.pop(sys.argv[1], None)
sys.modules[sys.argv[1]] = None
try:
    import breaker
except ImportError:
    print("failed")
if missing is None:
    del sys.modules[sys.argv[1]]
else:
    sys.modules[sys.argv[1]] = missing
import breaker
made = breaker.Provider(breaker.get_default_config("svc", "dev")).get_breaker("a")
made.acquire()
async def coroutine(): return 5
made.do(coroutine).close()
try:
    made.do(coroutine).send(None)
except StopIteration as end:
    assert end.value == 5
assert made.snapshot().ignored == 1
"""
    failed = 0
    for name in ("collections.abc", "_collections_abc", "types", "enum", "os", "breaker.states"):
        done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
        failed += done.stdout.count("failed")
    assert failed


@in_a_process()
def test_the_package_is_imported_again_after_an_import_that_failed_half_way() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "breaker" and name != "breaker._core"]:
        del sys.modules[name]

    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "breaker.provider":
                raise ImportError("not now")

    sys.meta_path.insert(0, Finder())
    with pytest.raises(ImportError, match="not now"):
        __import__("breaker")
    del sys.meta_path[0]


@in_a_process()
def test_a_fork_whose_imports_fail_goes_on() -> None:
    breaker = Provider(CONFIG).get_breaker("a")

    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            raise ImportError(f"no {name} now")

    sys.meta_path.insert(0, Finder())
    child = os.fork()
    if child == 0:
        os._exit(0 if breaker.do(int) == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    del sys.meta_path[0]
    assert breaker.do(int) == 0
    assert breaker.snapshot().successes == 1


@pytest.mark.parametrize("jump", [(FIRST, LAST), (LAST, FIRST), (0, LAST), (0, FIRST), (LAST - 10, LAST), (FIRST, 0)])
@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_clock_may_jump_over_its_whole_range(jump: tuple[int, int], jitter: float) -> None:
    now = [jump[0]]
    policy = Policy(1, 2, 60.0, open_timeout_jitter=jitter, open_timeout_multiplier=1000.0)
    breaker = Provider(CONFIG, default_policy=policy, clock=lambda: now[0]).get_breaker("a")
    trip(breaker)
    now[0] = jump[1]
    for _ in range(5):
        reads = (breaker.retry_after, *breaker.snapshot().state_seconds.values())
        assert all(0 <= seconds <= 2**64 / 1e9 for seconds in reads)
        with contextlib.suppress(BreakerOpenError):
            breaker.acquire().failure()
        now[0] = jump[0]
        breaker.reset()
        trip(breaker)
    assert breaker.snapshot().half_open_in_flight == 0


def test_a_long_wait_in_one_state_is_told_whole() -> None:
    now = [FIRST]
    breaker = Provider(CONFIG, clock=lambda: now[0]).get_breaker("a")
    now[0] = LAST
    assert breaker.snapshot().state_seconds[State.CLOSED] == pytest.approx(2**64 / 1e9)


@pytest.mark.parametrize("reading", [2**63, -(2**63) - 1, 10**30])
def test_a_clock_beyond_its_range_is_an_error_that_says_so(reading: int) -> None:
    now = [0]
    breaker = Provider(CONFIG, default_policy=Policy(1), clock=lambda: now[0]).get_breaker("a")
    now[0] = reading
    with pytest.raises(OverflowError, match="clock"):
        _ = breaker.retry_after
    with pytest.raises(OverflowError, match="clock"):
        breaker.do(fails)
    now[0] = 0
    assert breaker.state is State.OPEN


def fails() -> None:
    raise ValueError("broken")


@in_a_process()
def test_breakers_and_what_they_guard_leave_nothing_behind() -> None:
    import weakref

    def cycle() -> list[Any]:
        provider = Provider(CONFIG)
        breaker = provider.get_breaker("a")

        class Holder:
            pass

        holder: Any = Holder()

        def fn(held: object = holder) -> object:
            return held

        holder.everything = [provider, breaker, breaker(fn), breaker.do(fn), breaker.acquire()]
        return [weakref.ref(holder), weakref.ref(breaker), weakref.ref(provider)]

    gone = [ref for _ in range(10) for ref in cycle()]
    gc.collect()
    assert [ref for ref in gone if ref() is not None] == []


@in_a_process()
def test_children_shared_by_many_groups_are_looked_at_once() -> None:
    from breaker import Provider, get_default_config

    made = Provider(get_default_config("svc", "dev"))
    group: ExceptionGroup[Any] = ExceptionGroup("leaves", [ValueError("x")])
    for _ in range(60):  # 2**60 paths to the one leaf
        group = ExceptionGroup("twice", [group, group])
    breaker = made.get_breaker("a", ignore_on=ValueError)

    def raises() -> None:
        raise group

    with pytest.raises(ExceptionGroup):
        breaker.do(raises)
    assert breaker.snapshot().ignored == 1


@in_a_process()
def test_a_cycle_of_kept_stop_iterations_is_collected() -> None:
    from breaker import Provider, get_default_config

    class Thing:
        pass

    async def give(value: object) -> object:
        return value

    breaker = Provider(get_default_config("svc", "dev")).get_breaker("a")
    for _ in range(200):
        stops: list[StopIteration] = []
        for number in range(2):
            try:
                next(breaker.do(give, number + 1).__await__())
            except StopIteration as stop:
                stop.__traceback__ = None
                stops.append(stop)
        stops[0].value, stops[1].value = stops[1], stops[0]
        del stops
    gc.collect()
    alive = [found for found in gc.get_objects() if isinstance(found, StopIteration) and found.value is not None]
    assert alive == []


@in_a_process("-W", "ignore::RuntimeWarning")
def test_what_a_kept_object_comes_to_hold_after_a_freeze_is_collected() -> None:
    from breaker import Provider, get_default_config

    class Box(list[object]):
        """Can be referred to weakly."""

    async def hold(box: object) -> object:
        return box

    async def many() -> None:
        for number in range(100):
            await breaker.do(hold, number)

    breaker = Provider(get_default_config("svc", "dev")).get_breaker("a")
    asyncio.run(many())
    gc.freeze()
    seen = []
    for _ in range(100):
        box = Box()
        box.append(breaker.do(hold, box))  # never started: a cycle through what was kept
        seen.append(weakref.ref(box))
        del box
    gc.collect()
    assert [ref for ref in seen if ref() is not None] == []
