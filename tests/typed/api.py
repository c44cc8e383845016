"""What type checkers must understand. Never run: mypy and pyright read it in ``make check``.

A line with an ignore is one that must be refused: both checkers report an ignore that they do not need.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol, Self, TypeVar, assert_type

import breaker
from breaker import (
    Breaker,
    BreakerOpenError,
    Config,
    Mode,
    Permit,
    Policy,
    Provider,
    Snapshot,
    State,
    Window,
    events,
    get_default_config,
)
from breaker.sources import EtcdSource, FileSource, MemorySource, PolicySource, PolicyStore, Revision, StoredPolicy
from breaker.testing import ManualClock, recorded

T = TypeVar("T")


def plain(x: int, *, flag: bool = False) -> str:
    return str(x)


async def later(x: int) -> str:
    return str(x)


def many(x: int) -> Iterator[int]:
    yield x


async def many_later(x: int) -> AsyncIterator[int]:
    yield x


def is_failure(error: BaseException) -> bool | None:
    return isinstance(error, OSError) or None


def is_text(error: BaseException) -> str:
    return str(error)


async def calls(b: Breaker) -> None:
    assert_type(b.do(plain, 1, flag=True), str)
    assert_type(await b.do(later, 1), str)
    assert_type(b.do(many, 1), Iterator[int])
    assert_type(b.do(many_later, 1), AsyncIterator[int])
    assert_type(b.do(lambda: 5), int)
    assert_type(await b.do(lambda: later(1)), str)
    assert_type(await b.do(Client().method_later, 1), str)
    assert_type(b.do(Client), Client)
    assert_type(b.do(len, "text"), int)
    assert_type(await asyncio.create_task(b.do(later, x=1)), str)
    assert_type(await asyncio.gather(b.do(later, 1), b.do(later, 2)), tuple[str, str])
    b.do(plain, "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    b.do(plain, 1, nothing=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    b.do()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    b.do(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    b.do(fn=plain)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await b.do(later, "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    b.do(later, 1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await b.do(plain, 1)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


class Client:
    def method(self, x: int) -> str:
        return str(x)

    async def method_later(self, x: int) -> str:
        return str(x)


async def decorations(b: Breaker) -> None:
    @b
    def decorated(x: int) -> str:
        return str(x)

    @b
    async def decorated_later(x: int) -> str:
        return str(x)

    class Guarded:
        @b
        def method(self, x: int) -> str:
            return str(x)

        @b
        async def method_later(self, x: int) -> str:
            return str(x)

        @staticmethod
        @b
        def static(x: int) -> str:
            return str(x)

        @property
        @b
        def size(self) -> int:
            return 1

    assert_type(decorated(1), str)
    as_declared: Coroutine[Any, Any, str] = decorated_later(1)
    assert_type(await as_declared, str)
    assert_type(Guarded().method(1), str)
    assert_type(await Guarded().method_later(1), str)
    assert_type(Guarded.static(1), str)
    assert_type(Guarded().size, int)
    assert_type(b(many)(1), Iterator[int])
    assert_type(b(many_later)(1), AsyncIterator[int])
    assert_type(await b(b(later))(1), str)
    decorated("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Guarded().method("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await decorated_later("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    b(5)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


class Loads(Protocol):
    async def load(self, key: str) -> str: ...


class Store:
    async def load(self, key: str) -> str:
        return key

    @classmethod
    def open(cls) -> Self:
        return cls()


def types_kept(b: Breaker) -> None:
    @b
    def first(items: list[T]) -> T:
        return items[0]

    class Guarded(Store):
        @b
        async def load(self, key: str) -> str:
            return await super().load(key)

    class Alone:
        @b
        async def load(self, key: str) -> str:
            return key

        @classmethod
        @b
        def made(cls) -> Self:
            return cls()

    @b
    @contextmanager
    def connection(url: str) -> Iterator[int]:
        yield len(url)

    each: list[Loads] = [Guarded(), Alone(), Alone.made()]
    assert_type(first([1]), int)
    assert_type(first(["a"]), str)
    assert_type(Guarded.open(), Guarded)
    with connection("x") as opened:
        assert_type(opened, int)
    each.append(Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def permits(b: Breaker) -> int:
    permit = b.acquire()
    assert_type(permit, Permit)
    permit.failure(ValueError())
    permit.success("text")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    b.acquire(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    permit.failure("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with b.acquire() as held:
        assert_type(held, Permit)
        return 1  # the block swallows nothing, so no return is missing below


async def awaiting_with_a_permit(b: Breaker) -> str:
    async with b.acquire() as held:
        assert_type(held, Permit)
    with b.acquire() as permit:
        answer = await later(1)
        assert_type(permit.ignore(), None)
        return answer


def reading(b: Breaker) -> None:
    assert_type(b.name, str)
    assert_type(b.state, State)
    assert_type(b.mode, Mode)
    assert_type(b.policy, Policy)
    assert_type(b.retry_after, float)
    assert_type(b.snapshot(), Snapshot)
    assert_type(b.snapshot().state_seconds[State.OPEN], float)
    assert_type(b.snapshot().successes, int)
    assert_type(b.snapshot().policy.failure_threshold, int | None)
    assert_type(b.snapshot().failure_rate, float | None)
    b.snapshot().successes = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    b.state = State.OPEN  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    b.override(Mode.SHADOW)
    b.override(None)
    b.override("shadow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def stores() -> None:
    each: list[PolicyStore] = [MemorySource(), FileSource("/etc"), EtcdSource("a:1")]
    store = each[0]
    revision = store.put("x", Policy(3), expected_revision=0)
    assert_type(revision, Revision)
    assert_type(store.list(), dict[str, StoredPolicy])
    assert_type(store.delete("x", expected_revision=store.list()["x"].revision), bool)
    assert_type(MemorySource().put("x", {"failureThreshold": 1}), int)
    assert_type(FileSource("/etc").put("x", "{}"), str)
    assert_type(EtcdSource("a:1").put("x", b"{}"), int)
    store.put("x", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.put("x", Policy(), 0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    store.put("x", Policy(), expected_revision=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FileSource("/etc", 1.0, "/path/")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def providers() -> None:
    config = get_default_config("svc", "dev")
    assert_type(config, Config)
    sources: list[PolicySource] = [MemorySource({"x": {"failureThreshold": 1}}), FileSource("/etc/policies")]
    with Provider(config, policy_source=sources[0], clock=ManualClock(), default_policy=Policy(1)) as provider:
        assert_type(provider, Provider)
        b = provider.get_breaker("x", failure_on=(OSError, ValueError), failed_result=lambda value: value is None)
        assert_type(b, Breaker)
        every = provider.get_breaker("y", ignore_on=OSError, success_on=(), failure_on=None, failed_result=None)
        assert_type(every, Breaker)
        provider.get_breaker("x", OSError)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        provider.get_breaker("x", ignore_on=(OSError, 5))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        provider.get_breaker("z", failed_error=is_failure, failed_result=None)
        provider.get_breaker("z", failed_error=lambda error: isinstance(error, OSError) or None)
        provider.get_breaker("z", failed_error=None)
        provider.get_breaker("x", failed_error=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        provider.get_breaker("x", failed_error=is_text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        provider.get_breaker("x", failed_error=later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        provider.get_breaker("x", failed_result=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        provider.get_breaker("x", nothing=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        provider.get_breaker("x", failure_on=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        provider.get_breaker(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        provider.breakers["x"] = b  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
        with recorded(provider) as heard:
            assert_type(heard, list[events.Event])
        assert_type(provider.snapshot(), list[Snapshot])
        assert_type(provider.snapshot()[0].retry_after, float)
        assert_type(provider.remove("x"), bool)
        provider.remove(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert_type(provider.follow(sources[1]), None)
        provider.follow(sources[1], start_timeout=0.5)
        provider.follow(sources[1], 0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        provider.follow("/etc")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert_type(list(provider.breakers.values()), list[Breaker])
        assert_type(dict(provider.breakers.items()), dict[str, Breaker])
        unsubscribe = provider.subscribe(listen)
        unsubscribe()


def listen(event: events.Event) -> None:
    match event:
        case events.StateChanged(to_state=State.OPEN):
            assert_type(event.retry_after, float)
        case events.PolicyUpdated():
            assert_type(event.new, Policy)
        case _:
            pass


def policies() -> None:
    Policy(5, 2, 60)
    Policy(5, 2, timedelta(minutes=1), half_open_max_calls=2, probe_timeout=1.5, mode=Mode.SHADOW)
    policy = Policy(probe_timeout=None, open_timeout_max=timedelta(minutes=10), open_timeout_multiplier=2)
    assert_type(policy.failure_threshold, int | None)
    assert_type(policy.failure_rate_threshold, float | None)
    assert_type(policy.slow_call_duration, float | None)
    assert_type(policy.window, Window)
    assert_type(policy.minimum_calls, int)
    Policy(None, failure_rate_threshold=0.5, window=Window(time=timedelta(minutes=1)))
    Policy(window=100)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(policy.open_state_timeout, float)
    assert_type(policy.probe_timeout, float | None)
    assert_type(policy.mode, Mode)
    assert_type(policy.open_timeout_jitter, float)
    assert_type(breaker.policies.schema(), dict[str, Any])
    match policy:
        case Policy(failures, _, seconds, mode=mode):
            assert_type((failures, seconds, mode), tuple[int | None, float, Mode])
    Policy(5, 2, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Policy(mode="shadow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Policy(failure_treshold=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    policy.failure_threshold = 6  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Policy("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Policy(5, 2, 60.0, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(Policy.from_json(b"{}"), Policy)
    assert_type(Policy().to_json(), bytes)


def errors(error: BreakerOpenError) -> None:
    assert_type(error.name, str)
    assert_type(error.state, State)
    assert_type(error.retry_after, float)
    assert_type(error.reason, str)
    assert_type(error.last_error, str | None)
