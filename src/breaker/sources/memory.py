"""Policies held in the program: for tests, and for programs that get them in a way of their own."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from breaker.policies.names import document_name
from breaker.sources.base import ABSENT, Document, Given, Revision, StoredPolicy, Watch
from breaker.sources.stored import (
    check_expected,
    document_key_of,
    raw_document,
    refuse_conflict,
    stored_policy,
    valid_document,
)


class MemorySource:
    """A `PolicySource` and `PolicyStore` whose documents are in this program. They have names only, no path.

    Every provider that follows it has a change in force when the call that made it returns.

    Args:
        documents: What is there at first: name of a breaker (``"default"``: of all others) → JSON text, a mapping with
            a document's keys, or a `Policy`. It is taken as it is, like files that are there already: what is not
            valid is reported by the providers, and ignored.

    Raises:
        TypeError: A document is of a wrong kind, or a name is no text.
        ValueError: A name may name no breaker.

    Thread safety: every method may be called from any thread, and from listeners. A conditional change is compared and
    made in one step.

    .. versionadded:: 0.1
    """

    def __init__(self, documents: Mapping[str, Given] | None = None) -> None:
        self._lock = threading.RLock()
        self._watches: tuple[Watch, ...] = ()
        self._documents: dict[str, Document] = {}
        self._changed: dict[str, int] = {}  # key → revision of its last change
        self._revision = 0
        for name, document in (documents or {}).items():
            self._set_locked(document_key_of(name), raw_document(document))

    # -- for programs that write --

    def put(self, name: str, policy: Given, *, expected_revision: Revision | None = None) -> int:
        """Write the document of one breaker, as `PolicyStore.put` says. In force when this returns.

        The revision is a number that grows with every change of the source.
        """
        key = document_key_of(name)
        return self._write(name, key, valid_document(policy, key), expected_revision)

    def publish_raw(self, name: str, document: Given) -> int:
        """Write a document without looking at it: for tests of what a bad one does.

        Args:
            name: As for `put`.
            document: As for `put`, or any other text.

        Returns:
            The revision of the new document.

        Raises:
            TypeError: The document is of a wrong kind, or the name is no text.
            ValueError: The name may name no breaker.
        """
        return self._write(name, document_key_of(name), raw_document(document), None)

    def delete(self, name: str, *, expected_revision: Revision | None = None) -> bool:
        """Remove the document of one breaker, as `PolicyStore.delete` says. In force when this returns."""
        key = document_key_of(name)
        check_expected(expected_revision, int)
        with self._lock:
            refuse_conflict(name, expected_revision, self._changed.get(key, ABSENT))
            if key not in self._documents:
                return False
            del self._documents[key], self._changed[key]
            self._revision += 1
        self._publish()
        return True

    def list(self) -> dict[str, StoredPolicy]:
        """All documents, as `PolicyStore.list` says."""
        with self._lock:
            documents, changed = dict(self._documents), dict(self._changed)
        return {
            name: stored_policy(name, documents[key], changed[key], key)
            for key in sorted(documents)
            if (name := document_name(key)) is not None
        }

    # -- for providers --

    def start(self, watch: Watch) -> None:
        """Publish what there is, at once, and from now on every change."""
        with self._lock:
            alive = (other for other in self._watches if not other.wait(0))  # not of a provider that was dropped
            self._watches = (*alive, watch)
            documents, revision = dict(self._documents), self._revision
        watch.publish(documents, revision)

    def stop(self, watch: Watch) -> None:
        """Publish no more to ``watch``."""
        with self._lock:
            self._watches = tuple(other for other in self._watches if other is not watch)

    def after_fork(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = threading.RLock()

    def location(self, path: str, key: str) -> str:
        """The key below the provider's path: there is nothing to open."""
        return path + key

    def _write(self, name: str, key: str, document: Document, expected: Revision | None) -> int:
        check_expected(expected, int)
        with self._lock:
            refuse_conflict(name, expected, self._changed.get(key, ABSENT))
            revision = self._set_locked(key, document)
        self._publish()
        return revision

    def _set_locked(self, key: str, document: Document) -> int:
        self._revision += 1
        self._documents[key], self._changed[key] = document, self._revision
        return self._revision

    def _publish(self) -> None:
        # Outside the lock: listeners run in here. Of two that cross, the older is dropped by its revision.
        with self._lock:
            documents, revision, watches = dict(self._documents), self._revision, self._watches
        for watch in watches:
            watch.publish(documents, revision)
