"""Policies in files: the same tree of JSON documents as in a configuration centre, watched by looking at it."""

from __future__ import annotations

import os
import threading

from breaker.errors import Refused
from breaker.policies.names import document_name
from breaker.sources.base import ABSENT, Document, Given, Revision, StoredPolicy, Unreadable, Watch
from breaker.sources.directory import Directory
from breaker.sources.document_files import explain, read_file, remove_file, write_file
from breaker.sources.stored import (
    StorePath,
    check_expected,
    document_key_of,
    refuse_conflict,
    stored_policy,
    valid_document,
)

_UNREADABLE = "unreadable"  # the revision of a document whose contents are not known


class FileSource:
    """A `PolicySource` and `PolicyStore` with documents at ``root`` + ``policies_path`` + ``{key}.json``.

    A directory that has never been there is an empty one and may appear later; that is said once, at info level. One
    that this source has seen and that vanishes is a source that is lost: the last good policies stay (S130). Write a
    document with `put`, or to a file beside it that you rename, or in place: a change is read once two looks in a row,
    20 ms apart, agree.

    Args:
        root: The directory below which the policies paths begin. A relative one is made absolute here, so a later
            `os.chdir` changes nothing.
        poll_interval: Seconds between two looks at the documents of a provider.
        policies_path: The path that `put`, `delete` and `list` mean. None: that of the one provider that follows.

    Raises:
        TypeError: An argument is of a wrong kind.
        ValueError: ``root`` is empty, ``poll_interval`` is not positive, or ``policies_path`` is no path.

    Thread safety: every method may be called from any thread.

    .. versionadded:: 0.1
    """

    def __init__(
        self, root: str | os.PathLike[str], poll_interval: float = 1.0, *, policies_path: str | None = None
    ) -> None:
        if isinstance(poll_interval, bool) or not isinstance(poll_interval, int | float):
            raise TypeError(f"poll_interval must be seconds, got {type(poll_interval).__name__}")
        if not 0 < poll_interval <= threading.TIMEOUT_MAX:  # false for NaN too
            raise ValueError(f"poll_interval must be a positive number of seconds, got {poll_interval}")
        given = os.fsdecode(root)
        if not given or "\0" in given:
            raise ValueError(f"root must be the path of a directory, got {given!r}; write '.' for this one")
        self.root = os.path.abspath(given)
        self.poll_interval = float(poll_interval)
        self._path = StorePath("FileSource", policies_path)
        self._writing = threading.Lock()
        self._seen: set[str] = set()  # directories that have been there; a forked child keeps it

    # -- for providers --

    def start(self, watch: Watch) -> None:
        """Begin to look at the documents below ``watch.path``, in the thread of ``watch.run``."""
        self._path.serve(watch.path)
        directory = Directory(self.location(watch.path, ""), self.poll_interval, watch, self._seen)
        watch.run(directory.loop)

    def stop(self, watch: Watch) -> None:
        """Nothing to do: the loop ends by ``watch.wait``."""

    def after_fork(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._writing = threading.Lock()

    def location(self, path: str, key: str) -> str:
        """The path of a document's file."""
        return self.root.rstrip("/") + path + key

    # -- for programs that write --

    def put(self, name: str, policy: Given, *, expected_revision: Revision | None = None) -> str:
        """Write the document of one breaker, as `PolicyStore.put` says: beside its file, which is then replaced.

        Programs that follow it see it at their next look. Missing directories are made. An old file's mode stays, a
        symbolic link stays one. With ``expected_revision`` the file is read, compared and then replaced: of writers
        that share this object one wins, but another program may write in between. Where that matters, use etcd.

        Raises:
            SourceError: The file cannot be written (`Refused`, with the path and the remedy); nothing has changed then.
        """
        file = self._file(name)
        contents = valid_document(policy, file)
        check_expected(expected_revision, str)
        with self._writing:
            self._refuse_conflict(name, file, expected_revision)
            write_file(file, contents)
        return _revision_of(contents)

    def delete(self, name: str, *, expected_revision: Revision | None = None) -> bool:
        """Remove the document of one breaker, as `PolicyStore.delete` says.

        Of a symbolic link the link goes, what it points to stays.
        """
        file = self._file(name)
        check_expected(expected_revision, str)
        with self._writing:
            self._refuse_conflict(name, file, expected_revision)
            return remove_file(file)

    def list(self) -> dict[str, StoredPolicy]:
        """All documents, as `PolicyStore.list` says; those whose file cannot be read too.

        Raises:
            SourceError: The directory cannot be read. One that does not exist is empty.
        """
        directory = self.location(self._path.get(), "")
        try:
            keys = sorted(os.listdir(directory))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Refused(explain(error, "read", directory), directory) from error
        stored = {}
        for key in keys:
            if (name := document_name(key)) is not None and (document := read_file(directory + key)) is not None:
                stored[name] = stored_policy(name, document, _revision(document), directory + key)
        return stored

    def _file(self, name: str) -> str:
        return self.location(self._path.get(), document_key_of(name))

    def _refuse_conflict(self, name: str, file: str, expected: Revision | None) -> None:
        if expected is not None:
            found = read_file(file)
            if isinstance(found, Unreadable):  # what it is a revision of is not known
                raise Refused(found.reason, file)
            refuse_conflict(name, expected, _revision(found), file)


def _revision(document: Document | None) -> Revision:
    if document is None:
        return ABSENT
    return _revision_of(document) if isinstance(document, bytes) else _UNREADABLE


def _revision_of(contents: bytes) -> str:
    import hashlib  # loads OpenSSL: for those who write, not for all who follow

    return hashlib.blake2b(contents, digest_size=16).hexdigest()
