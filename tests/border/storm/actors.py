"""What the actors of a storm do: threads, signal handlers, listeners, clocks and predicates."""

import contextlib
import gc
import logging
import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

from border.storm.forms import BAD, Broken, Form, Forms, Interrupted, Passed
from breaker import Breaker, BreakerOpenError, Mode, Policy, Provider, Window, get_default_config
from breaker.sources import MemorySource
from breaker.testing import ManualClock

__all__ = ["Actors", "Interrupted"]

NAMES = ("http:a", "grpc:b")
DEEPEST = 2  # listeners that act from inside a listener


class RestlessClock(ManualClock):
    """Collects garbage now and then while it is read."""

    reads = 0
    in_child = False

    def __call__(self) -> int:
        self.reads += 1
        if self.reads % 37 == 0 and not self.in_child:
            gc.collect(0)
        return super().__call__()


class Actors(Forms):
    """A provider with two breakers, and everything that may happen to them."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.dice = random.Random(seed)
        self.interrupts = self.dice.random() < 0.3  # listeners raise what is no Exception too
        self.listener_dice = random.Random(seed + 1)
        self.stormy = False  # listeners act: from when all is made until the books are closed
        self.inside = threading.local()
        self.unraisable: list[BaseException] = []
        sys.unraisablehook = self.hook
        logging.getLogger("breaker").disabled = True  # listeners that fail are reported there
        self.clock = RestlessClock()
        self.source = MemorySource({"default": self.policy(self.dice)})
        self.provider = Provider(get_default_config("storm", "dev"), policy_source=self.source, clock=self.clock)
        self.events: dict[str, list[Any]] = {name: [] for name in NAMES}
        for listener in (self.record, self.meddle, self.fail):
            self.provider.subscribe(listener)
        self.breakers = [
            self.provider.get_breaker(NAMES[0], ignore_on=Passed),
            self.provider.get_breaker(NAMES[1], ignore_on=Passed, failed_result=self.judge),
        ]
        for breaker in self.breakers:
            self.decorate(breaker)
        self.stormy = True
        sys.setswitchinterval(self.dice.choice([1e-6, 1e-5, 1e-4, 5e-3]))

    def hook(self, unraisable: Any) -> None:
        """What finalizers raise. Interrupts of listeners are meant to come out of them; nothing else is."""
        if not isinstance(unraisable.exc_value, Interrupted):
            self.unraisable.append(unraisable.exc_value)

    @staticmethod
    def policy(dice: random.Random) -> Policy:
        return Policy(
            dice.randint(1, 4),
            dice.randint(1, 3),
            dice.choice([0.5, 1.0, 5.0]),
            half_open_max_calls=dice.randint(1, 3),
            probe_timeout=dice.choice([None, 0.7, 3.0]),
            open_timeout_multiplier=dice.choice([1.0, 2.0]),
            open_timeout_max=dice.choice([None, 4.0]),
            open_timeout_jitter=dice.choice([0.0, 0.5]),
            mode=dice.choice([Mode.AUTO] * 5 + list(Mode)),
            **Actors.rates(dice),
        )

    @staticmethod
    def rates(dice: random.Random) -> dict[str, Any]:
        """Rules that need a window, calls that are followed in flight, a recovery; or none of them."""
        fields: dict[str, Any] = {"recovery_time": dice.choice([None, None, 2.0])}
        if dice.random() < 0.5:
            fields["failure_rate_threshold"] = dice.choice([0.3, 1.0])
        if dice.random() < 0.5:
            fields |= {
                "slow_call_rate_threshold": dice.choice([0.2, 1.0]),
                "slow_call_duration": dice.choice([0.1, 1.0]),
            }
        windows = [Window(calls=4), Window(calls=30), Window(time=0.5), Window(time=20.0)]
        return fields | {"window": dice.choice(windows), "minimum_calls": dice.randint(1, 4)}

    def judge(self, value: object) -> bool:
        """The predicate of one of the breakers, which looks at its own breaker."""
        repr(self.breakers[1].snapshot())
        return value == BAD

    # -- listeners --

    @contextlib.contextmanager
    def deeper(self) -> Iterator[bool]:
        depth = getattr(self.inside, "depth", 0)
        self.inside.depth = depth + 1
        try:
            yield depth < DEEPEST
        finally:
            self.inside.depth = depth

    def record(self, event: Any) -> None:
        if hasattr(event, "name"):
            self.events[event.name].append(event)

    def meddle(self, event: Any) -> None:
        """Do what threads do, from inside a delivery."""
        dice = self.listener_dice
        if dice.random() > 0.3 or not self.stormy:
            return
        with self.deeper() as may_act:
            if may_act:
                self.act(dice)
            unsubscribe = self.provider.subscribe(lambda other: repr((event, other)))
            if dice.random() < 0.9:
                unsubscribe()

    def fail(self, event: Any) -> None:
        what = self.listener_dice.random()
        if what < 0.03:
            raise Broken("of a listener")
        if what < 0.05 and self.interrupts and self.stormy:
            raise Interrupted

    # -- what anybody does --

    def act(self, dice: random.Random) -> None:
        breaker = dice.choice(self.breakers)
        what = dice.random()
        if what < 0.72:
            self.call(breaker, dice)
        elif what < 0.85:
            self.finish_another(dice)
        else:
            with contextlib.suppress(Interrupted):
                self.operate(breaker, dice)

    def call(self, breaker: Breaker, dice: random.Random, form: Form | None = None) -> None:
        """One call in a form, entered into the books."""
        form = dice.choice(self.FORMS) if form is None else form
        try:
            ran = form(self, breaker, dice)
        except BreakerOpenError as rejected:
            assert rejected.name == breaker.name
            assert isinstance(str(rejected), str)
            self.enter("rejected", breaker.name)
        except Interrupted:
            self.enter("either", breaker.name)
        else:
            if ran:
                self.enter("admitted", breaker.name)

    def operate(self, breaker: Breaker, dice: random.Random) -> None:
        kind = dice.randint(0, 14)
        if kind <= 1:
            breaker.reset()
        elif kind <= 3:
            breaker.override(dice.choice([None, None, None, *Mode]))
        elif kind <= 5:
            self.source.put(dice.choice((*NAMES, "default")), self.policy(dice))
        elif kind == 6:
            self.source.delete(breaker.name)
        elif kind <= 9 and not self.in_child:
            self.clock.advance(dice.choice([0.1, 0.6, 2.0]))
        elif kind == 10 and not self.in_child:
            gc.collect(dice.randint(0, 2))
        elif kind == 11 and not self.in_child:
            gc.freeze() if dice.random() < 0.5 else gc.unfreeze()
        elif kind == 12:
            assert self.provider.get_breaker(breaker.name) is breaker
        else:
            repr((breaker, breaker.snapshot(), self.provider.snapshot(), breaker.retry_after, breaker.policy))
