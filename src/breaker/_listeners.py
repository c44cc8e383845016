"""The listeners of one provider, its logger, and what becomes of either that fails.

The order of a breaker's events and their delivery are the core's (`_delivery.pxi`); this is the list of listeners it
reads, and the delivery of events that belong to no breaker.
"""

from __future__ import annotations

import threading

from breaker._core import ListenersBase
from breaker._function_checks import refuse_function_that_runs_later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from breaker.events import Event
    from breaker.logs import LineLog

    Listener = Callable[[Event], object]


class Listeners(ListenersBase):
    """Who is notified. ``listeners`` is a tuple that is replaced, never changed."""

    events: ModuleType  # of event classes, for the core: there from when somebody listens

    def __init__(self, service: str, logger: Any = None) -> None:
        self.service = service
        self.lines: LineLog | None = None
        self._logger_failed = False
        self._lock = threading.RLock()  # re-entrant: a signal handler or a finalizer may subscribe while it is held
        if logger is not None:
            from breaker.logs import LineLog  # brings the events, of which a program without listeners needs none

            self.lines = LineLog(logger, service)
            self.subscribe(self.lines)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; the callable that is returned removes it again (twice does nothing more)."""
        if not callable(listener):
            raise TypeError(f"a listener is called with each event, got {type(listener).__name__}")
        refuse_function_that_runs_later(
            listener, "a listener", "from it hand the event to a loop with loop.call_soon_threadsafe"
        )
        import breaker.events as events

        self.events = events  # for the core, which would else import it in the middle of a call
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
        if self.lines is None:
            return
        try:
            self.lines.write(level, message, keys)
        except Exception as error:
            self.report(self.lines, None, error)

    def report(self, listener: object, event: Event | None, error: BaseException) -> None:
        """Log that a listener raised. If the logger is what fails, the standard library's says so, once.

        No `Exception` leaves this, whatever else fails (S180): a handler of `logging`, the import of it while the
        interpreter ends, the stack. The last resort is silence.
        """
        try:
            self._report(_shown(listener), type(event).__name__ if event is not None else "an event", error)
        except Exception:
            return

    def _report(self, listener: str, what: str, error: BaseException) -> None:
        if self.lines is None:
            _fallback("listener %s failed on %s", listener, what, exc_info=error)
            return
        try:
            keys: dict[str, object] = {"listener": listener, "event_type": what, "error": _shown(error)}
            self.lines.write("error", "circuit breaker listener failed", keys)
        except Exception as failure:
            if not self._logger_failed:
                self._logger_failed = True
                _fallback("the logger failed on %s (reported once): %s", what, _shown(failure))

    def renew_after_fork(self) -> None:
        """In a forked child: a lock held by a thread of the parent would never be released."""
        self._lock = threading.RLock()


def _shown(thing: object) -> str:
    try:
        return repr(thing)
    except Exception:
        return f"<{type(thing).__name__}>"


def _fallback(message: str, *args: object, exc_info: BaseException | None = None) -> None:
    import logging

    logging.getLogger("breaker").error(message, *args, exc_info=exc_info)
