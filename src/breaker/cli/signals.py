"""Stopping a command by Ctrl-C or by a service manager."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def stop_signals(*others: signal.Signals) -> Iterator[list[int]]:
    """The list gets the number of each SIGINT and SIGTERM, and of ``others``; the main loop looks at it.

    One of the others that is ignored already, as SIGHUP is after ``nohup``, stays so.

    The handler does no more than that: raising would cut the clean-up short, and setting an ``Event`` that
    the interrupted code is waiting for can deadlock.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield received
        return

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    wanted = [number for number in others if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM, *wanted)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
