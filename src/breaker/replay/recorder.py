"""The recorder: every call of a provider's breakers, or a share of them, as lines in a file.

The core keeps the calls, a thread fetches them ten times a second and writes them. While a breaker is recorded its
calls take the lock and the clock; without a recorder nothing is paid.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from breaker._core import Breaker, read_clock, record_calls, recorded_calls
from breaker.events import BreakerCreated, Event
from breaker.provider import Provider
from breaker.replay.calls import write_call, write_head, write_lost

_ROOM = 4096  # calls of one breaker between two looks: 40,000 a second
_INTERVAL = 0.1  # seconds

_recordings: weakref.WeakSet[Recording] = weakref.WeakSet()
_adding = threading.RLock()  # of that set, while it is looked at and added to


def record(
    provider: Provider, path: str | os.PathLike[str], *, share: float = 1.0, max_bytes: int = 100_000_000
) -> Recording:
    """Record the calls of all breakers of a provider, those to come too, until it is closed.

    Args:
        provider: whose breakers.
        path: the file, which must not exist. Its lines are those of docs/replay.md.
        share: the share of the calls that is kept, by chance: above 0, at most 1. A rule for failures in a row sees a
            share of each row only; rates keep their value.
        max_bytes: the recording ends before the file is larger than that.

    Returns:
        A `Recording`. Close it, or use it in a ``with`` statement; the end of the program closes it too.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a number out of range; a provider that is being recorded already.
        OSError: the file cannot be made; `FileExistsError`: it exists. What the provider's clock raises comes through.
            Nothing is recorded then, and no file is left.

    Thread safety:
        Calls of any number of threads are recorded. A forked child records nothing.

    .. versionadded:: 0.1
    """
    if not isinstance(provider, Provider):
        got = f"the class {provider.__name__}" if isinstance(provider, type) else type(provider).__name__
        raise TypeError(f"record takes a breaker.Provider, got {got}")
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise TypeError(f"share must be a number above 0, at most 1, got {type(share).__name__}")
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0, at most 1, got {share!r}")
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int):
        raise TypeError(f"max_bytes must be a whole number of bytes, got {type(max_bytes).__name__}")
    if max_bytes < 1000:
        raise ValueError(f"max_bytes must be 1000 or more, got {max_bytes}")
    recording = Recording(provider, os.fsdecode(path), float(share), max_bytes)
    with _adding:
        if any(other.provider is provider and not other.closed for other in _recordings):
            raise ValueError("this provider is being recorded already; close that recording first")
        _recordings.add(recording)
    try:
        recording._start()
    except BaseException:
        recording._abandon()
        raise
    return recording


class Recording:
    """What `record` makes.

    Attributes:
        provider: whose calls are recorded.
        path: the file.
        calls: how many are in the file.
        lost: how many had to be left out, more than 40,000 a second of one breaker.
        closed: whether it has ended.
        problem: why it ended by itself: the file is full, or could not be written; or why it did not end as it should.
            Empty: nothing of that.
    """

    def __init__(self, provider: Provider, path: str, share: float, max_bytes: int) -> None:
        self.provider = provider
        self.path = path
        self.calls = 0
        self.lost = 0
        self.closed = False
        self.problem = ""
        self._share = share
        self._room = max_bytes
        self._lock = threading.RLock()  # of the file and of `_breakers`; re-entrant: a finalizer may make a breaker
        self._breakers: dict[Breaker, str] = {}  # being recorded, and their names as JSON
        self._end = threading.Event()
        self._begun = 0
        self._file = -1
        self._unsubscribe: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="breaker-recorder", daemon=True)

    def _start(self) -> None:
        self._begun = read_clock(self.provider._clock)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        self._write(write_head(self.provider.config.service_name, datetime.now(UTC), self._share))
        self._unsubscribe = self.provider.subscribe(self._notice)
        for breaker in list(self.provider.breakers.values()):
            self._begin(breaker)
        self._thread.start()
        atexit.register(self.close)

    def close(self) -> None:
        """Write what is left and end. Calling it again does nothing."""
        self._end.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self.path!r} {'closed' if self.closed else 'open'}, {self.calls} calls>"

    def _notice(self, event: Event) -> None:
        if isinstance(event, BreakerCreated) and (breaker := self.provider.breakers.get(event.name)) is not None:
            self._begin(breaker)

    def _begin(self, breaker: Breaker) -> None:
        with self._lock:
            if self.closed or breaker in self._breakers:
                return
            self._breakers[breaker] = json.dumps(breaker.name)
        record_calls(breaker, _ROOM, self._share)  # outside of the lock: it reads the program's clock
        if self.closed:
            record_calls(breaker, 0)

    def _run(self) -> None:
        while not self._end.wait(_INTERVAL) and not self.problem:
            self._fetch()
        self._finish()

    def _fetch(self) -> None:
        present = self.provider.breakers
        for breaker, quoted in list(self._breakers.items()):
            removed = present.get(breaker.name) is not breaker
            self._write_calls(breaker, quoted)
            if removed and self._stop(breaker):
                with self._lock:
                    self._breakers.pop(breaker, None)

    def _write_calls(self, breaker: Breaker, quoted: str) -> None:
        with self._lock:
            calls, lost = recorded_calls(breaker)
            if self.problem or self.closed or not (calls or lost):
                return
            lines = [write_call(began - self._begun, quoted, took, outcome) for began, took, outcome in calls]
            if lost:
                lines.append(write_lost(lost, quoted))
            if self._write("".join(lines)):
                self.calls += len(calls)
                self.lost += lost

    def _write(self, text: str) -> bool:
        data = text.encode()
        if len(data) > self._room:
            self.problem = f"the recording has reached its max_bytes; {self.path} ends here"
            return False
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self.problem = f"{self.path} cannot be written: {error.strerror}"
            return False
        self._room -= len(text.encode())
        return True

    def _finish(self) -> None:
        self._unsubscribe()
        self._fetch()
        with self._lock:
            if self.closed:
                return
            self.closed = True
        self._release()
        if self.problem:
            self.provider._listeners.log("warning", "recording of calls ended", reason=self.problem)

    def _release(self) -> None:
        """Let go of all that it has; nobody writes any more."""
        self._unsubscribe()
        for breaker in list(self._breakers):
            self._stop(breaker)
        if self._file >= 0:
            os.close(self._file)
        atexit.unregister(self.close)

    def _stop(self, breaker: Breaker) -> bool:
        """Whether its calls are not kept any more."""
        try:
            record_calls(breaker, 0)
        except Exception as error:  # the program's clock, which is read for it
            if self.closed:
                self.problem = self.problem or f"calls of {breaker.name!r} stay slower, for the clock raised {error!r}"
            return False
        return True

    def _abandon(self) -> None:
        """It could not be started."""
        self.closed = True
        self._release()
        if self._file >= 0:
            os.unlink(self.path)

    def _forget(self) -> None:
        """In a forked child: the file is the parent's, and nobody fetches."""
        self._lock = threading.RLock()
        self.closed = True
        self._release()


def _after_fork_in_child() -> None:
    global _adding
    _adding = threading.RLock()
    for recording in list(_recordings):
        if not recording.closed:
            recording._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
