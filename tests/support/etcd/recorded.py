"""A source that keeps all that it published, from the first moment on, and programs that have a hostile endpoint."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from breaker import Provider
from breaker.sources import EtcdSource, PolicySource
from breaker.sources.base import Document, Watch
from support.drive import CONFIG
from support.etcd.subjects import CLOSE_LIMIT, LOST
from support.watching import LineLogger, eventually

GIVEN_UP = "circuit breaker policy source endpoint given up"
Record = Callable[[str, object], None]


class Recorded:
    """Hands everything on to a source; ``published`` has each set of documents that it said."""

    def __init__(self, source: PolicySource) -> None:
        self.source = source
        self.published: list[dict[str, Document]] = []
        self._watch: Any = None

    def start(self, watch: Watch) -> None:
        self._watch = _Spy(watch, self.published)
        self.source.start(self._watch)

    def stop(self, watch: Watch) -> None:
        self.source.stop(self._watch)

    def after_fork(self) -> None:
        self.source.after_fork()

    def location(self, path: str, key: str) -> str:
        return self.source.location(path, key)


class _Spy:
    def __init__(self, watch: Watch, published: list[dict[str, Document]]) -> None:
        self._given, self._published = watch, published

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        self._published.append(dict(documents))
        self._given.publish(documents, revision, restarted=restarted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._given, name)


class Program:
    """A provider that follows these endpoints: its lines, and all that its source published."""

    def __init__(self, *endpoints: str, **options: Any) -> None:
        self.lines = LineLogger()
        given: dict[str, Any] = {"user": "u", "password": "p"} | options
        self.source = Recorded(EtcdSource(endpoints, **given))
        self.provider = Provider(CONFIG, policy_source=self.source, logger=self.lines, start_timeout=0)

    @property
    def said(self) -> list[tuple[str, str]]:
        """What was said about the source, above debug."""
        above = [(text, keys) for level, text, keys in self.lines.lines if level != "debug"]
        return [(text, str(keys["error"])) for text, keys in above if text in (LOST, GIVEN_UP)]

    def close(self) -> None:
        """In time."""
        began = time.monotonic()
        self.provider.close()
        assert time.monotonic() - began < CLOSE_LIMIT


def given_up_beside(
    healthy: str, hostile: str, text: str, record: Record | None = None, **options: Any
) -> list[dict[str, Document]]:
    """One line gives the hostile endpoint up, for this reason (a pattern), and the healthy one's policies come soon.

    There name-00 has the threshold 7. Returns what was published.
    """
    began = time.monotonic()
    program = Program(hostile, healthy, **options)
    breaker = program.provider.get_breaker("name-00")
    eventually(lambda: breaker.policy.failure_threshold == 7, 10)
    if record is not None:
        record(f"past a hostile server, request_timeout {options['request_timeout']} s", _since(began))
    ((message, error),) = program.said
    program.close()
    assert message == GIVEN_UP
    assert hostile in error
    assert re.search(text, error), error
    assert len(error) < 600
    assert "\n" not in error
    assert "Traceback" not in str(program.lines.lines)
    return program.source.published


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
