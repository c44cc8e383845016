"""One line per event, through structlog or ``logging``, and the JSON configuration for programs that want exactly ours.

A library configures nothing: `configure_json` is the program's to call. A call that succeeds logs nothing.
"""

from __future__ import annotations

import io
import os
import sys

from breaker.events import (
    BreakerCreated,
    CallFailed,
    ModeChanged,
    PolicyRejected,
    PolicyUpdated,
    ProbeOverdue,
    SourceLost,
    SourceRegained,
    StateChanged,
    UnknownFields,
    WouldHaveOpened,
)
from breaker.states import Mode, State

__all__ = ["LineLog", "configure_json", "log_listener"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import Any, TextIO

    from breaker.events import Event


def log_listener(logger: Any, service: str = "") -> Callable[[Event], None]:
    """A listener that logs each event, one line for each; `Provider` subscribes it for its ``logger``.

    Args:
        logger: A structlog logger, which is not bound further: that would freeze a configuration that the program may
            still make. Or a `logging.Logger`, see `Provider`.
        service: The key ``service`` of each line.

    .. versionadded:: 0.1
    """
    return LineLog(logger, service)


class LineLog:
    """A logger, whatever kind it is: what ``Listeners`` write through, and a listener that writes each event.

    Args:
        logger: A structlog logger, or one of the standard library.
        service: The key ``service`` of each line.
    """

    def __init__(self, logger: Any, service: str) -> None:
        import logging

        self._logger = logger
        self._service = service
        self._adapters = logging.LoggerAdapter
        self._is_standard = isinstance(logger, logging.Logger | logging.LoggerAdapter)
        self._renamed: dict[str, str] = {}  # keys that structlog hands on to a record that has them already

    def __call__(self, event: Event) -> None:
        if isinstance(event, UnknownFields):
            return  # one line for a revision names those of all documents
        level, message, keys = _LINES[type(event)](event)
        self.write(level, message, keys)

    def write(self, level: str, message: str, keys: dict[str, object]) -> None:
        """Write one line, with ``service`` and ``pid`` behind its keys."""
        keys = {**keys, "service": self._service, "pid": os.getpid()}
        if self._is_standard:
            self._write_record(level, message, keys)
        else:
            self._write_keys(level, message, keys)

    def _write_record(self, level: str, message: str, keys: dict[str, object]) -> None:
        """A message for people, and each key in ``extra`` under a name that no record has."""
        number = _NUMBERS[level]
        if self._logger.isEnabledFor(number):
            text = " ".join([f"{key}={_shown(value)}" for key, value in keys.items()])
            self._log(number, message, text, {_PREFIX + key: value for key, value in keys.items()})

    def _log(self, number: int, message: str, text: str, extra: dict[str, object]) -> None:
        """Log one record. An adapter adds its own to ``extra``; by itself it would put it in the place of ours."""
        logger, template = self._logger, "%s: %s"
        options: MutableMapping[str, Any] = {"extra": extra}
        while isinstance(logger, self._adapters):
            template, options = logger.process(template, options)
            options["extra"] = {**extra, **(options.get("extra") or {})}
            logger = logger.logger
        logger.log(number, template, message, text, **options)

    def _write_keys(self, level: str, message: str, keys: dict[str, object]) -> None:
        """Each key as it is; one that `logging` refuses, if structlog ends there, has another name from then on."""
        while True:
            try:
                getattr(self._logger, level)(message, **{self._renamed.get(key, key): keys[key] for key in keys})
                return
            except KeyError as refusal:
                refused = _key_of_a_record(refusal, keys)
                if refused is None or refused in self._renamed:
                    raise
                self._renamed[refused] = _PREFIX + refused


_PREFIX = "breaker_"
_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}  # of `logging`


def _shown(value: object) -> str:
    """A value as ``key=value`` shows it: quoted where it would not be seen where it ends."""
    text = str(value)
    return repr(text) if not text or not text.isprintable() or " " in text or "=" in text else text


def _key_of_a_record(refusal: KeyError, keys: dict[str, object]) -> str | None:
    """The key that `logging.Logger.makeRecord` refuses because a record has an attribute of that name."""
    return next((key for key in keys if refusal.args == (f"Attempt to overwrite {key!r} in LogRecord",)), None)


def configure_json(stream: TextIO | None = None, level: str = "info", *, timestamps: bool = False) -> None:
    """Configure structlog for one JSON object per line: ``{"level": …, "msg": …, "name": …, …}``.

    Call it once, at the program's start: the library itself configures nothing. Each line of a breaker ends in the
    keys ``service`` and ``pid``.

    Args:
        stream: Where lines go; None: standard output, as it is when a line is written. Into a file, a pipe or a
            terminal each line is written by one `os.write`, past what the program has not flushed yet.
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
    and the first line that a breaker logs there would hang its call. A stream's own buffer has such a lock too, so
    where the stream is a file the line goes past it, to the file's descriptor.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        stream = self._stream or sys.stdout
        descriptor = _descriptor_of(stream)
        if descriptor is None:
            stream.write(line + "\n")
            stream.flush()
            return
        left = (line + "\n").encode(stream.encoding, stream.errors or "strict")
        while left:  # once, but for a line that a pipe takes a part of
            left = left[os.write(descriptor, left) :]

    debug = info = warn = warning = error = critical = fatal = exception = log = msg


def _descriptor_of(stream: Any) -> int | None:
    """Where the text of a stream ends up as it is: not in what compresses it, counts it or keeps it in memory."""
    if type(stream).__module__ == "tempfile":  # a named file is in an object that deletes it
        stream = getattr(stream, "file", stream)
    if type(stream) is not io.TextIOWrapper or "\n".encode(stream.encoding) != b"\n":
        return None
    raw = getattr(stream.buffer, "raw", stream.buffer)
    return raw.fileno() if type(raw) is io.FileIO else None


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
        **_rate(event),
    }
    opened = event.to_state is State.OPEN
    if opened and event.last_error is not None:
        keys["error"] = event.last_error
    return "warning" if opened else "info", "circuit breaker state changed", keys


def _rate(event: StateChanged | WouldHaveOpened) -> dict[str, object]:
    """The rate that opened a breaker, and of how many calls."""
    if event.reason == "failure_rate":
        return {"rate": event.failure_rate, "calls": event.window_calls}
    if event.reason == "slow_call_rate":
        return {"rate": event.slow_call_rate, "calls": event.window_calls}
    return {}


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
        {"name": e.name, "failures": e.consecutive_failures, **_rate(e)},
    ),
    ProbeOverdue: lambda e: ("warning", "circuit breaker probe overdue", {"name": e.name}),
    SourceLost: lambda e: ("error", "circuit breaker policy source failed", _source(e) | {"error": e.error}),
    SourceRegained: lambda e: (
        "info",
        "circuit breaker policy source is back",
        _source(e) | {"revision": e.revision},
    ),
}
