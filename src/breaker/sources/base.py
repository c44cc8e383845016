"""The contract between a provider and a source of policy documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable


class Unreadable(NamedTuple):
    """Stands for a document that exists and cannot be read: the last good one stays, and the reason is told."""

    reason: str


Document = bytes | str | Unreadable


class Feed(Protocol):
    """What a source is given: where to look, and whom to tell. Made by the provider; safe from any thread."""

    path: str

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        """Say what all documents are now: file name (``http:payment-api.json``) → raw document.

        Applied when it returns. ``revision`` grows with each change; a publication with a lower one than the last is
        dropped, unless the source's own count began anew (``restarted``).
        """

    def run(self, loop: Callable[[], None]) -> None:
        """Run ``loop`` in the provider's one daemon thread. It returns soon after `wait` has answered True."""

    def wait(self, seconds: float) -> bool:
        """Sleep, at most this long; True: the provider is closed."""
        ...

    def failed(self, problem: str) -> None:
        """Say that the source cannot be read, and how to mend it. Logged once until the next publication."""

    def warn(self, message: str, **keys: object) -> None:
        """Log a warning."""


@runtime_checkable
class PolicySource(Protocol):
    """Anything that publishes policy documents. One source may serve several providers."""

    def start(self, feed: Feed) -> None:
        """Begin to publish to ``feed``, without waiting for anything slow (that belongs into ``feed.run``)."""

    def stop(self, feed: Feed) -> None:
        """Publish no more to ``feed``. Called once, from any thread, also from one that publishes."""

    def after_fork(self) -> None:
        """In a forked child, before `start` is called again: give up what belonged to the parent's threads."""

    def location(self, path: str, key: str) -> str:
        """How an error names the document ``key`` below ``path``: what its reader would open."""
        ...
