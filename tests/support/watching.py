"""Waiting for what goes on elsewhere, and a logger that keeps its lines."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

OFTEN = 0.002  # seconds between two looks, so that a test takes no longer than what it waits for


def eventually(condition: Callable[..., object], seconds: float = 15) -> None:
    """Wait until the condition is true: for what a thread does that the test cannot join."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(OFTEN)


async def soon(condition: Callable[..., object], seconds: float = 15) -> None:
    """The same while the event loop goes on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(OFTEN)


class LineLogger:
    """A structlog-like logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        if level not in ("debug", "info", "warning", "error"):
            raise AttributeError(level)
        return lambda message, **keys: self.lines.append((level, message, keys))

    def of(self, message: str) -> list[dict[str, Any]]:
        """The keys of each line with this message, in order."""
        return [keys for _, said, keys in self.lines if said == message]
