"""What other breakers do where the README compares: each question is put to the running library.

`make bench-peers` installs the libraries; then::

    benchmarks/.venv-peers/bin/python -m benchmarks.peer_behaviour

prints the table that is kept as `results/behaviour.md`. Each breaker opens after two failures and stays open for
`OPEN_TIME`. Real threads and real time: what is asked is what happens while a call hangs.
"""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol

OPEN_TIME = 0.2
COOLED = OPEN_TIME + 1.0  # circuitbreaker rounds what is left up to whole seconds


class Own(Exception):
    """The failure of the protected function."""


class Peer(Protocol):
    """One new breaker of a library."""

    distribution: str

    def run(self, function: Callable[[], Any]) -> Any: ...
    async def run_async(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any: ...
    def state(self) -> str: ...


class Cybreaker:
    distribution = "cybreaker"

    def __init__(self) -> None:
        breaker = import_module("breaker")
        provider = breaker.Provider(
            breaker.get_default_config("a", "b"), default_policy=breaker.Policy(2, 1, OPEN_TIME)
        )
        self.breaker = provider.get_breaker("x")

    def run(self, function: Callable[[], Any]) -> Any:
        return self.breaker.do(function)

    async def run_async(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await self.breaker.do(function)

    def state(self) -> str:
        return str(self.breaker.state)


class Pybreaker:
    distribution = "pybreaker"

    def __init__(self) -> None:
        self.breaker = import_module("pybreaker").CircuitBreaker(fail_max=2, reset_timeout=OPEN_TIME)

    def run(self, function: Callable[[], Any]) -> Any:
        return self.breaker.call(function)

    async def run_async(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await self.breaker.call(function)

    def state(self) -> str:
        return str(self.breaker.current_state)


class Circuitbreaker:
    distribution = "circuitbreaker"

    def __init__(self) -> None:
        self.breaker = import_module("circuitbreaker").CircuitBreaker(2, OPEN_TIME, name="x")

    def run(self, function: Callable[[], Any]) -> Any:
        return self.breaker(function)()

    async def run_async(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await self.breaker(function)()

    def state(self) -> str:
        return str(self.breaker.state)


class Purgatory:
    distribution = "purgatory"

    def __init__(self) -> None:
        purgatory = import_module("purgatory")
        self.blocking = purgatory.SyncCircuitBreakerFactory(2, OPEN_TIME)
        self.asynchronous = purgatory.AsyncCircuitBreakerFactory(2, OPEN_TIME)
        self.last = self.blocking

    def run(self, function: Callable[[], Any]) -> Any:
        return self.blocking("x")(function)()

    async def run_async(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self.last = self.asynchronous
        return await self.asynchronous("x")(function)()

    def state(self) -> str:
        made = self.last.get_breaker("x")
        return str((asyncio.run(made) if asyncio.iscoroutine(made) else made).context.state)


class Interlock:
    distribution = "interlock-cb"

    def __init__(self) -> None:
        interlock = import_module("interlock")
        config = interlock.Config(
            minimum_number_of_calls=2, window_size=2, permitted_calls_in_half_open=1, wait_duration_in_open=OPEN_TIME
        )
        self.breaker = interlock.CircuitBreaker(name="x", config=config)

    def run(self, function: Callable[[], Any]) -> Any:
        return self.breaker.call(function)

    async def run_async(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await self.breaker.call(function)

    def state(self) -> str:
        return str(self.breaker.state)


def fails() -> None:
    raise Own


async def fails_async() -> None:
    raise Own


async def hangs_async() -> None:
    await asyncio.sleep(9)


def answer(peer: Peer, function: Callable[[], Any] = lambda: None) -> str:
    """What becomes of a call: the name of what it raises, or "runs"."""
    try:
        peer.run(function)
    except Exception as error:
        return type(error).__name__
    return "runs"


def trip(peer: Peer) -> str:
    """Fail twice. What the call that opened the breaker raised."""
    answer(peer, fails)
    return answer(peer, fails)


@contextlib.contextmanager
def hanging(peer: Peer) -> Iterator[None]:
    """While the block runs a call is in flight; then it succeeds."""
    go = threading.Event()
    began = threading.Event()

    def hangs() -> None:
        began.set()
        go.wait(5)

    thread = threading.Thread(target=answer, args=(peer, hangs), daemon=True)
    thread.start()
    began.wait(1)
    try:
        yield
    finally:
        go.set()
        thread.join()


def aside(action: Callable[[], object]) -> threading.Thread:
    """Do it in another thread, which is waited for at most half a second: it may have to wait itself."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(0.5)
    return thread


def answer_beside_a_hanging_call(peer: Peer, seconds: float = 0.0) -> str:
    """What becomes of a call that comes this long after one that hangs."""
    said: list[str] = []
    with hanging(peer):
        time.sleep(seconds)
        thread = aside(lambda: said.append(answer(peer)))
        found = said[0] if said else "waits"
    thread.join()
    return found


# -- the questions, in the README's words --


def the_call_that_opens_it_raises(peer: Peer) -> str:
    return trip(peer)


def a_call_while_another_hangs(peer: Peer) -> str:
    return answer_beside_a_hanging_call(peer)


def a_late_success_finds_it_open(peer: Peer) -> str:
    with hanging(peer):
        tripping = aside(lambda: trip(peer))
        before = peer.state()
    tripping.join()
    return f"{before} → {peer.state()}"


def a_late_success_finds_it_half_open(peer: Peer) -> str:
    with contextlib.ExitStack() as late:
        late.enter_context(hanging(peer))
        tripping = aside(lambda: trip(peer))
        if tripping.is_alive():
            return "calls wait"
        time.sleep(COOLED)
        with hanging(peer):  # the probe
            before = peer.state()
            late.close()
            return f"{before} → {peer.state()}"


def of_ten_calls_half_open(peer: Peer) -> str:
    trip(peer)
    time.sleep(COOLED)
    inside: list[int] = []
    go = threading.Event()

    def probe() -> None:
        inside.append(1)
        go.wait(5)

    threads = [threading.Thread(target=answer, args=(peer, probe), daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    running, waiting = len(inside), sum(thread.is_alive() for thread in threads) - len(inside)
    go.set()
    for thread in threads:
        thread.join()
    return f"{running} run, {waiting} wait, {10 - running - waiting} rejected"


def a_call_while_the_probe_hangs(peer: Peer) -> str:
    trip(peer)
    time.sleep(COOLED)
    return answer_beside_a_hanging_call(peer, 4 * OPEN_TIME)


def two_failures_of_a_coroutine(peer: Peer) -> str:
    async def main() -> None:
        for _ in range(2):
            with contextlib.suppress(Own):
                await peer.run_async(fails_async)

    asyncio.run(main())
    return peer.state()


def a_failure_and_two_cancelled(peer: Peer) -> str:
    """A cancellation that counts as a failure opens it; one that counts as a success is found by another failure."""

    async def cancel() -> None:
        task = asyncio.create_task(peer.run_async(hangs_async))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    def attempt(call: Callable[[], Coroutine[Any, Any, Any]]) -> str:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            asyncio.run(call())
        return peer.state()

    attempt(lambda: peer.run_async(fails_async))
    attempt(cancel)
    before = attempt(cancel)
    return f"{before}; a failure later {attempt(lambda: peer.run_async(fails_async))}"


def two_failures_of_a_generator(peer: Peer) -> str:
    def items() -> Iterator[int]:
        yield 1
        raise Own

    for _ in range(2):
        with contextlib.suppress(Exception):
            list(peer.run(items))
    return peer.state()


PEERS = (Cybreaker, Pybreaker, Circuitbreaker, Purgatory, Interlock)
QUESTIONS = (
    the_call_that_opens_it_raises,
    a_call_while_another_hangs,
    a_late_success_finds_it_open,
    a_late_success_finds_it_half_open,
    of_ten_calls_half_open,
    a_call_while_the_probe_hangs,
    two_failures_of_a_coroutine,
    a_failure_and_two_cancelled,
    two_failures_of_a_generator,
)


def main() -> int:
    print("# What other breakers do\n")
    print("| |" + "".join(f" {peer.distribution} {version(peer.distribution)} |" for peer in PEERS))
    print("|---" * (len(PEERS) + 1) + "|")
    for question in QUESTIONS:
        answers = [question(peer()) for peer in PEERS]
        print(f"| {question.__name__.replace('_', ' ')} |" + "".join(f" {each} |" for each in answers), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
