"""The keys below a path: their range, their text, and all of them as they were at one revision, in pages."""

from __future__ import annotations

from collections.abc import Iterator

from breaker.errors import Refused, TooBig
from breaker.sources.etcd.checks import NotEtcd, answers_of
from breaker.sources.etcd.transport import Page, Session

MOST_BYTES = 32 << 20  # of all keys and documents together
_PAGE = 500  # keys


def range_below(path: str) -> tuple[bytes, bytes]:
    """The first key below a path, and the first one after all of them."""
    start = path.encode()  # ends in '/', so the next byte is no overflow
    return start, start[:-1] + bytes([start[-1] + 1])


def key_text(key: bytes) -> str:
    """A key, or a part of one, as text; empty where it is no UTF-8, as no policy's key is."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return ""


def refuse_too_much(path: str, total: int, size: int, most: int) -> None:
    """Raise `Refused` for more than ``most`` keys (``max_documents``), or more bytes than a program takes."""
    if total > most:
        raise Refused(
            f"etcd holds {total} keys below {path}, more than max_documents={most}; check the path, delete what is no "
            "policy, or raise max_documents"
        )
    if size > MOST_BYTES:
        raise Refused(
            f"etcd holds more than {MOST_BYTES >> 20} MiB below {path}; check the path, and delete what is no policy"
        )


def pages(
    session: Session, start: bytes, end: bytes, *, revision: int = 0, since: int = 0, keys_only: bool = False
) -> Iterator[Page]:
    """The pages of a range, each pinned to the revision of the first, or to ``revision``. Raises `SourceError`.

    ``Page.total`` counts the keys from this page on; ``since`` and ``keys_only`` are those of `Session.range`.
    """
    limit, left = _PAGE, -1
    while True:
        try:
            page = session.range(start, end, limit=limit, revision=revision, keys_only=keys_only, since=since)
        except TooBig:
            if limit == 1:
                raise
            limit = max(1, limit // 4)
            continue
        if left >= 0 and not since and page.total != left:
            with answers_of(session.endpoint):
                raise NotEtcd("count", f"is {page.total}, {left} keys are left of the pages before")
        yield page
        if not page.more or not page.items:
            return
        left = page.total - len(page.items)
        revision = revision or page.revision
        start = page.items[-1].key + b"\0"
