"""``breaker policy watch``: what a source publishes, as one line for each document that has changed."""

from __future__ import annotations

import argparse
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from breaker.cli import output
from breaker.cli.output import clean, say, shown, styled
from breaker.cli.places import Place, find
from breaker.cli.policy.documents import changes_between, values_of
from breaker.cli.signals import stop_signals
from breaker.cli.trouble import Code, Mistake, code_of_signal, in_words_of_the_command_line
from breaker.policies.names import document_name
from breaker.sources.base import Document, StoredPolicy
from breaker.sources.stored import stored_policy

_FIRST = 10.0  # seconds, at most, until a source says what there is


class Published(NamedTuple):
    """All documents, raw, by file name."""

    documents: Mapping[str, Document]
    revision: int


class Lost(NamedTuple):
    """The source cannot be read, and why."""

    problem: str


class Connected(NamedTuple):
    """The source can be read, and where."""

    endpoint: str


@dataclass
class Following:
    """A `breaker.sources.Watch` without a provider: what the source says comes into a queue.

    ``quiet``: its warnings are not shown.
    """

    path: str
    quiet: bool = False
    said: queue.SimpleQueue[Published | Lost | Connected] = field(default_factory=queue.SimpleQueue)
    _closed: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        self.said.put(Published(dict(documents), revision))

    def connected(self, endpoint: str) -> None:
        self.said.put(Connected(endpoint))

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        self.said.put(Lost(problem))

    def warn(self, message: str, **keys: object) -> None:
        if not self.quiet:
            output.note(f"{message}: {', '.join(f'{key} {value}' for key, value in keys.items())}")

    info = warn

    def run(self, loop: Callable[[], None]) -> None:
        thread = threading.Thread(target=loop, name="breaker-watch", daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self, seconds: float) -> bool:
        return self._closed.wait(seconds)

    def now(self) -> float:
        return time.monotonic()

    def wall_time_ns(self) -> int:
        return time.time_ns()

    def close(self, place: Place) -> None:
        """End it, and wait for its thread as a provider does."""
        self._closed.set()
        place.store.stop(self)
        for thread in self._threads:
            thread.join(2.0)

    def next(self, seconds: float) -> Published | Lost | Connected | None:
        """What the source says next; None: nothing in time."""
        try:
            return self.said.get(timeout=seconds)
        except queue.Empty:
            return None


def watch(args: argparse.Namespace) -> int:
    """``breaker policy watch``."""
    place = find(args)
    with stop_signals() as stopped_by:
        following = Following(place.path)
        place.store.start(following)
        try:
            report = _Report(place, set(args.names), args.json)
            began = time.monotonic()
            while not stopped_by:
                said = following.next(0.1)
                if said is not None:
                    report.take(said)
                    output.finish()
                elif report.documents is None and time.monotonic() - began > _FIRST:
                    raise Mistake(f"{place.source} does not say in {_FIRST:g} s what there is", Code.SOURCE)
        finally:
            following.close(place)
    return code_of_signal(stopped_by[0])


class _Report:
    """What is printed of what a source says."""

    def __init__(self, place: Place, names: Collection[str], as_json: bool) -> None:
        self.documents: dict[str, Document] | None = None
        self._place, self._names, self._json = place, names, as_json
        self._lost = ""

    def take(self, said: Published | Lost | Connected) -> None:
        if isinstance(said, Published):
            if self._lost:
                self._lost = ""
                self._say_source("regained", None)
            self._take_documents(said)
        elif isinstance(said, Lost):
            problem = in_words_of_the_command_line(said.problem)
            if self.documents is None:
                raise Mistake(problem, Code.SOURCE)
            if problem != self._lost:
                self._lost = problem
                self._say_source("lost", problem)

    def _take_documents(self, said: Published) -> None:
        before = self.documents
        now = {key: text for key, text in said.documents.items() if self._is_meant(key)}
        self.documents = now
        if before is None:
            where = self._place.store.location(self._place.path, "")
            output.note(f"watching {len(now)} document{'' if len(now) == 1 else 's'} at {where}; Ctrl-C ends it")
            return
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                self._say_change(key, before.get(key), now.get(key), said.revision)

    def _is_meant(self, key: str) -> bool:
        name = document_name(key)
        return name is not None and (not self._names or name in self._names)

    def _say_change(self, key: str, before: Document | None, now: Document | None, revision: int) -> None:
        name = document_name(key) or key
        what = "created" if before is None else "deleted" if now is None else "changed"
        old = None if before is None else self._stored(name, key, before)
        new = None if now is None else self._stored(name, key, now)
        left, right = (None if each is None else values_of(each.document) for each in (old, new))
        changes = changes_between(left, right)
        error = None if new is None else new.error
        if self._json:
            line: dict[str, Any] = {"time": time.time(), "event": what, "name": name, "place": self._place.of(name)}
            line |= {"revision": revision, "changes": changes, "document": right}
            output.emit(line | {"valid": error is None, "error": error})
            return
        text = f"NOT VALID: {clean(error)}" if error is not None else _in_words(changes, left or {}, right or {})
        say(f"{time.strftime('%H:%M:%S')}  {what}  {clean(name)}  {styled(text, 'bad' if error else 'changed')}")

    def _stored(self, name: str, key: str, document: Document) -> StoredPolicy:
        return stored_policy(name, document, 0, self._place.store.location(self._place.path, key))

    def _say_source(self, what: str, problem: str | None) -> None:
        if self._json:
            output.emit({"time": time.time(), "event": what, "error": problem})
        else:
            say(f"{time.strftime('%H:%M:%S')}  source {what}{f': {clean(problem)}' if problem else ''}")


def _in_words(changes: dict[str, list[Any]], left: dict[str, Any], right: dict[str, Any]) -> str:
    words = []
    for key, (before, after) in changes.items():
        sides = (shown(before) if key in left else "-", shown(after) if key in right else "-")
        words.append(f"{clean(key)} {sides[0]} -> {sides[1]}")
    return ", ".join(words)
