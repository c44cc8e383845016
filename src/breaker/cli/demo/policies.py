"""The demo's policies: a few JSON documents, in a directory or in etcd, that are edited while the breakers run."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Protocol

from breaker import BreakerError, Config
from breaker.sources import EtcdSource, FileSource, PolicySource


class DemoPolicies(Protocol):
    """Where the demo's documents are."""

    path: str

    @property
    def source(self) -> PolicySource:
        """What the provider reads them from."""
        ...

    def place(self, name: str) -> str:
        """Where the document of the breaker ``name`` is, or of all others for ``default``."""
        ...

    def edit(self, name: str, field: str, value: object) -> None:
        """Set one field of a document, as an operator would.

        Raises ``OSError`` or ``SourceError`` when it cannot be read or written, ``ValueError`` when it is no object.
        """

    def restore(self) -> None:
        """Put back what ``edit`` changed, except where somebody has changed the document since."""


class PolicyDirectory:
    """The documents of one service below ``root``, at ``root`` + ``config.policies_path`` + ``{name}.json``.

    Creating it makes the directory and writes the documents of ``initial`` that are not there; existing ones
    are kept as they are. Raises ``OSError`` when the directory cannot be made or written to.
    """

    def __init__(
        self, root: Path, config: Config, initial: dict[str, dict[str, object]], poll_interval: float = 0.5
    ) -> None:
        self.source = FileSource(root, poll_interval)
        self._directory = root / config.policies_path.strip("/")
        self.path = str(self._directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        # Tried rather than asked for: os.access says yes to root on a read-only file system.
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix=".", suffix=".new"):
            pass
        self._edited: dict[Path, tuple[bytes, bytes]] = {}
        for name, document in initial.items():
            file = self.file(name)
            if not os.path.lexists(file):
                _replace(file, _encode(document))

    def file(self, name: str) -> Path:
        """The document of the breaker ``name``, or of all others for ``default``."""
        return self._directory / f"{name}.json"

    def place(self, name: str) -> str:
        return str(self.file(name))

    def edit(self, name: str, field: str, value: object) -> None:
        file = self.file(name).resolve()  # a link stays a link
        before = file.read_bytes()
        after = _with_field(before, field, value)
        _replace(file, after)
        first, _ = self._edited.get(file, (before, after))
        self._edited[file] = (first, after)

    def restore(self) -> None:
        for file, (before, after) in self._edited.items():
            with contextlib.suppress(OSError):
                if file.read_bytes() == after:
                    _replace(file, before)
        self._edited.clear()


class PolicyKeys:
    """The documents of one service in etcd, as keys below ``config.policies_path``.

    Creating it puts the documents of ``initial`` that are not there. Raises ``SourceError`` when etcd cannot be reached
    or refuses, ``ValueError`` for endpoints that are none.
    """

    def __init__(self, endpoints: str, config: Config, initial: dict[str, dict[str, object]]) -> None:
        self.source = EtcdSource(endpoints, policies_path=config.policies_path)
        self.path = config.policies_path
        self._edited: dict[str, tuple[bytes, bytes]] = {}
        present = self.source.list()
        for name, document in initial.items():
            if name not in present:
                self.source.put(name, _encode(document))

    def place(self, name: str) -> str:
        return f"{self.path}{name}.json"

    def edit(self, name: str, field: str, value: object) -> None:
        stored = self.source.list()[name]
        after = _with_field(stored.document, field, value)
        self.source.put(name, after, expected_revision=stored.revision)
        first, _ = self._edited.get(name, (stored.document, after))
        self._edited[name] = (first, after)

    def restore(self) -> None:
        with contextlib.suppress(BreakerError):
            present = self.source.list()
            for name, (before, after) in self._edited.items():
                if name in present and present[name].document == after:
                    self.source.put(name, before, expected_revision=present[name].revision)
        self._edited.clear()


def _with_field(text: bytes, field: str, value: object) -> bytes:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return _encode({**document, field: value})


def _encode(document: dict[str, object]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _replace(file: Path, content: bytes) -> None:
    """Write a new file and rename it over the old one: a reader sees the old text or the new, never a part.

    The new file's name does not end in ``.json``, so it is no policy document while it is being written.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(name, 0o644)  # mkstemp's 0600 would hide the policy from a service of another user
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
