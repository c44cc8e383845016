"""A directory of policy documents, and sources of files that are looked at by a thread or step by step."""

import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from breaker import Provider
from breaker.sources import FileSource
from breaker.sources.base import Document
from support.drive import NAME, PATH, document
from support.watching import eventually

FOLDER = PATH.strip("/")  # below the root of a source
HOUR = 3600  # seconds between two looks of a source that is looked at step by step


class Tree:
    """The directory ``root`` + `PATH`, not there until somebody writes to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / PATH[1:]
        self._numbers = itertools.count(1000)

    def file(self, name: str) -> Path:
        return self.directory / name

    def write(self, name: str, text: str | bytes | None = None, **fields: Any) -> Path:
        """Write a document beside its place and rename it: ``write("x.json", failureThreshold=3)``."""
        self.directory.mkdir(parents=True, exist_ok=True)
        contents = document(**fields) if text is None else text.encode() if isinstance(text, str) else text
        beside = self.directory / "document.new"
        beside.write_bytes(contents)
        return beside.rename(self.file(name))

    def overwrite(self, name: str, text: str) -> None:
        """Write a document in place: the file stays the same one."""
        self.file(name).write_text(text)

    def seen(self, provider: Provider) -> None:
        """Wait until the provider has seen all that was written: until it obeys a document written now."""
        number = next(self._numbers)
        self.write("sentinel.json", failureThreshold=number)
        sentinel = provider.get_breaker("sentinel")
        eventually(lambda: sentinel.policy.failure_threshold == number)


class Steps:
    """A watch whose thread is the test's own: whenever the source waits, the next step of the test is run.

    A step is called and waits again; ``None`` only waits. After the last one the source is heard to end. What happens
    between two looks that must agree (``while_settling``) is run once, at the first such wait; it may be set again.
    """

    def __init__(self, *steps: Callable[[], Any] | None, while_settling: Callable[[], Any] | None = None) -> None:
        self.path = PATH
        self.published: list[tuple[dict[str, Document], int, bool]] = []
        self.problems: list[str] = []
        self.places: list[str] = []
        self.warnings: list[dict[str, object]] = []
        self.notes: list[dict[str, object]] = []
        self._steps = iter(steps)
        self.while_settling = while_settling

    @property
    def documents(self) -> list[dict[str, Document]]:
        """What was published, in order."""
        return [documents for documents, _, _ in self.published]

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        self.published.append((dict(documents), revision, restarted))

    def run(self, loop: Callable[[], None]) -> None:
        loop()

    def wait(self, seconds: float) -> bool:
        if seconds < 1:  # between two looks that must agree; the sources of these tests look once in an hour
            settling, self.while_settling = self.while_settling, None
            if settling is not None:
                settling()
            return False
        try:
            step = next(self._steps)
        except StopIteration:
            return True
        if step is not None:
            step()
        return False

    def now(self) -> float:
        return 0.0  # a look asks the wall clock alone

    def wall_time_ns(self) -> int:
        return time.time_ns()  # the stamps of the files are real

    def connected(self, endpoint: str) -> None:
        self.places.append(endpoint)

    def failed(self, problem: str, *, kind: str | None = None, endpoint: str | None = None, soon: bool = False) -> None:
        self.problems.append(problem)

    def warn(self, message: str, **keys: object) -> None:
        self.warnings.append({"message": message, **keys})

    def info(self, message: str, **keys: object) -> None:
        self.notes.append({"message": message, **keys})


def age(path: Path, seconds: float = 100) -> None:
    """Date a file back, so that it counts as settled long ago."""
    before = time.time_ns() - round(seconds * 1_000_000_000)
    os.utime(path, ns=(before, before))


def write(directory: Path, name: str = NAME, **fields: Any) -> Path:
    file = directory / f"{name}.json"
    file.write_text(json.dumps(fields))
    return file


def has(provider: Provider, threshold: int, name: str = NAME) -> Callable[[], bool]:
    return lambda: provider.get_breaker(name).policy.failure_threshold == threshold


def looks(tree: Tree, *steps: Callable[[], Any] | None, while_settling: Callable[[], Any] | None = None) -> Steps:
    """Let a source look at once, and again after each step."""
    watch = Steps(*steps, while_settling=while_settling)
    FileSource(tree.root, HOUR).start(watch)
    return watch
