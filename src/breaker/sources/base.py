"""The contract between a provider and a source of policy documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from breaker.policies.documents import Document as Document
from breaker.policies.documents import Unreadable as Unreadable
from breaker.policies.names import DEFAULT_NAME, SUFFIX, check_name, document_key
from breaker.policies.policy import Policy

Given = bytes | str | Policy | Mapping[str, object]  # a document as a program writes it


def document_key_of(name: str) -> str:
    """The key of a breaker's document, or of ``"default"``. Raises `TypeError` or `ValueError` for no such name."""
    if name == DEFAULT_NAME:
        return DEFAULT_NAME + SUFFIX
    check_name(name)
    return document_key(name)


def raw_document(document: Given) -> bytes | str:
    """The JSON text of a document. Raises `TypeError` for what cannot be one."""
    if isinstance(document, Policy):
        return document.to_json()
    if isinstance(document, bytes | str):
        return document
    if isinstance(document, bytearray | memoryview):
        return bytes(document)
    if isinstance(document, Mapping):
        return json.dumps(dict(document))
    raise TypeError(f"a document is JSON text, a mapping or a Policy, got {type(document).__name__}")


class SourceStatus(NamedTuple):
    """How a provider's source is (`Provider.source_status`).

    ``connected``: policies can be read now; ``endpoint``: the server, or where else the documents are from;
    ``revision``: of the last publication, as the source counts; ``last_change``: when documents changed last, seconds
    since 1970, None: they never did; ``last_error``: the last problem, also after it has ended; ``reconnects``: how
    often a connection was made anew.
    """

    connected: bool
    endpoint: str | None
    revision: int
    last_change: float | None
    last_error: str | None
    reconnects: int


class Watch(Protocol):
    """What a source is given: where to look, and whom to tell. Made by the provider; safe from any thread."""

    path: str

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        """Say what all documents are now: file name (``http:payment-api.json``) → raw document.

        Applied when it returns. ``revision`` grows with each change; a publication with a lower one than the last is
        dropped, unless the source's own count began anew (``restarted``).
        """

    def connected(self, endpoint: str) -> None:
        """Say which server (or place) the next publications come from. Each call is a connection anew.

        What was told by `failed` has ended with the publication after it.
        """

    def run(self, loop: Callable[[], None]) -> None:
        """Run ``loop`` in the provider's one daemon thread. It returns soon after `wait` has answered True."""

    def wait(self, seconds: float) -> bool:
        """Sleep, at most this long; True: the provider is closed."""
        ...

    def now(self) -> float:
        """The time in monotonic seconds. A source reads no other clock, so that a test can bring its own."""
        ...

    def wall_time_ns(self) -> int:
        """Nanoseconds since 1970, to be compared with times that the place of the documents gave them."""
        ...

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        """Say that the source cannot be read, where, and how to mend it.

        Told once for each ``kind`` (None: each text) until the source is `connected` and publishes. ``soon``: it may
        mend itself at any moment, so a provider that is being made goes on waiting for its first documents.
        """

    def warn(self, message: str, **keys: object) -> None:
        """Log a warning."""


@runtime_checkable
class PolicySource(Protocol):
    """Anything that publishes policy documents. One source may serve several providers."""

    def start(self, watch: Watch) -> None:
        """Begin to publish to ``watch``, without waiting for anything slow (that belongs into ``watch.run``)."""

    def stop(self, watch: Watch) -> None:
        """Publish no more to ``watch``. Called once, from any thread, also from one that publishes."""

    def after_fork(self) -> None:
        """In a forked child, before `start` is called again: give up what belonged to the parent's threads."""

    def location(self, path: str, key: str) -> str:
        """How an error names the document ``key`` below ``path``: what its reader would open."""
        ...
