"""From documents to policies: what each document says, what is wrong with it, and which policy a name gets.

Resolution is field by field: ``{name}.json``, then ``default.json``, then the provider's default policy. For a document
that is not valid its last good version stands in; if it never had one, it counts as absent. A policy that contradicts
itself only once it is put together of several documents is nobody's: see `policy_for` and `update_for`.
Rules S123, S124 and S217 of docs/states.md.
"""

from __future__ import annotations

from breaker.errors import PolicyError
from breaker.policies.documents import Unreadable, read_document
from breaker.policies.names import DEFAULT_NAME, SUFFIX, document_key, document_name
from breaker.policies.trip_rules import contradiction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from breaker.policies.documents import Document
    from breaker.policies.origin import DocumentOrigin, PolicyOrigin
    from breaker.policies.policy import Policy

_DEFAULT_KEY = DEFAULT_NAME + SUFFIX


class Difference:
    """What a publication brought: whose policy may differ now, and what there is to report."""

    __slots__ = ("applied", "deleted", "everybody", "names", "rejected", "unchanged", "unknown_fields")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.everybody = False  # default.json changed
        self.rejected: list[tuple[str, PolicyError]] = []  # key, error
        self.unknown_fields: dict[str, list[str]] = {}  # key → fields
        self.applied: set[str] = set()  # these three are keys, for the counts of S133
        self.unchanged: set[str] = set()  # written anew and saying the same
        self.deleted: set[str] = set()

    def counts(self) -> dict[str, int]:
        """How many documents were applied, unchanged, invalid, deleted (S133)."""
        counts = {
            "applied": len(self.applied),
            "unchanged": len(self.unchanged),
            "invalid": len(self.rejected),
            "deleted": len(self.deleted),
        }
        return counts if any(counts.values()) else counts | {"unchanged": 1}


class Resolution:
    """The documents of one provider as they are now. Not thread-safe: `Updates` holds its lock."""

    def __init__(self, default_policy: Policy) -> None:
        self._default_policy = default_policy
        self._raw: dict[str, Document] = {}
        self._fields: dict[str, dict[str, Any]] = {}  # of the last good version
        self._revisions: dict[str, int] = {}  # key → that brought what is there now
        self._errors: dict[str, PolicyError] = {}  # key → why what is there now is not in force
        self._origins: dict[str, PolicyOrigin] = {}  # those that were asked for, until documents change
        self._for_all_others = default_policy
        self._for_all_others_error: PolicyError | None = None
        self._reported: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}  # contradictions: key → what said so

    def policy_for(self, name: str) -> Policy:
        """The policy that a new breaker of this name has by the documents of now.

        If it would contradict itself: that without the breaker's own document, or else the provider's default.
        """
        policy = self.update_for(name)
        if policy is None:
            policy = self._for_all_others if self._for_all_others_error is None else self._default_policy
        return policy

    def update_for(self, name: str) -> Policy | None:
        """The policy that a breaker gets by the documents of now. None: that would contradict itself."""
        key = document_key(name)
        fields = self._fields.get(key) if self._fields else None
        if not fields:
            return self._for_all_others if self._for_all_others_error is None else None
        policy = self._for_all_others.merged(fields)
        return policy if self._contradiction(key, policy) is None else None

    def _contradiction(self, key: str, policy: Policy) -> PolicyError | None:
        def whence(name: str) -> str:
            if name in self._fields.get(key, {}):
                return key
            inherited = name in self._fields.get(_DEFAULT_KEY, {})
            return _DEFAULT_KEY if inherited else "the provider's default policy"

        return contradiction(policy, lambda row: row.key, whence)

    def origin_of(self, name: str) -> PolicyOrigin:
        """Where the policy of this name comes from by the documents of now."""
        own = document_key(name)
        key = own if own in self._raw else _DEFAULT_KEY
        if key not in self._origins:
            self._origins[key] = self._origin_by(own, name)
        return self._origins[key]

    def _origin_by(self, own: str, name: str) -> PolicyOrigin:
        from breaker.policies.origin import PolicyOrigin  # brings `typing`, which nothing else here needs

        keys = [key for key in (own, _DEFAULT_KEY) if key in self._raw]
        policy = self.update_for(name)
        used = keys if policy is not None else [_DEFAULT_KEY] if self._for_all_others_error is None else []
        fields = {}
        for row in self._default_policy.fields.values():
            fields[row.key] = next((key for key in used if row.name in self._fields.get(key, {})), None)
        return PolicyOrigin(fields, tuple([self._origin_of_document(key) for key in keys]))

    def _origin_of_document(self, key: str) -> DocumentOrigin:
        from breaker.policies.origin import DocumentOrigin

        error = self._errors.get(key)
        if error is None and key == _DEFAULT_KEY:
            error = self._for_all_others_error
        elif error is None and key in self._fields:
            error = self._contradiction(key, self._for_all_others.merged(self._fields[key]))
        return DocumentOrigin(key, self._revisions[key], None if error is None else str(error.at(key)))

    def update(self, documents: Mapping[str, Document], revision: int = 0) -> Difference:
        """Take over a complete set of documents and say what changed. Bad documents are reported, not raised."""
        change = Difference()
        self._origins.clear()
        for key in self._raw.keys() - documents.keys():
            for known in (self._fields, self._revisions, self._errors):
                known.pop(key, None)
            if self._touch(key, change):
                change.deleted.add(key)
        for key, document in documents.items():
            if key not in self._raw or self._raw[key] != document:
                self._revisions[key] = revision
                self._read(key, document, change)
        self._raw = dict(documents)
        self._for_all_others = self._default_policy.merged(self._fields.get(_DEFAULT_KEY, {}))
        self._for_all_others_error = self._contradiction(_DEFAULT_KEY, self._for_all_others)
        self._report(change)
        change.applied.difference_update([key for key, _ in change.rejected])
        return change

    def _report(self, change: Difference) -> None:
        """Report contradictions between documents, each pair of contents once."""
        touched = {document_key(name) for name in change.names}
        if change.everybody:
            touched |= {_DEFAULT_KEY, *(key for key in self._fields if document_name(key) is not None)}
        for key in sorted(touched):
            fields = self._fields.get(key)
            said = (fields or {}, self._fields.get(_DEFAULT_KEY, {}))
            error = None
            if key == _DEFAULT_KEY:
                error = self._for_all_others_error
            elif fields is not None:
                error = self._contradiction(key, self._for_all_others.merged(fields))
            if error is None:
                self._reported.pop(key, None)
            elif self._reported.get(key) != said:
                self._reported[key] = said
                change.rejected.append((key, error))

    def _read(self, key: str, document: Document, change: Difference) -> None:
        try:
            if isinstance(document, Unreadable):
                raise PolicyError(None, "readable", document.reason)
            if not isinstance(document, bytes | str):
                raise PolicyError(None, "readable", f"{type(document).__name__} from a source that publishes no text")
            fields, unknown = read_document(document, self._default_policy.fields)
        except PolicyError as error:
            self._errors[key] = error
            change.rejected.append((key, error))
            return
        self._errors.pop(key, None)
        if unknown:
            change.unknown_fields[key] = unknown
        same = self._fields.get(key) == fields
        self._fields[key] = fields
        if self._touch(key, change):
            (change.unchanged if same else change.applied).add(key)

    def _touch(self, key: str, change: Difference) -> bool:
        """Note whose policy may differ now. Returns whether the key is that of a policy."""
        if key == _DEFAULT_KEY:
            change.everybody = True
        elif (name := document_name(key)) is not None:
            change.names.add(name)
        else:
            return False
        return True
