"""Policies in files: the same tree of JSON documents as in a configuration centre, watched by looking at it.

A look is one `os.scandir` and a `stat` per document. Notification services miss the swap of a symbolic link by which
Kubernetes updates a mounted ConfigMap, and are not there on network file systems; a look misses neither.
"""

from __future__ import annotations

import os
import stat
import threading

from breaker.policies.documents import MAX_DOCUMENT_BYTES
from breaker.policies.names import NAME_HINT, SUFFIX, document_name
from breaker.sources.base import Document, Unreadable, Watch

_SETTLE = 0.02  # seconds between two looks that must agree before a change is read
_RACY = 2_000_000_000  # ns: a file this young may change again without its stamp doing so

_Stamp = tuple[int, int, int, int, int]
_NO_STAMP: _Stamp = (0, 0, 0, 0, 0)


class FileSource:
    """Documents at ``root`` + ``policies_path`` + ``{key}.json``, looked at every ``poll_interval`` seconds.

    A directory that does not exist is an empty one and may appear later. Write a document to a file beside it and
    rename it, or write it in place: a change is read once two looks in a row agree. Raises `TypeError` or `ValueError`
    for a ``root`` that is no path and for a ``poll_interval`` that is not a positive number of seconds.
    """

    def __init__(self, root: str | os.PathLike[str], poll_interval: float = 1.0) -> None:
        if isinstance(poll_interval, bool) or not isinstance(poll_interval, int | float):
            raise TypeError(f"poll_interval must be seconds, got {type(poll_interval).__name__}")
        if not 0 < poll_interval <= threading.TIMEOUT_MAX:  # false for NaN too
            raise ValueError(f"poll_interval must be a positive number of seconds, got {poll_interval}")
        self.root = os.fsdecode(root)
        if not self.root or "\0" in self.root:
            raise ValueError(f"root must be the path of a directory, got {self.root!r}; write '.' for this one")
        self.poll_interval = float(poll_interval)

    def start(self, watch: Watch) -> None:
        directory = _Directory(self.location(watch.path, ""), self.poll_interval, watch)
        watch.run(directory.loop)

    def stop(self, watch: Watch) -> None:
        """Nothing to do: the loop ends by ``watch.wait``."""

    def after_fork(self) -> None:
        """Nothing to do: the directory is forgotten with its watch."""

    def location(self, path: str, key: str) -> str:
        return self.root.rstrip("/") + path + key


class _Directory:
    """The loop over one directory, and what it saw last."""

    def __init__(self, directory: str, interval: float, watch: Watch) -> None:
        self.directory = directory
        self.interval = interval
        self.watch = watch
        self.revision = 0
        self.stamps: dict[str, _Stamp] | None = None
        self.documents: dict[str, Document] = {}
        # To be read again: so soon after a change another one may share its stamp, and what kept a document from being
        # read may end without changing it.
        self.unsure: set[str] = set()
        self.warned: set[str] = set()

    def loop(self) -> None:
        self.stamps = None  # where it broke off, if it did, is not known
        while True:
            self._look()
            if self.watch.wait(self.interval):
                return

    def _look(self) -> None:
        try:
            stamps = self._settled()
        except OSError as error:
            self.watch.failed(_explain(error, self.directory), endpoint=self.directory)
            self.stamps = None
            return
        if self.stamps is not None and stamps == self.stamps and not self.unsure:
            return
        first, before = self.stamps is None, self.documents
        if first:
            self.watch.connected(self.directory)
        self._read(stamps)
        if first or self.documents != before:
            self.revision += 1
            self.watch.publish(self.documents, self.revision, restarted=first)

    def _settled(self) -> dict[str, _Stamp]:
        stamps = self._stamps()
        if self.stamps is None:
            return stamps
        for _ in range(10):
            if stamps == self.stamps or self.watch.wait(_SETTLE):
                break
            before, stamps = stamps, self._stamps()
            if stamps == before:
                break
        return stamps

    def _stamps(self) -> dict[str, _Stamp]:
        found = {}
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.name.endswith(SUFFIX) and self._is_policy(entry.name):
                        try:
                            found[entry.name] = _stamp(entry.stat())
                        except FileNotFoundError:
                            continue  # deleted since, or a link to nothing
                        except OSError:
                            found[entry.name] = _NO_STAMP  # reading it will say why
        except FileNotFoundError:
            return {}
        return found

    def _is_policy(self, file_name: str) -> bool:
        if document_name(file_name) is not None:
            return True
        if file_name not in self.warned:
            self.warned.add(file_name)
            self.watch.warn(
                "circuit breaker policy file ignored",
                file=os.path.join(self.directory, file_name).encode(errors="backslashreplace").decode(),
                error=NAME_HINT,
            )
        return False

    def _read(self, stamps: dict[str, _Stamp]) -> None:
        old, seen = self.documents, self.stamps or {}
        now = self.watch.wall_time_ns()
        documents: dict[str, Document] = {}
        for name, stamp in stamps.items():
            if seen.get(name) == stamp and name not in self.unsure and name in old:
                documents[name] = old[name]
            elif (contents := _contents(os.path.join(self.directory, name))) is not None:
                documents[name] = contents
        self.unsure = {name for name, stamp in stamps.items() if min(abs(now - stamp[0]), abs(now - stamp[1])) < _RACY}
        self.unsure.update(name for name, document in documents.items() if isinstance(document, Unreadable))
        self.documents, self.stamps = documents, stamps


def _stamp(found: os.stat_result) -> _Stamp:
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)


def _contents(path: str) -> Document | None:
    """The document in a file, or None if it is gone."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Unreadable("it is not a regular file; put a JSON document there or remove it")
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unreadable(_explain(error, path))


def _open_at_once(path: str, flags: int) -> int:
    # Non-blocking, or a pipe that somebody put here would hold the watch for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _explain(error: OSError, path: str) -> str:
    remedy = "check that the path exists and that this program may read it"
    if isinstance(error, PermissionError):
        remedy = "give the user of this program read permission"
    elif isinstance(error, NotADirectoryError):
        remedy = "a directory with one JSON document per breaker is expected there"
    elif isinstance(error, IsADirectoryError):
        remedy = "a JSON document is expected there, not a directory"
    return f"cannot read {path}: {error.strerror}; {remedy}"
