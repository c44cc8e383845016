"""How much of the processor following may take, whatever a server sends."""

from __future__ import annotations

import time

_SHARE = 0.1  # of a core, in the long run
_AT_ONCE = 0.5  # seconds of processor time that a long listing or a burst of changes may take beyond that
_REST = 0.5  # seconds at most, so that the loop stays awake


class Pace:
    """Of the thread that makes it. ``now``: monotonic seconds, as in `rest`."""

    def __init__(self, now: float) -> None:
        self._credit = _AT_ONCE
        self._at = now
        self._used = time.thread_time()

    def rest(self, now: float) -> float:
        """How long to wait before the next piece of work, in seconds."""
        used = time.thread_time()
        self._credit = min(_AT_ONCE, self._credit + _SHARE * (now - self._at)) - (used - self._used)
        self._at, self._used = now, used
        return min(_REST, max(0.0, -self._credit / _SHARE))
