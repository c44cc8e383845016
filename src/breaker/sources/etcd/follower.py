"""The loop: list the prefix, watch from there, publish; after any error list again and publish the difference.

Listing at every reconnection removes three kinds of error at once: compaction, a wiped or restored server, and
arithmetic about where to resume. Liveness is ours too: a connection may be alive and its watch dead, so every ten
seconds or so a cheap linearizable read is compared with what the watch has brought.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from breaker.errors import Interrupted, Refused, SourceError, TooBig
from breaker.policies.documents import MAX_DOCUMENT_BYTES
from breaker.policies.names import SUFFIX, document_name
from breaker.sources.base import Document, Watch
from breaker.sources.etcd.keys import key_text, pages, range_below
from breaker.sources.etcd.transport import Batch, Endpoint, Forked, Session, Transport
from breaker.sources.stored import IgnoredKeys

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 4.0  # seconds between attempts; doubled from one to the next
_REFUSED_PAUSE = 5.0  # seconds, where someone has to mend it first
_GOOD = 10.0  # seconds of watching after which the pauses begin anew
_GATHER = 0.02  # seconds: changes that come this close together are published together
_TRIES, _TRY = 4, 0.5  # a check reads the watch 4 times, 0.5 s each, before it calls it dead


class FollowOptions(NamedTuple):
    """What does not belong to the connection. ``check_interval`` in seconds, ``max_documents`` is a number of keys."""

    check_interval: float
    max_documents: int


class Follower:
    """Follows the documents below the path of one watch."""

    def __init__(self, transport: Transport, endpoints: list[Endpoint], watch: Watch, options: FollowOptions) -> None:
        self._transport = transport
        self._watcher = watch
        self._options = options
        self._start, self._end = range_below(watch.path)
        self._endpoints = random.sample(endpoints, len(endpoints))  # or all programs would sit on the first member
        self._session: Session | None = None
        self._revision = 0
        self._keys: dict[bytes, int] = {}  # all keys below the path → revision of their last change
        self._documents: dict[str, Document] = {}
        self._ignored = IgnoredKeys(watch, "key")
        self._pause = self._step = 0.0
        self._failures = 0  # since the last connection
        self._connected = False

    def stop(self) -> None:
        """Wake the loop and end its connection. From any thread; the watch is closed already."""
        if self._session is not None:
            self._session.close()

    def forget(self) -> None:
        """In a forked child: the connection is the parent's."""
        if self._session is not None:
            self._session.forget()

    # -- attempts --

    def loop(self) -> None:
        while not self._watcher.wait(self._pause):
            self._attempt(self._endpoints[0])

    def _attempt(self, endpoint: Endpoint) -> None:
        self._session = session = self._transport.session(endpoint)
        began = None
        try:
            if self._watcher.wait(0):  # closed before there was a session to close
                return
            session.open()
            restarted = self._list(session)
            try:
                session.watch(self._start, self._end, self._revision + 1)
                self._connected = True
                self._watcher.connected(str(endpoint))
            finally:  # what could be read is in force, even where it cannot be watched
                self._watcher.publish(dict(self._documents), self._revision, restarted=restarted)
            began = self._watcher.now()
            self._watch(session)
        except SourceError as error:
            if not self._watcher.wait(0):
                self._failed(error, endpoint, 0.0 if began is None else self._watcher.now() - began)
        finally:
            session.close()

    def _failed(self, error: SourceError, endpoint: Endpoint, watched: float) -> None:
        if isinstance(error, Forked):  # no fault: a program that forks often is not kept from its policies
            self._pause = 0.0 if self._connected else self._pause
            return
        if watched > _GOOD:
            self._failures, self._step = 0, 0.0
        self._failures += 1
        refused = isinstance(error, Refused)
        self._step = _REFUSED_PAUSE if refused else min(max(_FIRST_PAUSE, self._step * 2), _LONGEST_PAUSE)
        self._pause = self._step * random.uniform(0.5, 1.0)  # who failed together does not come back together
        if isinstance(error, Interrupted | TooBig) and self._failures < 3:
            return  # the same member will do
        self._endpoints.append(self._endpoints.pop(0))
        if self._connected or self._failures >= len(self._endpoints):
            self._connected = False
            self._watcher.failed(str(error), kind=type(error).__name__, endpoint=str(endpoint), soon=not refused)

    # -- what there is --

    def _list(self, session: Session) -> bool:
        """Read all keys below the path as they are at one revision. Returns whether the server counts anew."""
        keys: dict[bytes, int] = {}
        documents: dict[str, Document] = {}
        revision = 0
        for page in pages(session, self._start, self._end):
            self._refuse_too_many(len(keys) + page.total)
            revision = revision or page.revision
            for key, value, changed in page.items:
                keys[key] = changed
                documents.update(self._named(key, value))
        restarted, self._revision = revision < self._revision, revision
        self._keys, self._documents = keys, documents
        return restarted

    def _refuse_too_many(self, total: int) -> None:
        if total > self._options.max_documents:
            raise Refused(
                f"etcd holds {total} keys below {self._watcher.path}, more than max_documents="
                f"{self._options.max_documents}; check the path, delete what is no policy, or raise max_documents"
            )

    def _named(self, key: bytes, value: bytes) -> list[tuple[str, Document]]:
        """The document that a key holds, by file name; none for a key that holds no policy."""
        raw = key.removeprefix(self._start)
        name = key_text(raw)
        if document_name(name) is not None:
            return [(name, value[: MAX_DOCUMENT_BYTES + 1])]  # enough to be refused by its size
        if raw.endswith(SUFFIX.encode()) and b"/" not in raw:
            self._ignored.warn(key.decode(errors="backslashreplace"))
        return []

    # -- what changes --

    def _watch(self, session: Session) -> None:
        check = self._watcher.now() + self._interval()
        while True:
            batch = session.read(max(0.0, check - self._watcher.now()))
            if self._watcher.wait(0):
                return
            if batch is not None:
                self._take(session, batch)
            if self._watcher.now() >= check:
                self._check(session)
                check = self._watcher.now() + self._interval()

    def _interval(self) -> float:
        return self._options.check_interval * random.uniform(0.8, 1.2)

    def _take(self, session: Session, batch: Batch) -> None:
        """Take over a message and what comes right behind it, and publish."""
        deadline = self._watcher.now() + _GATHER
        following: Batch | None = batch
        changed = False
        while following is not None:
            changed |= self._change(following)
            following = session.read(0) if self._watcher.now() < deadline else None
        if changed:
            self._watcher.publish(dict(self._documents), self._revision)

    def _change(self, batch: Batch) -> bool:
        if batch.revision < self._revision:
            raise Interrupted(f"etcd has gone back from revision {self._revision} to {batch.revision}")
        for key, value, revision in batch.changes:
            self._revision = max(self._revision, revision)
            if value is None:
                self._keys.pop(key, None)
                self._documents.pop(key_text(key.removeprefix(self._start)), None)
            else:
                self._keys[key] = revision
                self._documents.update(self._named(key, value))
        return bool(batch.changes)

    def _check(self, session: Session) -> None:
        """Whether the watch has brought all that there is. Raises `Interrupted` if not."""
        alive = False
        for _ in range(_TRIES):
            page = session.range(self._start, self._end, limit=1, keys_only=True, newest=True)
            if page.revision < self._revision:
                raise Interrupted(f"etcd has gone back from revision {self._revision} to {page.revision}")
            newest = page.items[0].revision if page.items else 0
            if (page.total, newest) == (len(self._keys), max(self._keys.values(), default=0)):
                return
            if (batch := session.read(_TRY)) is not None:
                alive = True  # it is only busy: etcd leaves no change out of a watch
                self._take(session, batch)
            if self._watcher.wait(0):
                return
        if not alive:
            raise Interrupted("the watch of etcd has stopped to bring changes")
