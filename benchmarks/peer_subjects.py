"""How each peer is called: the fastest form that its own documentation shows, for every kind of call it has.

Every function returns the statements of one library by kind: ``call`` (the library runs a function),
``decorated``, ``rejected``, ``await``, ``wait`` (a call that waits, decorated or else the fastest form).
A kind that is missing is one the library does not have. The breakers are as configured by default, save
that those of ``rejected`` open at the first failure and stay open for a day.
"""

import asyncio
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from benchmarks.measure import Loop, async_loop, sync_loop
from benchmarks.subjects import answer, fail, noop, refuse, subject
from benchmarks.threads import waiting

DAY = 86_400.0
wait = waiting()


@dataclass(frozen=True)
class Statement:
    text: str
    names: Mapping[str, object]

    def loop(self, awaited: bool) -> Loop:
        return (async_loop if awaited else sync_loop)(self.text, self.names)


Statements = dict[str, Statement]


def _trip(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        return
    raise AssertionError("the failing call did not fail")


def _rejected(statement: str, error: type[BaseException], names: Mapping[str, object]) -> Statement:
    return Statement(f"try: {statement}\nexcept Rejected: pass", {**names, "Rejected": error, "noop": noop})


def bare() -> Statements:
    return {
        "call": Statement("noop()", {"noop": noop}),
        "decorated": Statement("noop()", {"noop": noop}),
        "rejected": _rejected("refuse()", RuntimeError, {"refuse": refuse}),
        "await": Statement("await answer(1)", {"answer": answer}),
        "wait": Statement("wait()", {"wait": wait}),
    }


def cybreaker() -> Statements:
    from breaker import BreakerOpenError

    guard = subject("closed").breaker
    opened = subject("open").breaker
    return {
        "call": Statement("b.do(noop)", {"b": guard, "noop": noop}),
        "decorated": Statement("decorated()", {"decorated": guard(noop)}),
        "rejected": _rejected("b.do(noop)", BreakerOpenError, {"b": opened}),
        "await": Statement("await decorated(1)", {"decorated": guard(answer)}),
        "wait": Statement("decorated()", {"decorated": guard(wait)}),
    }


def pybreaker() -> Statements:
    """Its coroutines are Tornado's; it has none for ``async def``."""
    library = import_module("pybreaker")

    guard = library.CircuitBreaker()
    opened = library.CircuitBreaker(fail_max=1, reset_timeout=DAY)
    _trip(lambda: opened.call(fail))
    return {
        "call": Statement("b.call(noop)", {"b": guard, "noop": noop}),
        "decorated": Statement("decorated()", {"decorated": guard(noop)}),
        "rejected": _rejected("b.call(noop)", library.CircuitBreakerError, {"b": opened}),
        "wait": Statement("decorated()", {"decorated": guard(wait)}),
    }


def circuitbreaker() -> Statements:
    """Only decorated functions are ever rejected: its ``call`` and its ``with`` do not look at the state."""
    library = import_module("circuitbreaker")

    tripped = library.CircuitBreaker(failure_threshold=1, recovery_timeout=DAY, name="rejected")
    decorated_fail, rejected = tripped(fail), tripped(noop)
    _trip(decorated_fail)
    return {
        "decorated": Statement("decorated()", {"decorated": library.circuit(noop)}),
        "rejected": _rejected("rejected()", library.CircuitBreakerError, {"rejected": rejected}),
        "await": Statement("await decorated(1)", {"decorated": library.circuit(answer)}),
        "wait": Statement("decorated()", {"decorated": library.circuit(wait)}),
    }


def aiobreaker() -> Statements:
    library = import_module("aiobreaker")

    guard = library.CircuitBreaker()
    opened = library.CircuitBreaker(fail_max=1, timeout_duration=datetime.timedelta(days=1))
    _trip(lambda: opened.call(fail))
    return {
        "call": Statement("b.call(noop)", {"b": guard, "noop": noop}),
        "decorated": Statement("decorated()", {"decorated": guard(noop)}),
        "rejected": _rejected("b.call(noop)", library.CircuitBreakerError, {"b": opened}),
        "await": Statement("await b.call_async(answer, 1)", {"b": guard, "answer": answer}),
        "wait": Statement("decorated()", {"decorated": guard(wait)}),
    }


def purgatory() -> Statements:
    """Its context manager, kept: the decorator looks the breaker up again on every call."""
    library = import_module("purgatory")
    rejection = import_module("purgatory.domain.model").OpenedState
    factory = library.SyncCircuitBreakerFactory()
    tripping = library.SyncCircuitBreakerFactory(default_threshold=1, default_ttl=DAY)
    opened = tripping.get_breaker("rejected")

    def failing() -> None:
        with opened:
            fail()

    _trip(failing)
    awaited = library.AsyncCircuitBreakerFactory()
    guard: Any = asyncio.run(awaited.get_breaker("await"))
    closed = factory.get_breaker("closed")
    return {
        "call": Statement("with b: noop()", {"b": closed, "noop": noop}),
        "decorated": Statement("decorated()", {"decorated": factory("closed")(noop)}),
        "rejected": _rejected("\n    with b: noop()", rejection, {"b": opened}),
        "await": Statement("async with b: await answer(1)", {"b": guard, "answer": answer}),
        "wait": Statement("with b: wait()", {"b": closed, "wait": wait}),
    }


def interlock() -> Statements:
    """Always judges a window of calls and their duration; this is its default of the last 100 calls."""
    library = import_module("interlock")

    guard = library.CircuitBreaker(name="closed")
    config = library.Config(minimum_number_of_calls=1, wait_duration_in_open=DAY)
    opened = library.CircuitBreaker(name="rejected", config=config)
    _trip(lambda: opened.call_sync(fail))
    return {
        "call": Statement("b.call_sync(noop)", {"b": guard, "noop": noop}),
        "decorated": Statement("decorated()", {"decorated": guard(noop)}),
        "rejected": _rejected("b.call_sync(noop)", library.CircuitOpenError, {"b": opened}),
        "await": Statement("await b.call_async(answer, 1)", {"b": guard, "answer": answer}),
        "wait": Statement("decorated()", {"decorated": guard(wait)}),
    }


def pyresilience() -> Statements:
    """Only a decorator, and the breaker belongs to the one function that it decorates."""
    library = import_module("pyresilience")

    def down(failing: bool = False) -> None:
        if failing:
            raise ValueError("down")

    resilient, config = library.resilient, library.CircuitBreakerConfig
    plain = resilient(circuit_breaker=config())
    rejected: Any = resilient(circuit_breaker=config(failure_threshold=1, recovery_timeout=DAY))(down)
    _trip(lambda: rejected(True))
    return {
        "decorated": Statement("decorated()", {"decorated": plain(noop)}),
        "rejected": _rejected("rejected()", library.CircuitOpenError, {"rejected": rejected}),
        "await": Statement("await decorated(1)", {"decorated": plain(answer)}),
        "wait": Statement("decorated()", {"decorated": plain(wait)}),
    }


PEERS: dict[str, Callable[[], Statements]] = {
    "bare": bare,
    "cybreaker": cybreaker,
    "pybreaker": pybreaker,
    "circuitbreaker": circuitbreaker,
    "aiobreaker": aiobreaker,
    "purgatory": purgatory,
    "interlock-cb": interlock,
    "pyresilience": pyresilience,
}
