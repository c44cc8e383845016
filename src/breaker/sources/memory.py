"""Policies held in the program: for tests, and for programs that get them in a way of their own."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from breaker.sources.base import Document, Given, Watch, document_key_of, raw_document


class MemorySource:
    """A source whose documents are put and deleted by the program, by breaker name (``"default"``: all others).

    A document is raw JSON (bytes or text), a mapping with a document's keys, or a `Policy`. It is validated as any
    document is: what is wrong with it is logged, not raised. Raises `TypeError` and `ValueError` for a wrong name.
    """

    def __init__(self, documents: Mapping[str, Given] | None = None) -> None:
        self._lock = threading.RLock()
        self._watches: tuple[Watch, ...] = ()
        self._documents: dict[str, Document] = {}
        self._revision = 0
        for name, document in (documents or {}).items():
            self._documents[document_key_of(name)] = raw_document(document)

    def put(self, name: str, document: Given) -> None:
        """Set a document. Applied when this returns."""
        key, raw = document_key_of(name), raw_document(document)
        with self._lock:
            self._documents[key] = raw
            self._revision += 1
        self._publish()

    def delete(self, name: str) -> None:
        """Remove a document; one that does not exist is no error. Applied when this returns."""
        key = document_key_of(name)
        with self._lock:
            self._documents.pop(key, None)
            self._revision += 1
        self._publish()

    def start(self, watch: Watch) -> None:
        with self._lock:
            alive = (other for other in self._watches if not other.wait(0))  # not of a provider that was dropped
            self._watches = (*alive, watch)
            documents, revision = dict(self._documents), self._revision
        watch.publish(documents, revision)

    def stop(self, watch: Watch) -> None:
        with self._lock:
            self._watches = tuple(other for other in self._watches if other is not watch)

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def location(self, path: str, key: str) -> str:
        return path + key

    def _publish(self) -> None:
        # Outside the lock: listeners run in here. Of two that cross, the older is dropped by its revision.
        with self._lock:
            documents, revision, watches = dict(self._documents), self._revision, self._watches
        for watch in watches:
            watch.publish(documents, revision)
