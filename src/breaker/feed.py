"""The provider's side of `breaker.sources.Feed`: from a source's thread to a provider that may be gone."""

from __future__ import annotations

import threading
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from breaker.provider import Provider
    from breaker.sources.base import Document

_PAUSE = 1.0  # seconds before a loop that broke off begins anew


class ProviderFeed:
    """What one provider gives to its source. Knows whether it is closed and whether documents have come."""

    def __init__(self, provider: Provider) -> None:
        self.path = provider.config.policies_path
        self.closed = threading.Event()
        self.loaded = threading.Event()
        # Weak, and kept by no thread while it waits: a provider that is dropped without close() ends its watcher.
        self._provider = weakref.ref(provider)
        self._thread: threading.Thread | None = None
        self._problem: str | None = None

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        if provider := self._provider():
            if self._problem is not None:
                self._problem = None
                provider._log("info", "circuit breaker policy source is back", revision=revision)
            provider._apply(self, documents, revision, restarted)

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

    def failed(self, problem: str) -> None:
        if (provider := self._provider()) and problem != self._problem:
            self._problem = problem
            provider._log("error", "circuit breaker policy source failed", error=problem)
        self.loaded.set()  # there is nothing to wait for

    def warn(self, message: str, **keys: object) -> None:
        if provider := self._provider():
            provider._log("warning", message, **keys)

    def join(self, seconds: float) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)
