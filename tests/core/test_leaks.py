"""Nothing is left behind by calls: no object, no slot, no event, however they end."""

import gc
import sys
import types
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Mode, Policy, Provider, State
from breaker.events import CallFailed, StateChanged
from breaker.testing import ManualClock
from support.drive import CONFIG, NAME, Boom, HangUp, Make, drive_to, raiser


def calls(breaker: Any) -> None:
    """One call of every end and every form."""
    for fn in (object, raiser(Boom("text")), raiser(HangUp())):
        with suppress(Boom, HangUp, BreakerOpenError):
            breaker.do(fn)
        with suppress(Boom, HangUp, BreakerOpenError), breaker.acquire():
            fn()
    with suppress(BreakerOpenError):
        breaker.do(lambda *args, **kwargs: (args, kwargs), 1, [2], key={3: 4})
    with suppress(BreakerOpenError):
        permit = breaker.acquire()
        permit.failure(Boom("text"))
        permit.success()
    with suppress(BreakerOpenError):
        breaker.acquire()  # dropped
    breaker.snapshot()
    breaker.retry_after  # noqa: B018 - a read may leak as well as a call


def probes(breaker: Breaker, clock: ManualClock) -> None:
    """Trip, probe, lose a probe, recover."""
    drive_to(breaker, clock, State.HALF_OPEN)
    lost = breaker.acquire()
    clock.advance(60)
    drive_to(breaker, clock, State.CLOSED)
    lost.failure()


def modes(breaker: Breaker) -> None:
    """Every override, with calls under each."""
    for mode in (*Mode, None):
        breaker.override(mode)
        calls(breaker)
    breaker.reset()


def blocks_after(work: Callable[[], Any], times: int) -> int:
    """How many more memory blocks there are after this many turns than after a warm-up."""
    for _ in range(times):
        work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        work()
    gc.collect()
    return sys.getallocatedblocks() - before


@pytest.mark.parametrize("listening", [True, False])
@pytest.mark.parametrize("judging", [True, False])
def test_a_thousand_calls_of_each_kind_leave_nothing(
    make_breaker: Make, clock: ManualClock, listeners: list[Any], listening: bool, judging: bool
) -> None:
    if listening:
        listeners.append(lambda event: None)
    options = {"failed_result": lambda value: False, "ignore_on": (KeyError, OSError)} if judging else {}
    breaker = make_breaker(Policy(3, 2, 60), **options)

    def work() -> None:
        calls(breaker)
        probes(breaker, clock)
        modes(breaker)

    # one leaked object per turn would be five hundred blocks
    assert blocks_after(work, 500) < 100


def test_providers_and_breakers_that_are_gone_leave_nothing() -> None:
    def work() -> None:
        with Provider(CONFIG, default_policy=Policy(1)) as provider:
            provider.subscribe(lambda event: None)
            breaker = provider.get_breaker("db:main", ignore_on=KeyError)
            with suppress(Boom):
                breaker.do(raiser(Boom("text")))

    assert blocks_after(work, 200) < 100


def test_a_provider_collected_together_with_calls_in_flight_goes_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever order the collector clears a cycle in, a permit or a coroutine of it finds what it needs to settle.
    troubles: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", troubles.append)

    async def hang(_: Any) -> None:
        await suspended()

    @types.coroutine
    def suspended() -> Any:
        yield

    def holding(cycle: dict[str, Any], event: Any) -> None:
        """A listener that keeps the cycle alive."""

    for _ in range(50):
        cycle: dict[str, Any] = {}
        provider = Provider(CONFIG, default_policy=Policy(1))
        provider.subscribe(partial(holding, cycle))
        breaker = provider.get_breaker(NAME)
        coroutine = breaker.do(hang, cycle)
        coroutine.send(None)
        cycle.update(provider=provider, permit=breaker.acquire(), coroutine=coroutine, late=breaker.acquire())
        breaker.acquire().failure()
        gone = weakref.ref(breaker)
        del cycle, provider, breaker, coroutine
        gc.collect()
        assert gone() is None
    assert troubles == []


@pytest.mark.parametrize("kind", [CallFailed, StateChanged])
def test_an_interrupted_delivery_keeps_nobody_alive(kind: type) -> None:
    # S79: what is left of an event knows who is to be notified, and they may know the breaker
    class Listener:
        breaker: Any = None

        def __call__(self, event: Any) -> None:
            if isinstance(event, kind):
                raise HangUp

    def interrupted() -> list[weakref.ref[Any]]:
        provider = Provider(CONFIG, default_policy=Policy(1))
        breaker, listener = provider.get_breaker("a"), Listener()
        listener.breaker = breaker
        provider.subscribe(listener)
        provider.subscribe(lambda event: breaker)
        with pytest.raises(HangUp):
            breaker.acquire().failure()
        return [weakref.ref(breaker), weakref.ref(listener)]

    gone = interrupted()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
