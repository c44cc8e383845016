"""Every form of call that a storm makes. Each asks a breaker once, and enters what it reported as a failure."""

import asyncio
import contextlib
import gc
import queue
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from breaker import Breaker

BAD = "bad"  # what one breaker's predicate calls a failure


class Broken(Exception):
    """A failure."""


class Passed(Exception):
    """Ignored by the breakers' options."""


class HangUp(BaseException):
    """Ignored: no Exception."""


class Interrupted(BaseException):
    """What a listener raises to end a delivery."""


EXPECTED = (Broken, Passed, HangUp, ExceptionGroup)
ENDS: dict[str, Callable[[], object]] = {}  # how a call ends → raise or return that


def _raising(error: Callable[[], BaseException]) -> Callable[[], object]:
    def end() -> object:
        raise error()

    return end


ENDS["fine"] = lambda: 5
ENDS["fails"] = _raising(lambda: Broken("failed"))
ENDS["fails in a group"] = _raising(lambda: ExceptionGroup("failed", [Passed(), ExceptionGroup("in", [Broken()])]))
ENDS["passes"] = _raising(Passed)
ENDS["hangs up"] = _raising(HangUp)
Form: TypeAlias = Callable[[Any, Breaker, random.Random], bool]  # has it asked for leave?
FAILURES = ("fails", "fails in a group")


def ran(how: str) -> object:
    return ENDS[how]()


async def ran_async(how: str) -> object:
    return ran(how)


def generated(how: str) -> Iterator[object]:
    yield 1
    yield ran(how)


async def generated_async(how: str) -> AsyncIterator[object]:
    yield 1
    yield ran(how)


def drawn(dice: random.Random) -> str:
    return dice.choice(("fine", "fine", "fine", *ENDS))


