"""From documents to policies: what each document says, what is wrong with it, and which policy a name gets.

Resolution is field by field: ``{name}.json``, then ``default.json``, then the provider's default policy. For a document
that is not valid its last good version stands in; if it never had one, it counts as absent.
Rules S123 and S124 of docs/states.md.
"""

from __future__ import annotations

from breaker.errors import PolicyError
from breaker.policies.documents import Unreadable, read_document
from breaker.policies.names import DEFAULT_NAME, SUFFIX, document_key, document_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from breaker.policies.documents import Document
    from breaker.policies.policy import Policy

_DEFAULT_KEY = DEFAULT_NAME + SUFFIX


class Difference:
    """What a publication brought: whose policy may differ now, and what there is to report."""

    __slots__ = ("everybody", "names", "rejected", "unknown_fields")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.everybody = False  # default.json changed
        self.rejected: list[tuple[str, PolicyError]] = []  # key, error
        self.unknown_fields: dict[str, list[str]] = {}  # key → fields


class Resolution:
    """The documents of one provider as they are now. Not thread-safe: `Updates` holds its lock."""

    def __init__(self, default_policy: Policy) -> None:
        self._default_policy = default_policy
        self._raw: dict[str, Document] = {}
        self._fields: dict[str, dict[str, Any]] = {}  # of the last good version
        self._for_all_others = default_policy

    def policy_for(self, name: str) -> Policy:
        """The policy that a breaker of this name has by the documents of now."""
        fields = self._fields.get(document_key(name)) if self._fields else None
        return self._for_all_others.merged(fields) if fields else self._for_all_others

    def update(self, documents: Mapping[str, Document]) -> Difference:
        """Take over a complete set of documents and say what changed. Bad documents are reported, not raised."""
        change = Difference()
        for key in self._raw.keys() - documents.keys():
            self._fields.pop(key, None)
            self._touch(key, change)
        for key, document in documents.items():
            if key not in self._raw or self._raw[key] != document:
                self._read(key, document, change)
        self._raw = dict(documents)
        self._for_all_others = self._default_policy.merged(self._fields.get(_DEFAULT_KEY, {}))
        return change

    def _read(self, key: str, document: Document, change: Difference) -> None:
        try:
            if isinstance(document, Unreadable):
                raise PolicyError(None, "readable", document.reason)
            if not isinstance(document, bytes | str):
                raise PolicyError(None, "readable", f"{type(document).__name__} from a source that publishes no text")
            fields, unknown = read_document(document, self._default_policy.fields)
        except PolicyError as error:
            change.rejected.append((key, error))
            return
        if unknown:
            change.unknown_fields[key] = unknown
        self._fields[key] = fields
        self._touch(key, change)

    def _touch(self, key: str, change: Difference) -> None:
        if key == _DEFAULT_KEY:
            change.everybody = True
        elif (name := document_name(key)) is not None:
            change.names.add(name)
