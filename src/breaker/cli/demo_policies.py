"""The demo's policy directory: a small tree of JSON documents that are edited while the breakers run."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from breaker import Config


class PolicyDirectory:
    """The documents of one service below ``root``, at ``root`` + ``config.policies_path`` + ``{name}.json``.

    Creating it makes the directory and writes the documents of ``initial`` that are not there; existing ones
    are kept as they are. Raises ``OSError`` when the directory cannot be made or written to.
    """

    def __init__(self, root: Path, config: Config, initial: dict[str, dict[str, object]]) -> None:
        self.root = root
        self.path = root / config.policies_path.strip("/")
        self.path.mkdir(parents=True, exist_ok=True)
        # Tried rather than asked for: os.access says yes to root on a read-only file system.
        with tempfile.NamedTemporaryFile(dir=self.path, prefix=".", suffix=".new"):
            pass
        self._edited: dict[Path, tuple[bytes, bytes]] = {}
        for name, document in initial.items():
            file = self.file(name)
            if not os.path.lexists(file):
                _replace(file, _encode(document))

    def file(self, name: str) -> Path:
        """The document of the breaker ``name``, or of all others for ``default``."""
        return self.path / f"{name}.json"

    def edit(self, name: str, field: str, value: object) -> None:
        """Set one field of a document, as an operator would: the file is replaced in one step.

        Raises ``OSError`` when it cannot be read or written, ``ValueError`` when it is not a JSON object.
        """
        file = self.file(name).resolve()  # a link stays a link
        before = file.read_bytes()
        document = json.loads(before)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        after = _encode({**document, field: value})
        _replace(file, after)
        first, _ = self._edited.get(file, (before, after))
        self._edited[file] = (first, after)

    def restore(self) -> None:
        """Put back what ``edit`` changed, except where somebody has changed the file since."""
        for file, (before, after) in self._edited.items():
            with contextlib.suppress(OSError):
                if file.read_bytes() == after:
                    _replace(file, before)
        self._edited.clear()


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
