"""The error tree::

    Exception
    └── BreakerError            everything this package raises on purpose
        ├── BreakerOpenError    a call was rejected: name, state, retry_after, reason, last_error
        ├── PolicyError         a policy is wrong (also a ValueError): field, expected, got, hint, where
        └── SourceError         a source of policies cannot be read or written
            └── RevisionConflict    a document has changed since it was read: name, expected, found

A wrong argument to any other function is the usual `TypeError` or `ValueError`.
"""

from __future__ import annotations

from breaker._core import BreakerError, BreakerOpenError

__all__ = ["BreakerError", "BreakerOpenError", "PolicyError", "RevisionConflict", "SourceError"]


class PolicyError(BreakerError, ValueError):
    """A policy, or a document of one, says something that is not allowed.

    ``field`` is the name as its writer spelled it (None where the whole document is meant), ``expected`` says what
    may stand there, ``got`` shows what stood there, ``hint`` says how to write it, ``where`` is the key of the
    document (None for a policy made in Python).
    """

    def __init__(self, field: str | None, expected: str, got: str, hint: str = "", where: str | None = None) -> None:
        super().__init__(field, expected, got, hint, where)
        self.field = field
        self.expected = expected
        self.got = got
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        subject = self.field or "the document"
        advice = f"; {self.hint}" if self.hint else ""
        return f"{place}{subject} must be {self.expected}, got {self.got}{advice}"

    def at(self, where: str) -> PolicyError:
        """The same error with the key of the document it stood in."""
        return PolicyError(self.field, self.expected, self.got, self.hint, where)


class SourceError(BreakerError):
    """A source of policies could not be read or written; the text says where, why and how to mend it."""


class RevisionConflict(SourceError):
    """A document was not written, because it is not the one that its writer had read.

    ``name`` of the breaker, ``expected`` and ``found`` are revisions of the document's last change; 0: there is none.
    """

    def __init__(self, name: str, expected: int, found: int) -> None:
        super().__init__(name, expected, found)
        self.name = name
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        found = f"revision {self.found}" if self.found else "no document"
        expected = f"revision {self.expected}" if self.expected else "none"
        return (
            f"the document of {self.name!r} was not written: expected {expected}, found {found}; read it and try again"
        )
