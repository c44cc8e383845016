"""What the shop depends on: stand-ins for remote services that can be switched off. They need no network."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass


class Unavailable(Exception):
    """The service does not answer."""


class DuplicateOrder(Exception):
    """The database refuses a row that it has already: it is in good health."""


@dataclass(frozen=True)
class Response:
    """An HTTP answer; like most clients, the one of the shop raises for no status."""

    status: int
    body: str


class Service:
    """Counts the requests that reach it; ``down`` switches it off."""

    def __init__(self) -> None:
        self.down = False
        self.requests = 0
        self._lock = threading.Lock()

    def _receive(self) -> None:
        with self._lock:
            self.requests += 1
        if self.down:
            raise Unavailable("no answer")


class Orders(Service):
    """A database."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[int] = set()

    def insert(self, number: int) -> str:
        self._receive()
        if number in self._known:
            raise DuplicateOrder(number)
        self._known.add(number)
        return f"order {number} stored"


class Recommendations(Service):
    """An HTTP service that says with a status that it is ill."""

    def get(self, customer: str) -> Response:
        with self._lock:
            self.requests += 1
        return Response(503, "") if self.down else Response(200, f"something new for {customer}")


class Prices(Service):
    """Asked all the time, by threads and by tasks."""

    def get(self, item: str) -> int:
        self._receive()
        time.sleep(0.001)
        return 42

    async def get_async(self, item: str) -> int:
        self._receive()
        await asyncio.sleep(0.001)
        return 42


class Report(Service):
    """Asked once a night; a failed run is expensive."""

    def run(self) -> str:
        self._receive()
        return "report written"


class Stock(Service):
    """Fails 3 of 10 requests when it is ill, never two of them in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.ill = False

    def count(self, item: str) -> int:
        self._receive()
        if self.ill and self.requests % 10 in (3, 6, 9):
            raise Unavailable("try again")
        return 7


class Search(Service):
    """Answers late when it is overloaded, and with no error."""

    def __init__(self) -> None:
        super().__init__()
        self.overloaded = False

    def find(self, words: str) -> list[str]:
        self._receive()
        if self.overloaded:
            time.sleep(0.12)
        return [words]
