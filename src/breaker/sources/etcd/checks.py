"""What an answer must be to be etcd's, over either transport. A server may say anything; nothing of it is believed."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager

from breaker.errors import Refused
from breaker.sources.etcd.transport import Batch, Endpoint, Page

MOST = 2**63 - 1  # of any number that etcd has
_SHOWN = 60  # characters of what a server says in an error


class NotEtcd(Exception):
    """An answer that etcd would not give: the field, and what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem


@contextmanager
def answers_of(endpoint: Endpoint) -> Iterator[None]:
    """Makes the error for a `NotEtcd`: where, which field, how to mend it."""
    try:
        yield
    except NotEtcd as error:
        raise Refused(
            f"what answers at {endpoint} is not an etcd answer: {error.field} {error.problem}; check the endpoint, and "
            "what is between"
        ) from None


def shown(value: object) -> str:
    """What a server has sent, short and on one line."""
    if isinstance(value, bytes):
        value = repr(value[: 2 * _SHOWN])
    return printable(value if isinstance(value, str) else reprlib.repr(value), _SHOWN)


def printable(text: str, most: int = 200) -> str:
    """Text of a server as part of a log line: one line, no control characters, at most so many characters."""
    line = " ".join(text[: 4 * most].split())
    line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return line if len(line) <= most else line[: most - 1] + "…"


def check_page(page: Page, start: bytes, end: bytes, limit: int, *, revision: int, since: int) -> None:
    """An answer to `Session.range` with these arguments. Raises `NotEtcd`."""
    if page.revision < 1:
        raise NotEtcd("header.revision", f"must be a number from 1, got {page.revision}")
    if page.revision < revision:
        raise NotEtcd("header.revision", f"is {page.revision}, before the revision {revision} that was asked for")
    if len(page.items) > limit:
        raise NotEtcd("kvs", f"has more items than the {limit} that were asked for")
    if page.total < len(page.items):
        raise NotEtcd("count", f"is {page.total}, with {len(page.items)} items")
    if page.more and len(page.items) < limit:
        raise NotEtcd("more", f"is true, with {len(page.items)} items of the {limit} that were asked for")
    if not since and len(page.items) < min(page.total, limit) and not page.more:
        raise NotEtcd("kvs", f"has {len(page.items)} items of {page.total} and says that there are no more")
    before = b""
    for item in page.items:
        _check_key(item.key, start, end)
        if item.key <= before:
            raise NotEtcd("kvs.key", f"is out of order: {shown(item.key)}")
        before = item.key
        newest = revision or page.revision
        if not max(1, since) <= item.revision <= newest:
            raise NotEtcd("kvs.mod_revision", f"must be a number from {max(1, since)} to {newest}, got {item.revision}")


def check_batch(batch: Batch, start: bytes, end: bytes, after: int) -> int:
    """A message of a watch, of which all up to revision ``after`` has come. Returns what has come with it.

    Raises `NotEtcd`.
    """
    if batch.revision < 1:
        raise NotEtcd("header.revision", f"must be a number from 1, got {batch.revision}")
    if batch.revision < after:
        return after  # the store went back, which the loop knows to handle
    last = after
    for key, _, revision in batch.changes:
        _check_key(key, start, end)
        if not after < revision <= MOST or revision < last:
            raise NotEtcd("events.kv.mod_revision", f"must be a number from {max(last, after + 1)}, got {revision}")
        last = revision
    if last > batch.revision:
        raise NotEtcd("events.kv.mod_revision", f"is {last}, after the header's {batch.revision}")
    return last


def check_token(token: str) -> str:
    """The token of a login, which goes into the head of each request. Raises `NotEtcd`."""
    if not token or not token.isascii() or not token.isprintable():
        raise NotEtcd("token", "must be text without control characters")
    return token


def _check_key(key: bytes, start: bytes, end: bytes) -> None:
    if not start <= key < end:
        raise NotEtcd("key", f"lies outside of what was asked for: {shown(key)}")