class Forms:
    """The forms, and a bag of calls that are under way and whoever comes ends."""

    FORMS: tuple[Form, ...]

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []
        self.bag: queue.SimpleQueue[tuple[Callable[[random.Random], object], Any]] = queue.SimpleQueue()
        self.decorated: dict[str, Any] = {}
        # Another thread may have been in the collector at the moment of the fork, or have held the lock of the clock:
        # neither is used in a child.
        self.in_child = False

    def enter(self, what: str, name: str) -> None:
        self.entries.append((what, name))

    def decorate(self, breaker: Breaker) -> None:
        class Client:
            method = breaker(lambda self, how: ran(how))

            @classmethod
            def made(cls, how: str) -> object:
                return ran(how)

        self.decorated[breaker.name] = (breaker(ran), Client().method, breaker(Client.made), breaker(ran_async))

    @contextlib.contextmanager
    def ends(self, breaker: Breaker, how: str) -> Iterator[None]:
        """Around the last step of a call that ends like this. An interrupt comes after the call was settled."""
        try:
            yield
        except EXPECTED:
            pass
        except Interrupted:
            if how in FAILURES:
                self.enter("failed", breaker.name)
            raise
        if how in FAILURES:
            self.enter("failed", breaker.name)

    # -- calls --

    def do(self, breaker: Breaker, dice: random.Random) -> bool:
        how = drawn(dice)
        with self.ends(breaker, how):
            breaker.do(ran, how) if dice.random() < 0.5 else breaker.do(ran, how=how)
        return True

    def do_judged(self, breaker: Breaker, dice: random.Random) -> bool:
        assert breaker.do(lambda: BAD) == BAD
        if breaker.name == "grpc:b":
            self.enter("failed", breaker.name)
        return True

    def do_decorated(self, breaker: Breaker, dice: random.Random) -> bool:
        how = drawn(dice)
        with self.ends(breaker, how):
            dice.choice(self.decorated[breaker.name][:3])(how)
        return True

    def do_coroutine(self, breaker: Breaker, dice: random.Random) -> bool:
        how = drawn(dice)
        guarded: Any = self.decorated[breaker.name][3]
        coroutine = guarded(how) if dice.random() < 0.5 else breaker.do(ran_async, how)
        if dice.random() < 0.1:
            coroutine.close()
            return False
        with self.ends(breaker, how):
            try:
                coroutine.send(None)
            except StopIteration as end:
                assert end.value == 5
        return True

    def do_returned(self, breaker: Breaker, dice: random.Random) -> bool:
        """A plain function that returns a coroutine: admitted at the call, settled by whoever awaits it, or dropped."""
        how = drawn(dice)
        coroutine: Any = breaker.do(lambda: ran_async(how))
        if dice.random() < 0.3:
            self.put_aside(breaker, coroutine, dice)
            return True
        with contextlib.suppress(Interrupted), self.ends(breaker, how), contextlib.suppress(StopIteration):
            coroutine.send(None)
        return True

    def do_generator(self, breaker: Breaker, dice: random.Random) -> bool:
        how = drawn(dice)
        items: Any = breaker.do(generated, how)
        assert next(items) == 1
        self.go_on(breaker, items, how, dice)
        return True

    def do_async_generator(self, breaker: Breaker, dice: random.Random) -> bool:
        how = drawn(dice)
        items: Any = breaker.do(generated_async, how)
        try:
            items.__anext__().send(None)
        except StopIteration as step:
            assert step.value == 1
        self.go_on(breaker, _Steps(items), how, dice)
        return True

    def go_on(self, breaker: Breaker, items: Any, how: str, dice: random.Random) -> None:
        """An admitted generator: to its end, closed, thrown into, or left to the collector or to another thread."""
        kind = dice.random()
        with contextlib.suppress(Interrupted):
            if kind < 0.5:
                with self.ends(breaker, how):
                    for _ in items:
                        pass
            elif kind < 0.6:
                items.close()
            elif kind < 0.7:
                with self.ends(breaker, "fails"):
                    items.throw(Broken("thrown"))
            else:
                self.put_aside(breaker, items, dice, lambda dice: self.go_on(breaker, items, how, dice))

    def do_tasks(self, breaker: Breaker, dice: random.Random) -> bool:
        """Tasks of a loop of its own, one of them cancelled on the way. Not from inside a loop."""

        async def waits() -> int:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return 5

        async def tasks() -> None:
            task = asyncio.ensure_future(breaker.do(waits))
            await asyncio.sleep(0)
            if dice.random() < 0.5:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        loop = asyncio.new_event_loop()
        try:
            if asyncio._get_running_loop() is not None:
                return False
            loop.run_until_complete(tasks())
        finally:
            loop.close()
        return True

    def hold(self, breaker: Breaker, dice: random.Random) -> bool:
        permit = breaker.acquire()
        kind = dice.randint(0, 4)
        with contextlib.suppress(Interrupted):
            if kind == 0:
                self.put_aside(breaker, permit, dice, lambda dice: self.settle(breaker, permit, dice))
            elif kind == 1:
                how = drawn(dice)
                with self.ends(breaker, how), permit:
                    ran(how)
            elif kind <= 3:
                self.settle(breaker, permit, dice)
        return True

    def settle(self, breaker: Breaker, permit: Any, dice: random.Random) -> None:
        if dice.random() < 0.4:
            with self.ends(breaker, "fails"):
                permit.failure(Broken("reported"))
            permit.success()  # a second report is none
        else:
            dice.choice([permit.success, permit.ignore])()

    # -- what is left under way --

    def put_aside(
        self, breaker: Breaker, thing: Any, dice: random.Random, end: Callable[[random.Random], object] | None = None
    ) -> None:
        """Into a cycle for the collector, whichever thread that runs in, or into the bag."""
        if not self.in_child and dice.random() < 0.4:
            cycle: list[Any] = [thing]
            cycle.append(cycle)
        else:
            self.bag.put((end or (lambda _: None), thing))

    def finish_another(self, dice: random.Random) -> None:
        """Something that another thread began: end it here, or drop it here."""
        with contextlib.suppress(queue.Empty, Interrupted):
            end, _thing = self.bag.get_nowait()
            if dice.random() < 0.7:
                end(dice)

    def drop_all(self) -> None:
        """Whatever is still under way, in the bag or in garbage, also in what was frozen."""
        while not self.bag.empty():
            with contextlib.suppress(Interrupted, queue.Empty):
                self.bag.get_nowait()
        if not self.in_child:
            gc.unfreeze()
            gc.collect()


class _Steps:
    """An async generator driven by hand, as if it were a generator; what it awaits never waits."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __iter__(self) -> Iterator[object]:
        while True:
            try:
                self.items.__anext__().send(None)
            except StopIteration as step:
                yield step.value
            except StopAsyncIteration:
                return

    def close(self) -> None:
        with contextlib.suppress(StopIteration):
            self.items.aclose().send(None)

    def throw(self, error: BaseException) -> None:
        self.items.athrow(error).send(None)


Forms.FORMS = (
    *(Forms.do, Forms.do, Forms.do, Forms.do_judged, Forms.do_decorated, Forms.do_decorated),
    *(Forms.do_coroutine, Forms.do_coroutine, Forms.do_returned, Forms.do_generator, Forms.do_async_generator),
    *(Forms.do_tasks, Forms.hold, Forms.hold),
)
