"""One structlog line per event, and the JSON configuration for programs that want exactly ours.

A library configures nothing: `configure_json` is the program's to call. A call that succeeds logs nothing.
"""

from __future__ import annotations

import sys

from breaker.events import (
    BreakerCreated,
    CallFailed,
    ModeChanged,
    PolicyRejected,
    PolicyUpdated,
    ProbeLost,
    SourceLost,
    SourceRegained,
    StateChanged,
    WouldHaveOpened,
)
from breaker.states import Mode, State

__all__ = ["configure_json", "log_listener"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import Any, TextIO

    from breaker.events import Event


def log_listener(logger: Any) -> Callable[[Event], None]:
    """A listener that logs each event, one line for each; `Provider` subscribes it for its ``logger``.

    Args:
        logger: A structlog logger, which is not bound further: that would freeze a configuration that the program may
            still make.

    .. versionadded:: 0.1
    """

    def log(event: Event) -> None:
        level, message, keys = _LINES[type(event)](event)
        getattr(logger, level)(message, **keys)

    return log


def configure_json(stream: TextIO | None = None, level: str = "info", *, timestamps: bool = False) -> None:
    """Configure structlog for one JSON object per line: ``{"level": …, "msg": …, "name": …, …}``.

    Call it once, at the program's start: the library itself configures nothing.

    Args:
        stream: Where lines go; None: standard output, as it is when a line is written.
        level: The lowest level that is written; ``"debug"`` includes each failed operation.
        timestamps: Add ``"time"`` to each line, in UTC, ISO 8601.

    Raises:
        ValueError: A level that does not exist.

    .. versionadded:: 0.1
    """
    import logging

    import structlog

    number = logging.getLevelNamesMapping().get(str(level).upper())
    if not number:
        raise ValueError(f"level must be one of debug, info, warning, error, critical, got {level!r}")
    processors: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    if timestamps:
        processors.append(structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"))
    processors += [structlog.processors.format_exc_info, _level_and_message_first, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _LineWriter(stream),
        cache_logger_on_first_use=False,
    )


class _LineWriter:
    """Writes each line in one piece.

    Without a lock, unlike structlog's: one that another thread holds while the process forks stays held in the child,
    and the first line that a breaker logs there would hang its call.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        stream = self._stream or sys.stdout
        stream.write(line + "\n")
        stream.flush()

    debug = info = warn = warning = error = critical = fatal = exception = log = msg


def _level_and_message_first(_: Any, __: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    message = line.pop("event")
    return {"level": line.pop("level"), "msg": message, **line}


_LogLine = tuple[str, str, dict[str, object]]


def _state_changed(event: StateChanged) -> _LogLine:
    keys = {
        "name": event.name,
        "from": str(event.from_state),
        "to": str(event.to_state),
        "reason": event.reason,
        "failures": event.consecutive_failures,
        "retry_after": event.retry_after,
    }
    opened = event.to_state is State.OPEN
    if opened and event.last_error is not None:
        keys["error"] = event.last_error
    return "warning" if opened else "info", "circuit breaker state changed", keys


def _mode_changed(event: ModeChanged) -> _LogLine:
    keys: dict[str, object] = {"name": event.name, "from": str(event.from_mode), "to": str(event.to_mode)}
    return "info" if event.to_mode is Mode.AUTO else "warning", "circuit breaker mode changed", keys


def _policy_updated(event: PolicyUpdated) -> _LogLine:
    changed = {key: list(values) for key, values in event.old.differences(event.new).items()}
    keys = {"name": event.name, "changed": changed, "revision": event.revision}
    return "info", "circuit breaker policy updated", keys


def _source(event: SourceLost | SourceRegained) -> dict[str, object]:
    return {} if event.endpoint is None else {"endpoint": event.endpoint}


_LINES: dict[type, Callable[[Any], _LogLine]] = {
    BreakerCreated: lambda e: ("info", "circuit breaker created", {"name": e.name, "policy": e.policy.document()}),
    StateChanged: _state_changed,
    ModeChanged: _mode_changed,
    PolicyUpdated: _policy_updated,
    PolicyRejected: lambda e: (
        "error",
        "circuit breaker policy rejected",
        {"key": e.key, "error": e.error, "revision": e.revision},
    ),
    CallFailed: lambda e: ("debug", "operation failed", {"name": e.name, "error": e.error}),
    WouldHaveOpened: lambda e: (
        "warning",
        "circuit breaker would have opened",
        {"name": e.name, "failures": e.consecutive_failures},
    ),
    ProbeLost: lambda e: ("warning", "circuit breaker probe lost", {"name": e.name}),
    SourceLost: lambda e: ("error", "circuit breaker policy source failed", _source(e) | {"error": e.error}),
    SourceRegained: lambda e: (
        "info",
        "circuit breaker policy source is back",
        _source(e) | {"revision": e.revision},
    ),
}
