"""One process full of watchers: the real source and its loop over real connections, with a stub in place of providers.

Run by `etcd_scale`; commands come by standard input, a line each, answers go to standard output as JSON.
"""

import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping

from breaker.sources import EtcdSource
from breaker.sources.base import Document

PATH = "/config/dev/scale/breakers/"
PROBE = "probe.json"


class Arrivals:
    """When which watcher had published which value of the probe first. The clock is the same in all processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, list[float]] = {}
        self.failures = 0

    def note(self, value: str) -> None:
        with self._lock:
            self._times.setdefault(value, []).append(time.monotonic())

    def of(self, value: str) -> list[float]:
        with self._lock:
            return list(self._times.get(value, ()))


class Watcher:
    """A watch that keeps nothing."""

    path = PATH

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._last = ""
        self.closed = threading.Event()

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        probe = documents.get(PROBE, b"")
        value = probe.decode() if isinstance(probe, bytes) else str(probe)
        if value != self._last:
            self._last = value
            self._arrivals.note(value)

    def connected(self, endpoint: str) -> None:
        """Nothing to keep."""

    def run(self, loop: Callable[[], None]) -> None:
        threading.Thread(target=loop, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        return self.closed.wait(seconds)

    def now(self) -> float:
        return time.monotonic()

    def wall_time_ns(self) -> int:
        return time.time_ns()

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        self._arrivals.failures += 1

    def warn(self, message: str, **keys: object) -> None:
        """Nothing to say."""

    def info(self, message: str, **keys: object) -> None:
        """Nothing to say."""


def main(endpoint: str, transport: str, count: int) -> None:
    threading.stack_size(256 << 10)
    arrivals = Arrivals()
    source = EtcdSource(endpoint, transport=transport)
    watchers = [Watcher(arrivals) for _ in range(count)]
    for line in sys.stdin:
        command, _, value = line.strip().partition(" ")
        answer: object = None
        if command == "start":
            for watcher in watchers:
                source.start(watcher)
        elif command == "count":
            answer = len(arrivals.of(value))
        elif command == "times":
            answer = arrivals.of(value)
        elif command == "cost":
            used = resource.getrusage(resource.RUSAGE_SELF)
            answer = [used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, arrivals.failures]
        elif command == "end":
            return
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
