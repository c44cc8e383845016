"""The provider's side of `breaker.sources.Watch`: from a source's thread to a provider that may be gone."""

from __future__ import annotations

import sys
import threading
import time
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from breaker.provider import Provider
    from breaker.sources.base import Document, PolicySource, SourceStatus

_PAUSE = 1.0  # seconds before a loop that broke off begins anew


class ProviderWatch:
    """What one provider gives to its source. Knows whether it is closed, and how the source is."""

    def __init__(self, provider: Provider, source: PolicySource) -> None:
        self.path = provider.config.policies_path
        self.closed = threading.Event()
        self.loaded = threading.Event()
        # Weak, and kept by no thread while it waits: a provider that is dropped without close() ends its watcher.
        self._provider = weakref.ref(provider, _stopper(source, weakref.ref(self)))
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()  # kinds of failures in this episode
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
        if provider := self._provider():
            if self._told and self._up:
                self._told.clear()
                provider._tell_source("SourceRegained", self._endpoint, revision)
            self._up = not self._told
            if provider._apply(self, documents, revision, restarted):
                self._last_change = self.wall_time_ns() / 1e9

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        self._up, self._last_error = False, problem
        kind = kind or problem
        if (provider := self._provider()) and kind not in self._told:
            self._told.add(kind)
            provider._tell_source("SourceLost", endpoint, problem)
        if not soon:
            self.loaded.set()  # there is nothing to wait for

    def warn(self, message: str, **keys: object) -> None:
        if provider := self._provider():
            provider._log("warning", message, **keys)

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
        return self.closed.wait(seconds) or self._provider() is None

    def now(self) -> float:
        return time.monotonic()

    def wall_time_ns(self) -> int:
        return time.time_ns()

    # -- from the provider --

    def status(self, revision: int) -> SourceStatus:
        from breaker.sources.base import SourceStatus

        return SourceStatus(
            connected=self._up and not self.closed.is_set(),
            endpoint=self._endpoint,
            revision=revision,
            last_change=self._last_change,
            last_error=self._last_error,
            reconnects=max(0, self._connections - 1),
        )

    def join(self, seconds: float) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)


def _stopper(source: PolicySource, watch: weakref.ref[ProviderWatch]) -> Callable[[object], None]:
    """Called when the provider is dropped: a source that waits in a socket is woken only by `stop`.

    Not by the end of the interpreter: nothing waits then, and gRPC would wait for its thread, which no longer runs.
    """

    def stop(_: object, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending() and (dropped := watch()) is not None:
            source.stop(dropped)

    return stop
