"""The loop: list the prefix, publish, watch from there; after any error list again and publish the difference.

Listing at every reconnection removes three kinds of error at once: compaction, a wiped or restored server, and
arithmetic about where to resume. Liveness is ours too: a connection may be alive and its watch dead, or may have lost a
change, so every ten seconds or so a linearizable read is compared with what the watch has brought.

An episode begins when every endpoint has failed since the last watch that a server confirmed. That a watch which was
confirmed ends, as proxies end it that have heard nothing for a while, is no failure: the next attempt says what it is.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from breaker.errors import Interrupted, Refused, SourceError, TooBig, Unreachable
from breaker.policies.documents import MAX_DOCUMENT_BYTES
from breaker.policies.names import SUFFIX, document_name
from breaker.sources.base import Watch
from breaker.sources.etcd.checks import NotEtcd, answers_of, printable
from breaker.sources.etcd.keys import key_text, pages, range_below, refuse_too_much
from breaker.sources.etcd.pace import Pace
from breaker.sources.etcd.transport import Batch, Endpoint, Forked, Session, Transport
from breaker.sources.stored import IgnoredKeys

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 4.0  # seconds between rounds of attempts; doubled from one to the next
_REFUSED_PAUSE = 5.0  # seconds, where someone has to mend it first
_GOOD = 10.0  # seconds of watching after which the pauses begin anew
_CUT = 1.0  # seconds of watching after which an end by a proxy does not make them longer
_GATHER = 0.02  # seconds: changes that come this close together are published together
_TRIES, _TRY = 4, 0.5  # a check reads the watch 4 times, 0.5 s each, before it calls it dead
_KEY = 400  # characters of a key in a log line
_EMPTY = 1000  # messages without a change from one check to the next, of which etcd sends none


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
        self._revision = 0  # what is known is complete up to here
        self._compared = 0  # and was compared with the server up to here
        self._keys: dict[bytes, int] = {}  # all keys below the path → revision of their last change
        self._documents: dict[str, bytes] = {}
        self._bytes = 0  # of both
        self._empty = 0  # messages of the watch without a change, since the last check
        self._ignored = IgnoredKeys(watch, "key")
        self._pause = self._step = 0.0
        self._failures = 0  # since the last watch that was confirmed
        self._all_refused = True  # those failures
        self._interruptions = 0  # since the last good watch
        self._given_up: set[Endpoint] = set()  # of which that is said
        self._lost = self._watched = False
        self._listed = False  # in this attempt
        self._doubted = False  # it was listed last, and could not be watched, or not for long
        self._pace: Pace | None = None

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
        self._pace = Pace(self._watcher.now())
        while not self._watcher.wait(max(self._pause, self._rest(relists=True))):
            self._attempt(self._endpoints[0])

    def _rest(self, *, relists: bool = False) -> float:
        return 0.0 if self._pace is None else self._pace.rest(self._watcher.now(), relists=relists)

    def _attempt(self, endpoint: Endpoint) -> None:
        self._session = session = self._transport.session(endpoint)
        began, self._listed = None, False
        try:
            if self._watcher.wait(0):  # closed before there was a session to close
                return
            session.open()
            restarted = self._list(session)
            if not self._lost:  # else it is back when it can be watched too
                self._watcher.connected(str(endpoint))
            self._watcher.publish(dict(self._documents), self._revision, restarted=restarted)
            self._listed = True
            session.watch(self._start, self._end, self._revision + 1)
            began = self._watcher.now()
            self._failures, self._all_refused, self._watched = 0, True, True
            self._given_up.discard(endpoint)
            self._watch(session)
        except SourceError as error:
            if not self._watcher.wait(0):
                self._failed(error, endpoint, None if began is None else self._watcher.now() - began)
        finally:
            session.close()

    def _back(self, session: Session) -> None:
        """End the episode, if there is one."""
        self._doubted = False
        if self._lost:
            self._lost = False
            self._watcher.connected(str(session.endpoint))
            self._watcher.publish(dict(self._documents), self._revision)

    def _failed(self, error: SourceError, endpoint: Endpoint, watched: float | None) -> None:
        """Choose the next endpoint and the pause before it. ``watched``: for so long, None if it came to no watch."""
        if isinstance(error, Forked):  # no fault: a program that forks often is not kept from its policies
            self._pause = 0.0 if self._watched else self._pause
            return
        if watched is not None and watched > _GOOD:
            self._step, self._interruptions = 0.0, 0
        if isinstance(error, Interrupted | TooBig):
            self._interruptions += 1
            if self._interruptions < 3:  # the same member will do
                self._pause_longer()
                return
        self._endpoints.append(self._endpoints.pop(0))
        self._doubted |= self._listed and (watched is None or watched < _CUT)
        if watched is not None and isinstance(error, Unreachable):
            self._step = 0.0 if watched >= _CUT else self._step
            self._pause_longer()
            return
        self._failures += 1
        self._all_refused &= isinstance(error, Refused)
        if self._failures < len(self._endpoints):
            self._give_up(endpoint, error)
        else:
            self._lose(endpoint, error)

    def _pause_longer(self) -> None:
        self._step = min(max(_FIRST_PAUSE, self._step * 2), _LONGEST_PAUSE)
        self._pause = self._step * random.uniform(0.5, 1.0)  # who failed together does not come back together

    def _give_up(self, endpoint: Endpoint, error: SourceError) -> None:
        """There are others: try them at once."""
        self._pause = random.uniform(0.0, _FIRST_PAUSE)
        if not self._lost and endpoint not in self._given_up:
            self._given_up.add(endpoint)
            self._watcher.warn(
                "circuit breaker policy source endpoint given up", endpoint=str(endpoint), error=str(error)
            )

    def _lose(self, endpoint: Endpoint, error: SourceError) -> None:
        if self._failures % len(self._endpoints):  # the next one in this round
            self._pause = random.uniform(0.0, _FIRST_PAUSE)
        elif self._all_refused:
            self._pause = _REFUSED_PAUSE * random.uniform(0.5, 1.0)
        else:
            self._pause_longer()
        self._lost, self._watched = True, False
        refused = isinstance(error, Refused)
        self._watcher.failed(str(error), kind=type(error).__name__, endpoint=str(endpoint), soon=not refused)

    # -- what there is --

    def _list(self, session: Session) -> bool:
        """Read all keys below the path as they are at one revision. Returns whether the server counts anew."""
        keys: dict[bytes, int] = {}
        documents: dict[str, bytes] = {}
        revision = size = 0
        for page in pages(session, self._start, self._end):
            revision = revision or page.revision
            for key, value, changed in page.items:
                keys[key] = changed
                named = self._named(key, value)
                documents.update(named)
                size += len(key) + sum(len(document) for _, document in named)
            self._refuse_too_much(len(keys) - len(page.items) + page.total, size)
            if self._watcher.wait(0):
                raise Unreachable("the source is stopped")
        restarted, self._revision, self._compared = revision < self._revision, revision, revision
        self._keys, self._documents, self._bytes, self._empty = keys, documents, size, 0
        return restarted

    def _refuse_too_much(self, total: int, size: int) -> None:
        refuse_too_much(self._watcher.path, total, size, self._options.max_documents)

    def _named(self, key: bytes, value: bytes) -> list[tuple[str, bytes]]:
        """The document that a key holds, by file name; none for a key that holds no policy."""
        raw = key.removeprefix(self._start)
        name = key_text(raw)
        if document_name(name) is not None:
            return [(name, value[: MAX_DOCUMENT_BYTES + 1])]  # enough to be refused by its size
        if raw.endswith(SUFFIX.encode()) and b"/" not in raw:
            self._ignored.warn(printable(key.decode(errors="backslashreplace"), _KEY))
        return []

    # -- what changes --

    def _watch(self, session: Session) -> None:
        began = self._watcher.now()
        check = began + self._interval()
        back = began + (_CUT if self._doubted else 0.0)
        while True:
            if self._watcher.now() >= back:
                self._back(session)
            until = min(check, back) if self._lost else check
            batch = session.read(max(0.0, until - self._watcher.now()))
            if self._watcher.wait(self._rest()):
                return
            if batch is not None:
                self._take(session, batch)
            if self._watcher.now() >= check:
                self._check(session)
                self._empty = 0
                check = self._watcher.now() + self._interval()

    def _interval(self) -> float:
        return self._options.check_interval * random.uniform(0.8, 1.2)

    def _take(self, session: Session, batch: Batch) -> None:
        """Take over a message and what comes right behind it, and publish."""
        deadline = self._watcher.now() + _GATHER
        following: Batch | None = batch
        changed = False
        while following is not None:
            changed |= self._change(session, following)
            following = session.read(0) if self._watcher.now() < deadline else None
        if changed:
            self._refuse_too_much(len(self._keys), self._bytes)
            self._watcher.publish(dict(self._documents), self._revision)

    def _change(self, session: Session, batch: Batch) -> bool:
        if batch.revision < self._revision:
            raise Interrupted(f"etcd has gone back from revision {self._revision} to {batch.revision}")
        for key, value, revision in batch.changes:
            self._revision = max(self._revision, revision)
            self._bytes -= self._size_of(key)
            if value is None:
                self._keys.pop(key, None)
                self._documents.pop(key_text(key.removeprefix(self._start)), None)
            else:
                self._keys[key] = revision
                self._documents.update(self._named(key, value))
                self._bytes += self._size_of(key)
        self._empty = 0 if batch.changes else self._empty + 1
        if self._empty > _EMPTY:
            with answers_of(session.endpoint):
                raise NotEtcd("events", f"was empty in {_EMPTY} messages in a row")
        return bool(batch.changes)

    def _size_of(self, key: bytes) -> int:
        """What is kept of a key and its document, in bytes."""
        if key not in self._keys:
            return 0
        return len(key) + len(self._documents.get(key_text(key.removeprefix(self._start)), b""))

    # -- whether that is all --

    def _check(self, session: Session) -> None:
        """Whether the watch has brought all that there is. Raises `Interrupted` if not."""
        heard = False
        for _ in range(_TRIES):
            if self._agrees(session, 0):
                return
            if (batch := session.read(_TRY)) is not None:
                heard = True
                self._take(session, batch)
            if self._watcher.wait(0):
                return
        if not heard:
            raise Interrupted("the watch of etcd has stopped to bring changes")
        # It is only busy, or has lost something before what it brings now: etcd sends changes in order, so what is
        # known has to be what there was at the revision of the last one.
        if not self._agrees(session, self._revision):
            raise Interrupted("the watch of etcd has left out a change")

    def _agrees(self, session: Session, revision: int) -> bool:
        """Whether what is known is what the server holds, now (0) or at a revision.

        Of what was compared before, only the number of keys is looked at.
        """
        first = None
        for page in pages(session, self._start, self._end, revision=revision, since=self._compared + 1, keys_only=True):
            if first is None:
                first = page
                if not revision and page.revision < self._revision:
                    raise Interrupted(f"etcd has gone back from revision {self._revision} to {page.revision}")
                if page.total != len(self._keys):
                    return False
            if any(self._keys.get(item.key) != item.revision for item in page.items):
                return False
        if first is not None:
            self._compared = revision or first.revision
        return True
