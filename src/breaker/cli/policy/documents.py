"""What is in a store at one moment: documents, the policies that they come to, and where each field is from."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from breaker.cli.output import clean
from breaker.errors import PolicyError
from breaker.policies.documents import read_document
from breaker.policies.names import DEFAULT_NAME
from breaker.policies.policy import Policy
from breaker.policies.trip_rules import contradiction
from breaker.sources.base import ABSENT, PolicyStore, Revision, StoredPolicy

OWN, DEFAULT, BUILT_IN = "own", "default.json", "built-in"


class Effective(NamedTuple):
    """The policy of a breaker by the documents, for a program whose own default policy is the built-in one.

    ``origin``: key → `OWN`, `DEFAULT` or `BUILT_IN`. ``error``: why no program takes it, if the documents contradict
    each other.
    """

    policy: Policy
    origin: dict[str, str]
    error: str | None

    def document(self) -> dict[str, Any]:
        """Every field: key → value as in a document; None for one that is off or has no value of its own."""
        return {row.key: row.write_json(self.policy._held[name]) for name, row in Policy.fields.items()}


class Documents:
    """The documents of a store, by name."""

    def __init__(self, stored: Mapping[str, StoredPolicy]) -> None:
        self.stored = stored
        self._texts = {name: each.document for name, each in stored.items()}
        self._errors = {name: each.error for name, each in stored.items() if each.error is not None}

    @classmethod
    def of(cls, store: PolicyStore) -> Documents:
        """Those of now. Raises `SourceError`."""
        return cls(store.list())

    def revision(self, name: str) -> Revision:
        """Of the document; `ABSENT` if there is none."""
        return self.stored[name].revision if name in self.stored else ABSENT

    def text(self, name: str) -> bytes | None:
        """The document, or None."""
        return self._texts.get(name)

    def error(self, name: str) -> str | None:
        """Why the document is not valid; None: it is, or there is none."""
        return self._errors.get(name)

    def with_document(self, name: str, text: bytes | None) -> Documents:
        """As they would be with this document, or without it."""
        others = Documents(self.stored)
        others._texts = {key: value for key, value in self._texts.items() if key != name}
        others._errors = {key: value for key, value in self._errors.items() if key != name}
        if text is not None:
            others._texts[name] = text
        return others

    def fields(self, name: str) -> dict[str, Any]:
        """What a document says, by the names of the rows; nothing where there is none or it is not valid."""
        text = self._texts.get(name)
        if text is None or name in self._errors:
            return {}
        try:
            return read_document(text, Policy.fields)[0]
        except PolicyError:
            return {}

    def effective(self, name: str) -> Effective:
        """The policy of a breaker, or with ``"default"`` of all without a document of their own."""
        default = self.fields(DEFAULT_NAME)
        own = {} if name == DEFAULT_NAME else self.fields(name)
        rows = Policy.fields
        origin = {key: OWN if key in own else DEFAULT if key in default else BUILT_IN for key in rows}
        policy = Policy().merged({**default, **own})
        found = contradiction(policy, lambda row: row.key, lambda row: origin[row])
        by_key = {rows[row].key: where for row, where in origin.items()}
        return Effective(policy, by_key, None if found is None else str(found))

    def contradictions(self) -> dict[str, str]:
        """Name → error, for each document whose policy contradicts itself."""
        found = {name: self.effective(name).error for name in self._texts}
        return {name: error for name, error in found.items() if error is not None}

    def similar(self, name: str) -> str:
        """A hint for a name that has no document: those that look like it."""
        near = difflib.get_close_matches(name, [each for each in self._texts if each != name], 3, 0.7)
        return f"; did you mean {' or '.join(map(clean, near))}?" if near else ""


def values_of(text: bytes | None) -> dict[str, Any] | None:
    """The keys and values of a document as they are written, or None if it is no JSON object, or has a key twice."""
    if text is None:
        return None
    try:
        found = json.loads(text.decode().removeprefix("\ufeff"), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def changes_between(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """Key → [value before, value after], None for a key that is not there, for all that differ.

    A key whose value is ``null`` differs from one that is not there; both show as None.
    """
    before, after = before or {}, after or {}
    keys = [*before, *(key for key in after if key not in before)]
    return {
        key: [before.get(key), after.get(key)]
        for key in keys
        if (key in before) != (key in after) or before[key] != after[key]
    }
