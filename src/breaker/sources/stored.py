"""What all stores do alike: names and keys, what may be written, what is listed, and which path is meant."""

from __future__ import annotations

import json
from collections.abc import Mapping

from breaker.errors import PolicyError, RevisionConflict
from breaker.policies.documents import read_document
from breaker.policies.names import DEFAULT_NAME, NAME_HINT, SUFFIX, check_name, document_key, read_policies_path
from breaker.policies.policy import Policy
from breaker.sources.base import ABSENT, Document, Given, Revision, StoredPolicy, Unreadable, Watch

_IGNORED = 50  # keys that are no policies, of which each is named


def document_key_of(name: str) -> str:
    """The key of a breaker's document, or of ``"default"``. Raises `TypeError` or `ValueError` for no such name."""
    if name == DEFAULT_NAME:
        return DEFAULT_NAME + SUFFIX
    check_name(name)
    return document_key(name)


def raw_document(document: Given) -> bytes | str:
    """The JSON text of a document, valid or not. Raises `TypeError` for what cannot be one."""
    if isinstance(document, Policy):
        return document.to_json()
    if isinstance(document, bytes | str):
        return document
    if isinstance(document, bytearray | memoryview):
        return bytes(document)
    if isinstance(document, Mapping):
        return json.dumps(dict(document))
    raise TypeError(f"a document is JSON text, a mapping or a Policy, got {type(document).__name__}")


def valid_document(policy: Given, place: str) -> bytes:
    """The text that `PolicyStore.put` writes. Raises `PolicyError` that names ``place``, or `TypeError`."""
    document = raw_document(policy)
    try:
        _, unknown = read_document(document, Policy.fields)
    except PolicyError as error:
        raise error.at(place) from None
    if unknown:
        raise PolicyError(unknown[0], "a field of a policy", "an unknown name", where=place)
    return document.encode() if isinstance(document, str) else document


def check_expected(expected: Revision | None, kind: type[int] | type[str]) -> None:
    """Raise `TypeError` unless this may be an ``expected_revision`` of a store with revisions of this kind."""
    if expected is None or type(expected) is kind or (type(expected) is int and expected == ABSENT):
        return
    wanted = f"a revision of this store ({'a number' if kind is int else 'text'}), 0 for no document, or None"
    raise TypeError(f"expected_revision must be {wanted}, got {expected!r}")


def refuse_conflict(name: str, expected: Revision | None, found: Revision, place: str | None = None) -> None:
    """Raise `RevisionConflict` unless the document is the expected one."""
    if expected is not None and expected != found:
        raise RevisionConflict(name, expected, found, place)


def stored_policy(name: str, document: Document, revision: Revision, place: str) -> StoredPolicy:
    """A line of `PolicyStore.list`. ``place`` is named by its error."""
    if isinstance(document, Unreadable):
        return StoredPolicy(name, b"", revision, None, str(PolicyError(None, "readable", document.reason, where=place)))
    text = document.encode(errors="surrogatepass") if isinstance(document, str) else document
    try:
        fields, _ = read_document(document, Policy.fields)  # which may need what others say, so they are not compared
        return StoredPolicy(name, text, revision, Policy().merged(fields), None)
    except PolicyError as error:
        return StoredPolicy(name, text, revision, None, str(error.at(place)))


class StorePath:
    """Which policies path a store's `put`, `delete` and `list` mean, whose arguments do not say so.

    The one that was given; without one, the one path of the providers that the source serves.
    """

    def __init__(self, owner: str, policies_path: str | None) -> None:
        self._owner = owner  # the class, for the error
        self._given = None if policies_path is None else read_policies_path(policies_path)
        self._served: set[str] = set()

    def serve(self, path: str) -> None:
        """Remember the path of a provider."""
        self._served.add(path)

    def get(self) -> str:
        """The path. Raises `ValueError` where it would be a guess."""
        if self._given is not None:
            return self._given
        served = sorted(self._served.copy())  # a copy is made in one step, whatever other threads add
        if len(served) != 1:
            known = f"it serves {', '.join(served)}" if served else "it serves no provider yet"
            raise ValueError(f"which documents? {known}; pass policies_path= to {self._owner}")
        return served[0]


class IgnoredKeys:
    """The keys of a source that look like policies and are none. One watch is warned about each of them once.

    About 50 of them: whoever has more has the wrong place, or a server that floods.
    """

    def __init__(self, watch: Watch, what: str) -> None:
        self._watch = watch
        self._what = what  # "file" or "key"
        self._seen: set[str] = set()

    def warn(self, place: str) -> None:
        """Warn about the key or file at ``place`` (text that can be logged), unless that was done."""
        if place in self._seen or len(self._seen) > _IGNORED:
            return
        self._seen.add(place)
        message = f"circuit breaker policy {self._what} ignored"
        if len(self._seen) > _IGNORED:
            self._watch.warn(message, error=f"more than {_IGNORED} have such names, and no more of them are named")
        else:
            self._watch.warn(message, **{self._what: place}, error=NAME_HINT)
