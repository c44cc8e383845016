"""The listeners of one provider, its logger, and what becomes of either that fails.

The order of a breaker's events and their delivery are the core's (`_delivery.pxi`); this is the list of listeners it
reads, and the delivery of events that belong to no breaker.
"""

from __future__ import annotations

import threading

from breaker._core import ListenersBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from breaker.events import Event

    Listener = Callable[[Event], object]


class Listeners(ListenersBase):
    """Who is notified. ``listeners`` is a tuple that is replaced, never changed."""

    events: ModuleType  # of event classes, for the core: there from when somebody listens

    def __init__(self, logger: Any = None) -> None:
        self.logger = logger
        self._logger_failed = False
        self._lock = threading.RLock()  # re-entrant: a signal handler or a finalizer may subscribe while it is held

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; the callable that is returned removes it again (twice does nothing more)."""
        if not callable(listener):
            raise TypeError(f"a listener is called with each event, got {type(listener).__name__}")
        import breaker.events as events  # now, or the first event would import it in the middle of a call

        self.events = events
        with self._lock:
            self.listeners = (*self.listeners, listener)
        subscribed = True

        def unsubscribe() -> None:
            nonlocal subscribed
            with self._lock:
                if subscribed:
                    subscribed = False
                    place = next(i for i, other in enumerate(self.listeners) if other is listener)
                    self.listeners = self.listeners[:place] + self.listeners[place + 1 :]

        return unsubscribe

    def notify(self, event: Event) -> None:
        """Deliver an event that belongs to no breaker, now and in this thread."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception as error:
                self.report(listener, event, error)

    def log(self, level: str, message: str, **keys: object) -> None:
        """Write a line that belongs to no event; a logger that fails is reported like a listener that does."""
        if self.logger is None:
            return
        try:
            getattr(self.logger, level)(message, **keys)
        except Exception as error:
            self.report(self.logger, None, error)

    def report(self, listener: object, event: Event | None, error: BaseException) -> None:
        """Log that a listener raised. If the logger is what fails, the standard library's says so, once."""
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
                _fallback("the logger failed on %s (reported once): %r", what, failure)

    def renew_after_fork(self) -> None:
        """In a forked child: a lock held by a thread of the parent would never be released."""
        self._lock = threading.RLock()


def _fallback(message: str, *args: object, exc_info: BaseException | None = None) -> None:
    import logging

    logging.getLogger("breaker").error(message, *args, exc_info=exc_info)
