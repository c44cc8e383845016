"""Who is told what happens: the listeners of one provider, and what becomes of a listener that fails.

The order of events and their delivery are the core's (`_delivery.pxi`); this is the list of listeners it reads.
"""

from __future__ import annotations

import threading

from breaker import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from breaker.events import Event

    Listener = Callable[[Event], object]


class Listeners(_core.ListenersBase):
    """The listeners of a provider. ``listeners`` is a tuple that is replaced, never changed: readers need no lock."""

    listeners: tuple[Listener, ...]

    def __init__(self, logger: Any = None) -> None:
        self.logger = logger
        self._logger_failed = False
        self._lock = threading.RLock()

    @property
    def events(self) -> ModuleType:
        """The module of event classes, loaded when somebody listens."""
        from breaker import events

        return events

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; the callable that is returned removes it again (twice does nothing more)."""
        if not callable(listener):
            raise TypeError(f"a listener is called with each event, got {type(listener).__name__}")
        from breaker import events  # noqa: F401 - now, or the first event would import it under somebody's lock

        entry: list[Listener] = [listener]
        with self._lock:
            self.listeners = (*self.listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                if entry:
                    gone, remaining = entry.pop(), list(self.listeners)
                    del remaining[next(i for i, other in enumerate(remaining) if other is gone)]
                    self.listeners = tuple(remaining)

        return unsubscribe

    def tell(self, event: Event) -> None:
        """Tell an event that belongs to no breaker, now and in this thread."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception as error:
                self.report(listener, event, error)

    def report(self, listener: Listener | None, event: Event | None, error: BaseException) -> None:
        """Log that a listener raised. Where the logger is what fails, the standard library's says so, once."""
        what = type(event).__name__ if event is not None else "an event"
        if self.logger is None:
            _fallback("listener %r failed on %s", listener, what, exc_info=error)
            return
        try:
            self.logger.error(
                "circuit breaker listener failed", listener=repr(listener), event_type=what, error=repr(error)
            )
        except Exception as failure:
            if not self._logger_failed:
                self._logger_failed = True
                _fallback("the logger failed on %s (told once): %r", what, failure)

    def renew_locks(self) -> None:
        """In a forked child: a lock held by a thread of the parent would never be released."""
        self._lock = threading.RLock()


def _fallback(message: str, *args: object, exc_info: BaseException | None = None) -> None:
    import logging

    logging.getLogger("breaker").error(message, *args, exc_info=exc_info)
