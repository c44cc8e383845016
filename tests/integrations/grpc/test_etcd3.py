"""The package `etcd3` on a guarded channel, as docs/grpc.md shows it: its watches wait for a server that is gone."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from breaker import BreakerOpenError, Provider, State
from breaker.integrations.grpc import guard
from breaker.sources.etcd.grpc import import_etcd3
from breaker.testing import ManualClock
from support.etcd.server import Server
from support.rpc import intercepted, open_channel
from support.watching import eventually

WATCH = "/etcdserverpb.Watch/Watch"
RANGE = "/etcdserverpb.KV/Range"


def unless_watch(details: Any) -> str | None:
    return None if details.method == WATCH else details.method


class Waiting(grpc.StreamStreamClientInterceptor):
    """Watches wait for the server instead of failing."""

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return continuation(client_call_details._replace(wait_for_ready=True), request_iterator)


class Counting(grpc.StreamStreamClientInterceptor):
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        self.calls[client_call_details.method] += 1
        return continuation(client_call_details, request_iterator)


# Its thread ends by the error of the channel that was closed, and in no other way.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_its_watch_thread_waits_for_a_server_that_is_gone(
    tmp_path: Path, provider: Provider, clock: ManualClock
) -> None:
    library = import_etcd3.load()
    rpc, watch = library.rpc, sys.modules["etcd3.watch"]
    counting = Counting()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    with Server(tmp_path) as server, open_channel(server.endpoint, options=options) as bare:
        channel = intercepted(guard(bare, provider, name=unless_watch), Waiting(), counting)
        store, events = rpc.KVStub(channel), list[Any]()
        watcher = watch.Watcher(rpc.WatchStub(channel), timeout=20)
        watcher.add_callback("users", events.append)
        store.Put(rpc.PutRequest(key=b"users", value=b"ada"))
        eventually(lambda: len(events) == 1)
        server.kill()
        eventually(lambda: isinstance(events[-1], grpc.RpcError))  # the loss is told
        before = counting.calls[WATCH]
        with pytest.raises(grpc.RpcError):
            store.Range(rpc.RangeRequest(key=b"users"))
        assert provider.breakers[RANGE].state is State.OPEN
        with pytest.raises(BreakerOpenError):
            store.Range(rpc.RangeRequest(key=b"users"))
        time.sleep(0.3)  # it made 400 attempts in this time without `Waiting`, and 7,000 rejected ones with a breaker
        assert counting.calls[WATCH] - before <= 2
        server.start()
        watcher.add_callback("users", events.append)
        clock.advance(60)
        store.Put(rpc.PutRequest(key=b"users", value=b"grace"))
        eventually(lambda: not isinstance(events[-1], grpc.RpcError) and events[-1].events[0].value == b"grace")
    watcher._callback_thread.join(20)
    assert sorted(provider.breakers) == ["/etcdserverpb.KV/Put", RANGE]
