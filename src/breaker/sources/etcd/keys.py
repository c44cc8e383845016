"""All keys of a range as they were at one revision, in pages that are small enough to be taken."""

from __future__ import annotations

from collections.abc import Iterator

from breaker.sources.etcd.transport import Page, Session, TooBig

_PAGE = 500  # keys


def pages(session: Session, start: bytes, end: bytes) -> Iterator[Page]:
    """The pages of a range, each pinned to the revision of the first. Raises `SourceError`.

    ``Page.total`` counts the keys from this page on.
    """
    limit, revision = _PAGE, 0
    while True:
        try:
            page = session.range(start, end, limit=limit, revision=revision)
        except TooBig:
            if limit == 1:
                raise
            limit = max(1, limit // 4)
            continue
        yield page
        if not page.more or not page.items:
            return
        revision = revision or page.revision
        start = page.items[-1].key + b"\0"
