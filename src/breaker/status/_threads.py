"""Streams of events for servers with a thread for each request, and how a server says that it is leaving."""

from __future__ import annotations

import signal
import time
from queue import Empty, SimpleQueue

from breaker.status._streams import HEARTBEAT, HEARTBEAT_SECONDS, Hub, Reader

TICK_SECONDS = 1.0  # how long a server that leaves may have to wait for a stream


class Chunks:
    """The chunks of one reader, one after the other; waits for the next one.

    An iterator with `close`, as WSGI servers want it: no generator, whose end would not run if it never began.
    """

    def __init__(self, hub: Hub, last_id: str) -> None:
        self._hub = hub
        self._reader: Reader | None = None  # until it is there, for whoever drops this meanwhile
        self._woken: SimpleQueue[None] = SimpleQueue()  # its put may be interrupted by itself, that of others may not
        self._reader = hub.open(last_id, lambda: self._woken.put(None))
        self._beat = time.monotonic()

    @property
    def refused(self) -> bool:
        """There was no room for another reader."""
        return self._reader is None

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        reader = self._reader
        while reader is not None:
            if chunk := reader.take():
                self._beat = time.monotonic()
                return chunk
            if reader.closed or server_is_leaving():
                break
            if time.monotonic() - self._beat >= HEARTBEAT_SECONDS:
                self._beat = time.monotonic()
                return HEARTBEAT
            try:
                self._woken.get(timeout=TICK_SECONDS)
            except Empty:
                continue
        raise StopIteration

    def close(self) -> None:
        """The other end has gone, or the server goes."""
        if self._reader is not None:
            self._hub.close(self._reader)

    def __del__(self) -> None:
        self.close()


def server_is_leaving() -> bool:
    """Has the process been asked to stop by a signal that its server took?

    uvicorn and gunicorn wait for streams to end and tell nobody; whose method handles SIGTERM is the server, and knows.
    """
    try:
        server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    except ValueError:
        return False
    return getattr(server, "should_exit", False) is True or getattr(server, "alive", True) is False
