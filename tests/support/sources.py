"""A source that the test plays."""

from collections.abc import Callable
from typing import Any

from breaker.sources.base import Watch
from support.drive import NAME, document


class Handmade:
    """A source of a program's own: it publishes when the test says so, or from a loop in the provider's thread."""

    def __init__(self, loop: Callable[[Watch], Any] | None = None) -> None:
        self.loop = loop
        self.watches: list[Watch] = []
        self.stopped: list[Watch] = []

    def start(self, watch: Watch) -> None:
        self.watches.append(watch)
        if (loop := self.loop) is not None:
            watch.run(lambda: loop(watch))

    def stop(self, watch: Watch) -> None:
        self.stopped.append(watch)

    def after_fork(self) -> None:
        """Nothing belongs to a thread."""

    def location(self, path: str, key: str) -> str:
        return f"center:{path}{key}"


def document_of(threshold: int) -> dict[str, bytes]:
    return {f"{NAME}.json": document(failureThreshold=threshold)}
