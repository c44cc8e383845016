"""The error tree::

    Exception
    └── BreakerError            everything this package raises on purpose
        ├── BreakerOpenError    a call was rejected: name, state, retry_after, reason, last_error
        ├── PolicyError         a policy is wrong (also a ValueError): field, expected, got, hint, where
        ├── RecordingError      recorded calls cannot be read (also a ValueError): source, line, expected, got
        └── SourceError         a source of policies cannot be read or written: endpoint
            ├── Unreachable         no answer in time, or none at all: the next try may do better
            ├── Refused             the answer is no: somebody has to mend it first
            ├── Interrupted         what was read is of another time: read it again
            ├── TooBig              an answer has more bytes than this program takes at once
            └── RevisionConflict    a document has changed since it was read: name, expected, found

A wrong argument to any other function is the usual `TypeError` or `ValueError`.
"""

from __future__ import annotations

from breaker._core import BreakerError, BreakerOpenError

__all__ = [
    "BreakerError",
    "BreakerOpenError",
    "Interrupted",
    "PolicyError",
    "RecordingError",
    "Refused",
    "RevisionConflict",
    "SourceError",
    "TooBig",
    "Unreachable",
]


class PolicyError(BreakerError, ValueError):
    """A policy, or a document of one, says something that is not allowed.

    Args:
        field: The name as its writer spelled it; None if the whole document is meant.
        expected: What may stand there.
        got: What stood there.
        hint: How to write it.
        where: The key of the document; None for a policy made in Python.

    .. versionadded:: 0.1
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
        """The same error with the key of the document it stood in.

        Args:
            where: That key.
        """
        return PolicyError(self.field, self.expected, self.got, self.hint, where)


class RecordingError(BreakerError, ValueError):
    """A file of recorded calls has a line that is none.

    Args:
        source: The file.
        line: The number of its line, from 1; 0: all of it.
        expected: What it must be.
        got: What it is.

    .. versionadded:: 0.1
    """

    def __init__(self, source: str, line: int, expected: str, got: str) -> None:
        super().__init__(source, line, expected, got)
        self.source = source
        self.line = line
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        where = f"{self.source}, line {self.line}" if self.line else self.source
        return f"{where}: expected {self.expected}, got {self.got}"


class SourceError(BreakerError):
    """A source of policies could not be read or written; the text says where, why and how to mend it.

    Args:
        problem: The text.
        endpoint: The server, the file or the directory that was spoken to; None where there is none to name.

    .. versionadded:: 0.1
    """

    def __init__(self, problem: str, endpoint: str | None = None) -> None:
        super().__init__(*((problem,) if endpoint is None else (problem, endpoint)))
        self.endpoint = endpoint

    def __str__(self) -> str:
        return str(self.args[0])


class Unreachable(SourceError):
    """No answer, in time or at all: the next try, or the next member of the cluster, may do better.

    Arguments are those of `SourceError`.

    .. versionadded:: 0.1
    """


class Refused(SourceError):
    """The answer is no (password, permission, certificate, a full disk): somebody has to mend it first.

    Arguments are those of `SourceError`.

    .. versionadded:: 0.1
    """


class Interrupted(SourceError):
    """What was read has a gap or is of another history: read it again.

    Arguments are those of `SourceError`.

    .. versionadded:: 0.1
    """


class TooBig(SourceError):
    """An answer has more bytes than this program takes at once: ask for less.

    Arguments are those of `SourceError`.

    .. versionadded:: 0.1
    """


class RevisionConflict(SourceError):
    """A document was not written, because it is not the one that its writer had read.

    Args:
        name: The breaker's, or ``"default"``.
        expected: The revision of the document's last change that the writer knew; 0: that there was none.
        found: The revision that was there instead; 0: there was none.
        endpoint: As for `SourceError`.

    .. versionadded:: 0.1
    """

    def __init__(self, name: str, expected: int | str, found: int | str, endpoint: str | None = None) -> None:
        super().__init__("", endpoint)
        self.args = (name, expected, found) if endpoint is None else (name, expected, found, endpoint)
        self.name = name
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        found = f"revision {self.found}" if self.found else "no document"
        expected = f"revision {self.expected}" if self.expected else "none"
        return (
            f"the document of {self.name!r} was not written: expected {expected}, found {found}; read it and try again"
        )
