"""How much of the processor following may take, whatever a server sends."""

from __future__ import annotations

import time

# Seconds of processor time that a long listing or a burst of changes may take at once, and the share of a core in the
# long run. Less would keep hundreds of real changes a second waiting for longer than people wait.
_AT_ONCE, _SHARE = 0.25, 0.08
_REST, _LONG_REST = 0.5, 30.0  # seconds at most: so that a watch is still read, and that one listing stops nothing long


class Pace:
    """Of the thread that makes it. ``now``: monotonic seconds, as in `rest`."""

    def __init__(self, now: float) -> None:
        self._credit = _AT_ONCE
        self._at = now
        self._used = time.thread_time()

    def rest(self, now: float, *, relists: bool = False) -> float:
        """How long to wait before the next piece of work, in seconds.

        ``relists``: it is a whole listing, whose cost no short rest makes up for.
        """
        used = time.thread_time()
        self._credit = min(_AT_ONCE, self._credit + _SHARE * (now - self._at)) - (used - self._used)
        self._at, self._used = now, used
        return min(_LONG_REST if relists else _REST, max(0.0, -self._credit / _SHARE))
