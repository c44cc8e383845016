"""One provider's watch of its source: the source publishes to it, the provider starts and closes it.

It holds what a provider keeps about policies only weakly, and no thread keeps that while it waits: a provider that is
dropped without ``close()`` ends its watcher.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from functools import partial

from breaker._updates import Publication
from breaker.sources.base import SourceStatus, Unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from breaker._updates import Updates
    from breaker.sources.base import Document, PolicySource

_PAUSE = 1.0  # seconds before a loop that broke off begins anew


class ProviderWatch:
    """What one provider gives to its source. Knows whether it is closed, and how the source is."""

    def __init__(self, updates: Updates, source: PolicySource, path: str) -> None:
        self.path = path
        self.closed = threading.Event()
        self.loaded = threading.Event()  # there are documents, or nothing to wait for
        self._updates = weakref.ref(updates, _stopper(weakref.ref(self)))
        self._source = source
        self._started = False
        self._to_stop = [source]  # emptied by the first who stops it
        self._thread: threading.Thread | None = None
        self._reported: set[str] = set()  # kinds of failures in this episode
        self._up = False
        self._endpoint: str | None = None
        self._connections = 0
        self._last_error: str | None = None
        self._last_change: float | None = None

    # -- from the source --

    def connected(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._connections += 1
        self._up = True

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        updates = self._updates()
        if updates is None or self.closed.is_set():
            return
        if self._reported and self._up:
            self._reported.clear()
            if updates.listeners.listeners:
                from breaker.events import SourceRegained

                updates.listeners.notify(SourceRegained(self._endpoint, revision))
        self._up = not self._reported
        publication = Publication(
            _plain(documents),
            revision,
            restarted=restarted,
            location=partial(self._source.location, self.path),
            changed=self._note_change,
        )
        updates.apply(publication)
        self.loaded.set()
        updates.deliver()

    def _note_change(self) -> None:
        self._last_change = self.wall_time_ns() / 1e9

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        self._up, self._last_error = False, problem
        kind = kind or problem
        if (updates := self._updates()) and kind not in self._reported:
            self._reported.add(kind)
            if updates.listeners.listeners:
                from breaker.events import SourceLost

                updates.listeners.notify(SourceLost(endpoint, problem))
        if not soon:
            self.loaded.set()

    def warn(self, message: str, **keys: object) -> None:
        self._log("warning", message, keys)

    def info(self, message: str, **keys: object) -> None:
        self._log("info", message, keys)

    def _log(self, level: str, message: str, keys: Mapping[str, object]) -> None:
        if updates := self._updates():
            updates.listeners.log(level, message, **keys)

    def run(self, loop: Callable[[], None]) -> None:
        name = f"breaker-policies-{self.path}"
        self._thread = threading.Thread(target=self._keep_running, args=(loop,), name=name, daemon=True)
        self._thread.start()

    def _keep_running(self, loop: Callable[[], None]) -> None:
        """Nobody would notice that the thread has ended, and policies would never change again."""
        while True:
            try:
                return loop()
            except BaseException as error:  # a listener's sys.exit() too: it has no caller here
                self.failed(f"the watch broke off with {error!r} and begins anew")
            if self.wait(_PAUSE):
                return None

    def wait(self, seconds: float) -> bool:
        return self.closed.wait(seconds) or self._updates() is None

    def now(self) -> float:
        return time.monotonic()

    def wall_time_ns(self) -> int:
        return time.time_ns()

    # -- from the provider --

    def start(self) -> None:
        """Start the source; what it raises is the caller's."""
        self._source.start(self)
        self._started = True
        if self.closed.is_set():  # meanwhile, by a listener or another thread
            self.stop()

    def stop(self) -> None:
        """Stop the source, once."""
        try:
            source = self._to_stop.pop()
        except IndexError:
            return
        source.stop(self)

    def close(self, seconds: float) -> None:
        """End the watch. Waits at most this long for its thread, and not at all when called from it."""
        self.closed.set()
        self.loaded.set()
        if self._started:  # else `start` does it: a source is not stopped before it has started
            self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def abandon(self) -> None:
        """After a start that failed: whatever began ends."""
        self.closed.set()
        self.stop()

    def successor(self, updates: Updates) -> ProviderWatch:
        """In a forked child: the watch that takes the place of this one, the parent's; to be started by it."""
        return ProviderWatch(updates, self._source, self.path)

    def start_after_fork(self, parents: ProviderWatch) -> None:
        """In a forked child: begin anew in place of the parent's watch, whose thread is not here."""
        parents.closed = threading.Event()  # its own lock may be held by a thread that is not here
        parents.closed.set()
        try:
            self._source.after_fork()
            parents.stop()
            self.start()
        except Exception as error:
            self.failed(f"{error!r} in a forked process; its breakers keep the policies of now")

    def status(self, revision: int) -> SourceStatus:
        return SourceStatus(
            connected=self._up and not self.closed.is_set(),
            endpoint=self._endpoint,
            revision=revision,
            last_change=self._last_change,
            last_error=self._last_error,
            reconnects=max(0, self._connections - 1),
        )


def _plain(documents: Mapping[str, Document]) -> dict[str, Document]:
    """A copy that holds no object with code of its own: documents are compared under the lock of the updates."""
    return {key: found if type(found) in (bytes, str) else _plain_document(found) for key, found in documents.items()}


def _plain_document(document: object) -> Document:
    if isinstance(document, bytes):
        return bytes(document)
    if isinstance(document, str):
        return str.__str__(document)
    if isinstance(document, Unreadable):
        return Unreadable(str(document.reason))
    return Unreadable(f"{type(document).__name__} from a source that publishes no text")


def _stopper(watch: weakref.ref[ProviderWatch]) -> Callable[[object], None]:
    """Called when the provider is dropped: a source that waits in a socket is woken only by `stop`.

    Not by the end of the interpreter: nothing waits then, and gRPC would wait for its thread, which no longer runs.
    """

    # A default, because the names of this module may be gone by then.
    def stop(_: object, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending() and (dropped := watch()) is not None:
            dropped.stop()

    return stop
