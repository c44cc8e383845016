"""The loop over a directory of policies: what a `FileSource` does for each provider that follows it.

A look is one `os.scandir` and a `stat` per document. Notification services miss the swap of a symbolic link by which
Kubernetes updates a mounted ConfigMap, and are not there on network file systems; a look misses neither.
"""

from __future__ import annotations

import os

from breaker.policies.names import SUFFIX, document_name
from breaker.sources.base import Document, Unreadable, Watch
from breaker.sources.document_files import explain, read_file
from breaker.sources.stored import IgnoredKeys

_SETTLE = 0.02  # seconds between two looks that must agree before a change is read
_RACY = 2_000_000_000  # ns: a file this young may change again without its stamp doing so

_Stamp = tuple[int, int, int, int, int]
_NO_STAMP: _Stamp = (0, 0, 0, 0, 0)


class Directory:
    """The loop over one directory, and what it saw last."""

    def __init__(self, directory: str, interval: float, watch: Watch, seen: set[str]) -> None:
        self.directory = directory
        self.interval = interval
        self.watch = watch
        self.seen = seen  # the directories, and links to documents, that have led somewhere, of all loops of the source
        self.said_missing = False
        self.revision = 0
        self.stamps: dict[str, _Stamp] | None = None
        self.documents: dict[str, Document] = {}
        # To be read again: so soon after a change another one may share its stamp, and what kept a document from being
        # read may end without changing it.
        self.unsure: set[str] = set()
        self.ignored = IgnoredKeys(watch, "file")

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
            self.watch.failed(self._problem(error), endpoint=self.directory)
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

    def _problem(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return (
                f"cannot read {self.directory}: it has been there and is gone; put it back "
                "(to lift policies, delete their documents)"
            )
        return explain(error, "read", self.directory)

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
                self.seen.add(self.directory)
                for entry in entries:
                    is_policy = entry.name.endswith(SUFFIX) and self._is_policy(entry.name)
                    if is_policy and (stamp := self._stamp(entry)) is not None:
                        found[entry.name] = stamp
        except FileNotFoundError:
            if self.directory in self.seen:
                raise
            self._say_missing()
            return {}
        return found

    def _stamp(self, entry: os.DirEntry[str]) -> _Stamp | None:
        """None: it is no document, or none any more. `_NO_STAMP`: reading it will say why."""
        is_link = entry.is_symlink()
        try:
            found = entry.stat()
        except FileNotFoundError:
            # Deleted since, or a link to nothing. Where it has led to a document, nobody has deleted that policy.
            return _NO_STAMP if is_link and entry.path in self.seen else None
        except OSError:
            return _NO_STAMP
        if is_link:
            self.seen.add(entry.path)
        return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)

    def _say_missing(self) -> None:
        if not self.said_missing:
            self.said_missing = True
            self.watch.info("circuit breaker policy directory does not exist yet", directory=self.directory)

    def _is_policy(self, file_name: str) -> bool:
        if document_name(file_name) is not None:
            return True
        self.ignored.warn(os.path.join(self.directory, file_name).encode(errors="backslashreplace").decode())
        return False

    def _read(self, stamps: dict[str, _Stamp]) -> None:
        old, seen = self.documents, self.stamps or {}
        now = self.watch.wall_time_ns()
        documents: dict[str, Document] = {}
        for name, stamp in stamps.items():
            if seen.get(name) == stamp and name not in self.unsure and name in old:
                documents[name] = old[name]
            elif (contents := self._contents(name, stamp)) is not None:
                documents[name] = contents
        self.unsure = {name for name, stamp in stamps.items() if min(abs(now - stamp[0]), abs(now - stamp[1])) < _RACY}
        self.unsure.update(name for name, document in documents.items() if isinstance(document, Unreadable))
        self.seen.difference_update(os.path.join(self.directory, name) for name in old if name not in documents)
        self.documents, self.stamps = documents, stamps

    def _contents(self, name: str, stamp: _Stamp) -> Document | None:
        path = os.path.join(self.directory, name)
        contents = read_file(path)
        if contents is None and stamp is _NO_STAMP and os.path.islink(path):
            return Unreadable("it is a link to nothing; put back what it led to (to lift the policy, remove the link)")
        return contents
