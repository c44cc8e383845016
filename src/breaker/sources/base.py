"""The contracts of a source of policy documents: with the provider that reads, and with the programs that write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from breaker.policies.documents import Document as Document
from breaker.policies.documents import Unreadable as Unreadable
from breaker.policies.policy import Policy

Given = bytes | str | Policy | Mapping[str, object]  # a document as a program writes it
Revision: TypeAlias = int | str
"""A revision of a document, as its store counts: to be compared and handed back, and nothing else."""
ABSENT: Final = 0
"""As ``expected_revision``: the document must not exist."""


class SourceStatus(NamedTuple):
    """How a provider's source is (`Provider.source_status`).

    Attributes:
        connected: Policies can be read now.
        endpoint: The server, or where else the documents are from.
        revision: Of the last publication, as the source counts.
        last_change: When documents changed last, in seconds since 1970; None: they never did.
        last_error: The last problem, also after it has ended.
        reconnects: How often a connection was made anew.

    .. versionadded:: 0.1
    """

    connected: bool
    endpoint: str | None
    revision: int
    last_change: float | None
    last_error: str | None
    reconnects: int


class Watch(Protocol):
    """What a source is given: where to look, and whom to notify. Made by the provider.

    Thread safety:
        All of it may be called from any thread.

    .. versionadded:: 0.1
    """

    path: str

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        """Say what all documents are now: file name (``http:payment-api.json``) → raw document.

        Applied when it returns.

        Args:
            documents: All of them, by file name.
            revision: Grows with each change; a publication with a lower one than the last is dropped.
            restarted: The source's own count began anew, so a lower revision is taken.
        """

    def connected(self, endpoint: str) -> None:
        """Say which server (or place) the next publications come from. Call it for every new connection.

        What was reported by `failed` has ended with the publication after it.

        Args:
            endpoint: As `SourceStatus` shows it.
        """

    def run(self, loop: Callable[[], None]) -> None:
        """Run a loop in the provider's one daemon thread.

        Args:
            loop: Returns soon after `wait` has answered True.
        """

    def wait(self, seconds: float) -> bool:
        """Sleep.

        Args:
            seconds: At most.
        Returns:
            Whether the provider is closed.
        """
        ...

    def now(self) -> float:
        """The time in monotonic seconds. A source reads no other clock, so that a test can bring its own."""
        ...

    def wall_time_ns(self) -> int:
        """Nanoseconds since 1970, to be compared with times that the place of the documents gave them."""
        ...

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        """Say that the source cannot be read, where, and how to mend it.

        Args:
            problem: The text that is logged.
            kind: Reported once for each, until the source is `connected` and publishes; None: once for each text.
            endpoint: The server or directory.
            soon: It may mend itself at any moment, so a provider that is being made goes on waiting for its first
                documents.
        """

    def warn(self, message: str, **keys: object) -> None:
        """Log a warning.

        Args:
            message: The line.
            keys: What goes with it.
        """

    def info(self, message: str, **keys: object) -> None:
        """Log what an operator may want to know and nobody has to mend.

        Args:
            message: The line.
            keys: What goes with it.
        """


@runtime_checkable
class PolicySource(Protocol):
    """Anything that publishes policy documents. One source may serve several providers.

    A class that derives from this needs two methods, `start` and `stop`; docs/architecture.md shows one. A class that
    does not derive from it needs all four.

    .. versionadded:: 0.1
    """

    def start(self, watch: Watch) -> None:
        """Begin to publish, without waiting for anything slow (that belongs into ``watch.run``).

        Args:
            watch: Where to look and whom to notify.
        """

    def stop(self, watch: Watch) -> None:
        """Publish no more. Called once, from any thread, also from one that publishes.

        Args:
            watch: The one that `start` was given.
        """

    def after_fork(self) -> None:
        """In a forked child, before `start` is called again: give up what belonged to the parent's threads.

        Nothing, unless a source says otherwise: `start` begins anew.
        """

    def location(self, path: str, key: str) -> str:
        """How an error names a document: what its reader would open. The key below the path, by default.

        Args:
            path: Of the provider's documents.
            key: The file name below it.
        """
        return path + key


class StoredPolicy(NamedTuple):
    """A document as a store has it.

    Args:
        name: Of the breaker, or ``"default"``.
        document: The text; empty where it cannot be read. Of one that is too long to be valid, the beginning.
        revision: Of its last change, for ``expected_revision``.
        policy: What the document says, with the package's values for fields that it leaves out; None if it is not
            valid.
        error: Why ``policy`` is None, with the place of the document; None if it is valid.

    .. versionadded:: 0.1
    """

    name: str
    document: bytes
    revision: Revision
    policy: Policy | None
    error: str | None


@runtime_checkable
class PolicyStore(Protocol):
    """Policy documents that programs write: `MemorySource`, `FileSource`, `EtcdSource`.

    A store is written to whether a provider follows it or not. What is written is valid: running programs are shown no
    document that they would have to refuse. Documents that others have written may be anything, and `list` shows them.

    Each document has a revision. Its type is the store's own: a number that grows (memory, etcd) or a text made of the
    contents (files; the same contents have the same revision). ``expected_revision`` makes a change conditional: it is
    made only if the document still is the one that was read. Only etcd compares and writes in one step for all
    programs; `MemorySource` does so for its own, and `FileSource` for those that share the object.

    Thread safety: every method may be called from any thread.

    .. versionadded:: 0.1
    """

    def put(self, name: str, policy: Given, *, expected_revision: Revision | None = None) -> Revision:
        """Write the document of one breaker, if the whole of it is valid.

        Args:
            name: Of the breaker; ``"default"`` for all others.
            policy: A `Policy` (all its fields are written), a mapping with a document's keys, or JSON text.
            expected_revision: Write only if this is the document's revision; `ABSENT` (0): only if there is no
                document. None: in any case.

        Returns:
            The revision of the new document.

        Raises:
            PolicyError: The document is not valid, or has a field that no policy has.
            RevisionConflict: The document has another revision than expected.
            SourceError: The store cannot be reached or does not let itself be written to.
            TypeError: An argument is of a wrong kind.
            ValueError: The name may name no breaker, or it is not clear which policies path is meant.
        """
        ...

    def delete(self, name: str, *, expected_revision: Revision | None = None) -> bool:
        """Remove the document of one breaker.

        Args:
            name: As for `put`.
            expected_revision: As for `put`.

        Returns:
            Whether there was one.

        Raises:
            RevisionConflict: As for `put`; `SourceError`, `TypeError` and `ValueError` too.
        """
        ...

    def list(self) -> dict[str, StoredPolicy]:
        """All documents by name, in the order of their keys; those that are not valid too.

        Raises:
            SourceError: The store cannot be reached or does not let itself be read.
            ValueError: It is not clear which policies path is meant.
        """
        ...
