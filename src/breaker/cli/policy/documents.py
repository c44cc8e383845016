"""What is in a store at one moment: documents, the policies that they come to, and where each field is from."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from breaker.cli.output import clean
from breaker.policies.names import document_key
from breaker.policies.policy import Policy
from breaker.policies.resolution import Resolution
from breaker.sources.base import ABSENT, PolicyStore, Revision, StoredPolicy

OWN, BUILT_IN = "own", "built-in"


class Effective(NamedTuple):
    """The policy of a breaker in a program that starts now and whose own default policy is the built-in one.

    ``origin``: key → `OWN`, ``default.json`` or `BUILT_IN`. ``error``: of documents that contradict each other once
    they are put together; ``policy`` then is what the breaker gets in place of that.
    """

    policy: Policy
    origin: dict[str, str]
    error: str | None

    def document(self) -> dict[str, Any]:
        """Every field: key → value as in a document; None for one that is off or has no value of its own."""
        shown = self.policy.document(whole=True)
        return {row.key: shown.get(row.key) for row in Policy.fields.values()}


class Documents:
    """The documents of a store, by name.

    Args:
        stored: As the store lists them.
        texts: Valid ones in place of those, None: as if it were not there.
    """

    def __init__(self, stored: Mapping[str, StoredPolicy], texts: Mapping[str, bytes | None] | None = None) -> None:
        self.stored = stored
        changed = texts or {}
        all_texts = {name: each.document for name, each in stored.items()} | dict(changed)
        self._texts = {name: text for name, text in all_texts.items() if text is not None}
        self._errors = {name: each.error for name, each in stored.items() if each.error and name not in changed}
        self._resolution = Resolution(Policy())
        found = self._resolution.update({document_key(name): text for name, text in self._texts.items()})
        self._rejected = {key: str(error) for key, error in found.rejected}

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
        """As they would be with this document, which is valid, or without it."""
        return Documents(self.stored, {name: text})

    def effective(self, name: str) -> Effective:
        """The policy of a breaker, or with ``"default"`` of all without a document of their own."""
        own = document_key(name)
        keys = self._resolution.origin_of(name).fields
        origin = {field: BUILT_IN if key is None else OWN if key == own else key for field, key in keys.items()}
        return Effective(self._resolution.policy_for(name), origin, self.contradiction(name))

    def contradiction(self, name: str) -> str | None:
        """Why no program takes the policy, though the document is valid; None: it does."""
        return None if name in self._errors else self._rejected.get(document_key(name))

    def contradictions(self) -> dict[str, str]:
        """Name → error, for each document whose policy contradicts itself."""
        found = {name: self.contradiction(name) for name in self._texts}
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
        found = json.loads(
            text.decode().removeprefix("\ufeff"),
            object_pairs_hook=_object,
            parse_constant=refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def refuse_constant(constant: str) -> Any:
    """What ``json`` reads and what is no JSON: NaN and the infinities."""
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float | str:
    """A number that no float can be is its text: shown as JSON, infinity would be none."""
    return value if math.isfinite(value := float(number)) else number


def _integer(number: str) -> int | str:
    """One that has too many digits for Python is its text, too."""
    try:
        return int(number)
    except ValueError:
        return number


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
