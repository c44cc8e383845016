"""A session of etcd that says what a test has written down: faults that a real server does not give on demand."""

from collections.abc import Callable, Mapping
from typing import Any

from breaker.errors import TooBig
from breaker.sources.base import Document
from breaker.sources.etcd.follower import Follower, FollowOptions
from breaker.sources.etcd.transport import Batch, Endpoint, Item, KeyChange, Page

PATH = "/config/dev/svc/breakers/"
A, B = Endpoint("a", 1, False), Endpoint("b", 2, False)
Read = Batch | Exception | None | Callable[[], "Read"]


class Store:
    """What the scripted server holds, and what its watch says next."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[bytes, int]] = {}
        self.revision = 1
        self.reads: list[Read] = []  # what `read` gives in turn; afterwards the watch closes
        self.waiting: list[Batch] = []  # what has come too, to whoever does not wait
        self.opened: list[Endpoint] = []
        self.watched: list[int] = []
        self.closed = 0
        self.refusals: list[Exception | None] = []  # of `open`, in turn
        self.unwatchable: list[Exception] = []  # what `watch` raises, in turn
        self.largest = 1 << 30  # keys in a page that is not too big
        self.history: dict[int, dict[str, tuple[bytes, int]]] = {}

    def put(self, name: str, value: bytes = b"{}", *, watched: bool = True) -> Batch:
        self.revision += 1
        self.keys[name] = (value, self.revision)
        self.history[self.revision] = dict(self.keys)
        batch = Batch(self.revision, [KeyChange((PATH + name).encode(), value, self.revision)])
        if watched:
            self.reads.append(batch)
        return batch


class ScriptedSession:
    def __init__(self, store: Store, watch: "ScriptedWatch", endpoint: Endpoint) -> None:
        self.store, self.provider_watch, self.endpoint = store, watch, endpoint

    def open(self) -> None:
        self.store.opened.append(self.endpoint)
        if self.store.refusals and (error := self.store.refusals.pop(0)) is not None:
            raise error

    def range(
        self, start: bytes, end: bytes, *, limit: int, revision: int = 0, keys_only: bool = False, since: int = 0
    ) -> Page:
        if limit > self.store.largest:
            raise TooBig("too big")
        items = [
            Item((PATH + name).encode(), b"" if keys_only else value, changed)
            for name, (value, changed) in sorted(self.store.history.get(revision, self.store.keys).items())
            if (PATH + name).encode() >= start
        ]
        wanted = [item for item in items if item.revision >= since]
        return Page(self.store.revision, wanted[:limit], len(items), len(wanted) > limit)

    def commit(self, key: bytes, value: bytes | None, expected: int | None) -> tuple[bool, int]:
        raise AssertionError("nothing is written here")

    def watch(self, start: bytes, end: bytes, revision: int) -> None:
        if self.store.unwatchable:
            raise self.store.unwatchable.pop(0)
        self.store.watched.append(revision)

    def read(self, seconds: float) -> Batch | None:
        if seconds == 0:
            return self.store.waiting.pop(0) if self.store.waiting else None
        if not self.store.reads:
            self.provider_watch.closed = True
            return None
        step = self.store.reads.pop(0)
        while callable(step):
            step = step()
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.store.closed += 1

    def forget(self) -> None:
        raise AssertionError("nothing forks here")


class ScriptedTransport:
    def __init__(self, store: Store, watch: "ScriptedWatch") -> None:
        self.store, self.watch = store, watch

    def session(self, endpoint: Endpoint) -> ScriptedSession:
        return ScriptedSession(self.store, self.watch, endpoint)


class ScriptedWatch:
    path = PATH

    def __init__(self) -> None:
        self.closed = False
        self.time = 100.0  # it stands until the test moves it
        self.attempts = 0
        self.pauses: list[float] = []
        self.published: list[tuple[dict[str, Document], int, bool]] = []
        self.places: list[str] = []
        self.problems: list[tuple[str, str | None, bool]] = []
        self.warnings: list[dict[str, object]] = []

    def connected(self, endpoint: str) -> None:
        self.places.append(endpoint)

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        self.published.append((dict(documents), revision, restarted))

    def run(self, loop: Callable[[], None]) -> None:
        loop()

    def wait(self, seconds: float) -> bool:
        if seconds:
            self.pauses.append(seconds)
            self.attempts += 1
            if self.attempts > 30:
                return True
        return self.closed

    def now(self) -> float:
        return self.time

    def time_goes(self, seconds: float) -> None:
        self.time += seconds

    def wall_time_ns(self) -> int:
        return 0  # an etcd's documents have revisions, no times

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        self.problems.append((problem, kind, soon))

    def warn(self, message: str, **keys: object) -> None:
        self.warnings.append(keys)

    def info(self, message: str, **keys: object) -> None:
        raise AssertionError("nothing is said at this level")


def run(store: Store, watch: ScriptedWatch, *endpoints: Endpoint, **options: Any) -> None:
    options = {"check_interval": 10.0, "max_documents": 1000} | options
    follower = Follower(ScriptedTransport(store, watch), list(endpoints or [A]), watch, FollowOptions(**options))
    watch.run(follower.loop)
