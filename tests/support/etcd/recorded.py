"""A source that keeps all that it published, from the first moment on."""

from collections.abc import Mapping
from typing import Any

from breaker.sources import PolicySource
from breaker.sources.base import Document, Watch


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
