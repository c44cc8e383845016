"""The demo's policies: a few documents in a store, edited while the breakers run and put back at the end."""

from __future__ import annotations

import contextlib
import json

from breaker.config import Config
from breaker.errors import BreakerError
from breaker.policies.names import document_key
from breaker.sources import EtcdSource, FileSource


class DemoPolicies:
    """The documents of one service, in a directory or in etcd.

    Args:
        store: What the provider follows too.
        config: Says where the documents are.
        initial: Documents that are written where there is none; existing ones are kept as they are.

    Raises:
        SourceError: The store cannot be read or written.
    """

    def __init__(self, store: FileSource | EtcdSource, config: Config, initial: dict[str, dict[str, object]]) -> None:
        self.store = store
        self._path = config.policies_path
        self._edited: dict[str, tuple[bytes, bytes]] = {}  # name → first text, last text
        present = store.list()
        for name, document in initial.items():
            if name not in present:
                store.put(name, _encode(document))

    @property
    def path(self) -> str:
        """Where all documents are."""
        return self.store.location(self._path, "")

    def place(self, name: str) -> str:
        """Where the document of the breaker ``name`` is, or of all others for ``default``."""
        return self.store.location(self._path, document_key(name))

    def edit(self, name: str, field: str, value: object) -> None:
        """Set one field of a document, as an operator would.

        Raises:
            ValueError: The document is not there, is not valid, or would not be valid (`PolicyError`).
            SourceError: It cannot be read or written, or has changed meanwhile.
        """
        stored = self.store.list().get(name)
        if stored is None or stored.policy is None:
            raise ValueError(f"{self.place(name)} is not there" if stored is None else stored.error)
        after = _encode({**json.loads(stored.document), field: value})
        self.store.put(name, after, expected_revision=stored.revision)
        first, _ = self._edited.get(name, (stored.document, after))
        self._edited[name] = (first, after)

    def restore(self) -> None:
        """Put back what `edit` changed, except where somebody has changed the document since."""
        with contextlib.suppress(BreakerError):
            present = self.store.list()
            for name, (before, after) in self._edited.items():
                if name in present and present[name].document == after:
                    self.store.put(name, before, expected_revision=present[name].revision)
        self._edited.clear()


def _encode(document: dict[str, object]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
