"""The stream under a watch, over calls that end at moments which no real server can be made to choose."""

import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Any

import pytest

from breaker.sources.etcd.grpc.endings import Ended
from breaker.sources.etcd.grpc.methods import Answer
from breaker.sources.etcd.grpc.stream import Stream
from support.watching import eventually

pytestmark = pytest.mark.timeout(30)


class Status(Enum):
    UNAVAILABLE = 14


class Rpc:
    """A call as grpc makes it, that ends when the test says so."""

    def __init__(self, *, over: bool) -> None:
        self.over = over
        self.callbacks: list[Callable[[], None]] = []

    def __call__(self, requests: Iterator[Any], metadata: Any) -> "Rpc":
        return self  # and never asks for a request

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.callbacks.append(callback)
        return not self.over

    def code(self) -> Status:
        return Status.UNAVAILABLE

    def details(self) -> str:
        return "gone\nfor good"

    def cancel(self) -> None:
        pass


@pytest.mark.parametrize("over", [True, False], ids=["before it is returned", "a little later"])
def test_a_call_that_ends_before_its_request_is_sent(over: bool) -> None:
    rpc = Rpc(over=over)
    stream = Stream(rpc, "request", ())
    if not over:
        assert stream.next(0.01) is None
        for callback in rpc.callbacks:
            callback()
    began = time.monotonic()
    with pytest.raises(Ended) as caught:
        stream.next(20)
    assert (caught.value.code, caught.value.details) == ("UNAVAILABLE", "gone for good")
    assert time.monotonic() - began < 5


def test_a_stopped_stream_raises_for_ever() -> None:
    stream = Stream(Rpc(over=False), "request", ())
    stream.stop()
    stream.stop()
    for _ in range(2):
        with pytest.raises(Ended):
            stream.next(20)


class Sending(Rpc):
    """A call that has all its answers ready. ``taken``: how many were taken from it."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(over=False)
        self.sizes, self.taken = sizes, 0
        self.sender: threading.Thread | None = None

    def __call__(self, requests: Iterator[Any], metadata: Any) -> Rpc:
        self.sender = threading.Thread(target=lambda: [*requests], daemon=True)  # as grpc's
        self.sender.start()
        return self

    def __iter__(self) -> Iterator[Answer]:
        for size in self.sizes:
            self.taken += 1
            yield Answer(size, "a message")

    def has_given(self, count: int) -> bool:
        return self.taken == count


def test_an_owner_that_rests_finds_what_has_come_meanwhile_at_once() -> None:
    rpc = Sending(*[200] * 120)
    stream = Stream(rpc, "request", ())
    assert rpc.sender is not None
    rpc.sender.join(10)
    assert sum(stream.next(0) is not None for _ in range(120)) == 120
    with pytest.raises(Ended):
        stream.next(10)


@pytest.mark.parametrize(("size", "kept"), [(1, 128), (300 << 10, 3), (1 << 20, 1), (5 << 20, 1)])
def test_what_is_taken_ahead_has_a_bound(size: int, kept: int) -> None:
    rpc = Sending(*[size] * (kept + 3))
    stream = Stream(rpc, "request", ())
    for expected in (kept + 1, kept + 2, kept + 3):  # one more, for which there is no room yet
        eventually(partial(rpc.has_given, expected))
        time.sleep(0.02)
        assert rpc.taken == expected
        assert stream.next(10) is not None
    for _ in range(kept):
        assert stream.next(10) is not None
    with pytest.raises(Ended):
        stream.next(10)


def test_a_stream_that_is_stopped_lets_go_of_whoever_has_no_room() -> None:
    rpc = Sending(*[1 << 20] * 3)
    stream = Stream(rpc, "request", ())
    eventually(partial(rpc.has_given, 2))
    stream.stop()
    assert rpc.sender is not None
    rpc.sender.join(10)
    assert not rpc.sender.is_alive()
    assert rpc.taken == 2
