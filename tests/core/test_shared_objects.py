"""What threads share: exact counts when a second thread comes; without the interpreter's lock, what lives for ever."""

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from breaker import Breaker, Policy, Provider
from support.drive import CONFIG, NAME, Make, identity
from support.processes import FREE_THREADED, run_python
from support.samples import at_once
from support.scripts import completed
from support.threads import together

OFTEN = 70_000  # the core looks once in 65,536 calls
needs_free_threads = pytest.mark.skipif(
    not FREE_THREADED or sys.version_info >= (3, 14), reason="about free-threaded 3.13: others have no such count"
)


def immortal(thing: object) -> bool:
    return sys.getrefcount(thing) > 2**30


def make() -> Breaker:
    return Provider(CONFIG, default_policy=Policy()).get_breaker(NAME)


def elsewhere(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def now_and_then(breaker: Breaker, decorated: Callable[[int], int]) -> None:
    for _ in range(1000):
        decorated(breaker.do(identity, 1))


def many(breaker: Breaker, _: int) -> None:
    for _ in range(200):
        breaker.do(identity, 1)


def often(breaker: Breaker) -> None:
    for _ in range(OFTEN):
        breaker.do(identity, 1)


def test_counts_are_exact_through_the_coming_of_threads(make_breaker: Make) -> None:
    # S3
    for _ in range(20):
        breaker = make_breaker(Policy())
        for _ in range(100):
            breaker.do(identity, 1)
        together(8, partial(many, breaker))
        for _ in range(100):
            breaker.do(identity, 1)
        assert breaker.snapshot().successes == 200 + 8 * 200


def test_every_form_is_exact_while_it_comes_to_be_shared(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    untyped: Any = breaker
    decorated, awaited = untyped(identity), untyped(at_once)
    readings: list[int] = []

    def work(number: int) -> None:
        for count in range(OFTEN // 2):
            assert breaker.do(identity, count) == decorated(count) == completed(awaited(count)) == count
            if number == 0 and count % 1000 == 0:
                readings.append(breaker.snapshot().successes)

    together(4, work)
    assert breaker.snapshot().successes == 4 * (OFTEN // 2) * 3
    assert readings == sorted(readings)
    together(2, work)
    assert breaker.snapshot().successes == 6 * (OFTEN // 2) * 3


def test_what_one_thread_makes_and_calls_ends_as_ever() -> None:
    breaker = make()
    decorated: Any = breaker(identity)
    often(breaker)
    for _ in range(OFTEN):
        decorated(1)
    seen: list[weakref.ref[Any]] = [weakref.ref(breaker), weakref.ref(decorated)]
    del breaker, decorated
    gc.collect()
    assert [ref() for ref in seen] == [None, None]


def test_what_another_thread_calls_now_and_then_ends_as_ever() -> None:
    breaker = make()
    decorated: Any = breaker(identity)
    elsewhere(partial(now_and_then, breaker, decorated))
    seen: list[weakref.ref[Any]] = [weakref.ref(breaker), weakref.ref(decorated)]
    del breaker, decorated
    gc.collect()
    assert [ref() for ref in seen] == [None, None]


@needs_free_threads
def test_what_another_thread_calls_often_is_no_longer_counted() -> None:
    breaker = make()
    untyped: Any = breaker
    decorated, awaited, unused = untyped(identity), untyped(at_once), untyped(identity)
    elsewhere(lambda: [decorated(1) for _ in range(OFTEN)])
    assert immortal(breaker)
    assert immortal(decorated)
    elsewhere(lambda: completed(awaited(1)))
    assert immortal(awaited)
    assert not immortal(unused)
    gc.collect()
    assert breaker.snapshot().successes == OFTEN + 1
    assert decorated.__wrapped__ is identity
    assert breaker.do(identity, 1) == 1


@needs_free_threads
def test_only_so_many_live_for_ever() -> None:
    # In a process of its own: those that are used up here would be lacking elsewhere.
    program = """
import sys, threading
from breaker import Config, Provider
providers = [Provider(Config("svc", "/config/dev/svc/breakers/")) for _ in range(2)]
found = [providers[number % 2].get_breaker(str(number)) for number in range(1040)]
def work():
    for breaker in found:
        do = breaker.do
        for _ in range(65536):
            do(int)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(sum(sys.getrefcount(breaker) > 2**30 for breaker in found))
"""
    assert run_python(program).strip() == "1024"
