"""The events of a provider as server-sent events, for as many readers as look.

The provider is listened to only while somebody reads. After the last reader it goes on for a while, so that one whose
connection was cut misses nothing; the next event or request after that while ends it. Every buffer is bounded: a reader
that does not keep up is dropped, comes back by itself and learns by ``resync`` that it has missed something.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from breaker.events import BreakerCreated, CallFailed, Event, PolicyUpdated
from breaker.provider import Provider
from breaker.status._document import shortened

KEPT_EVENTS = 256  # for readers that come back, and for one that is slow
MOST_READERS = 32
LINGER_SECONDS = 30.0
HEARTBEAT_SECONDS = 10.0
RETRY = b"retry: 2000\n\n"  # milliseconds until a reader comes back
HEARTBEAT = b": still here\n\n"


class Reader:
    """One stream. The hub fills it, its server takes from it."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.chunks: deque[bytes] = deque()
        self.closed = False  # nothing more comes: what is in `chunks` is the end

    def take(self) -> bytes:
        """What there is, empty if nothing is."""
        taken = []
        while self.chunks:
            taken.append(self.chunks.popleft())
        return b"".join(taken)


class Hub:
    """The readers of one provider's events.

    Thread safety:
        All of it may be called from any thread, and by signal handlers and finalizers: the lock is re-entrant, and
        what comes while it is held by the same thread waits in a queue.
    """

    def __init__(self, provider: Provider, process: str) -> None:
        self._provider = provider
        self._process = process
        self._lock = threading.RLock()
        self._pending: deque[Event] = deque()
        self._passing_on = False
        self._numbers = itertools.count(1)
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT_EVENTS)
        self._first = 1  # number of the first event that was listened for
        self._last = 0
        self._readers: set[Reader] = set()
        self._unsubscribe: weakref.finalize[[], Hub] | None = None
        self._left = 0.0  # when the last reader went, in monotonic seconds
        self._closed = False

    def open(self, last_id: str, wake: Callable[[], object]) -> Reader | None:
        """A new reader.

        Args:
            last_id: The ``Last-Event-ID`` of one that comes back, else empty.
            wake: Called from any thread when there is something to take.

        Returns:
            None if there are too many, or the hub is closed.
        """
        reader = Reader(wake)
        with self._lock:
            if self._closed or len(self._readers) >= MOST_READERS:
                return None
            if self._unsubscribe is None:
                self._last = next(self._numbers)  # stands for all that happened while nobody listened
                self._first = self._last + 1
                self._unsubscribe = weakref.finalize(self, self._provider.subscribe(_Listener(self)))
                self._unsubscribe.atexit = False
            reader.chunks.append(RETRY)
            reader.chunks.extend(self._missed_locked(last_id))
            reader.chunks.append(f"id: {self._process}-{self._last}\n\n".encode())
            self._readers.add(reader)
        return reader

    def close(self, reader: Reader) -> None:
        """The reader has gone."""
        with self._lock:
            self._readers.discard(reader)
            self._left = time.monotonic()
        reader.closed = True

    def shut(self) -> None:
        """End all streams, for good."""
        with self._lock:
            self._closed = True
            readers, self._readers = self._readers, set()
            unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        for reader in readers:
            reader.closed = True
            reader.wake()

    def tidy(self) -> None:
        """Listen no longer than somebody reads, and a while."""
        with self._lock:
            if self._readers or self._unsubscribe is None or time.monotonic() - self._left < LINGER_SECONDS:
                return
            unsubscribe, self._unsubscribe = self._unsubscribe, None
            self._kept.clear()
        unsubscribe()

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)

    def pass_on(self, event: Event) -> None:
        """Give an event to all readers. Called by the thread in which it happened."""
        self.tidy()
        self._pending.append(event)
        woken: list[Reader] = []
        with self._lock:
            while self._pending and not self._passing_on:
                self._passing_on = True
                try:
                    while self._pending:
                        woken += self._pass_on_locked(self._pending.popleft())
                finally:
                    self._passing_on = False
        for reader in woken:
            reader.wake()

    def _pass_on_locked(self, event: Event) -> list[Reader]:
        self._last = next(self._numbers)
        chunk = self._chunk(type(event).__name__, described(event), self._last)
        self._kept.append((self._last, chunk))
        readers = list(self._readers)
        for reader in readers:
            reader.chunks.append(chunk)
            if len(reader.chunks) > KEPT_EVENTS:
                reader.chunks.clear()
                reader.closed = True
                self._readers.discard(reader)
        return readers

    def _missed_locked(self, last_id: str) -> Iterator[bytes]:
        """What a reader that comes back has missed, or that this is not known any more."""
        process, _, number = last_id.rpartition("-")
        if not last_id:
            return
        seen = int(number) if process == self._process and re.fullmatch(r"[0-9]{1,18}", number) else -1
        oldest = self._kept[0][0] if self._kept else self._last + 1
        if seen < self._first - 1 or seen < oldest - 1 or seen > self._last:
            yield self._chunk("Resync", {}, self._last)
            return
        yield from [chunk for kept, chunk in self._kept if kept > seen]

    def _chunk(self, kind: str, data: dict[str, Any], number: int) -> bytes:
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
        text = json.dumps({"at": round(time.time(), 3)} | data, separators=(",", ":"), allow_nan=False)
        return f"id: {self._process}-{number}\nevent: {kind}\ndata: {text}\n\n".encode()

    def after_fork(self, process: str) -> None:
        """In a forked child: the readers are the parent's."""
        self._lock = threading.RLock()
        self._readers = set()
        self._pending.clear()
        self._passing_on = False
        self._kept.clear()
        self._process = process
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()


def described(event: Event) -> dict[str, Any]:
    """An event in values that ``json`` writes: its fields; of a policy what changed."""
    if isinstance(event, BreakerCreated):
        return {"name": event.name}
    if isinstance(event, PolicyUpdated):
        changed = {key: list(pair) for key, pair in event.old.differences(event.new).items()}
        return {"name": event.name, "changed": changed, "revision": event.revision}
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    return {name: shortened(value) if isinstance(value, str) else value for name, value in values.items()}


class _Listener:
    """What the provider holds. It keeps no hub alive."""

    def __init__(self, hub: Hub) -> None:
        self._hub = weakref.ref(hub)

    def __call__(self, event: Event) -> None:
        hub = self._hub()
        if hub is None:
            return
        if not isinstance(event, CallFailed):
            hub.pass_on(event)
        elif not hub.readers:
            hub.tidy()  # calls that fail may be all that happens
