"""The stream under a watch, over calls that end at moments which no real server can be made to choose."""

import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest

from breaker.sources.etcd.grpc.endings import Ended
from breaker.sources.etcd.grpc.stream import Stream

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
