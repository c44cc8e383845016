"""Exit codes, and what is said of an error: one line on standard error, with ``--json`` an object on standard output.

====  ==============================================================================================
code  meaning
====  ==============================================================================================
0     done
1     the answer is no: documents differ, are not valid or are not there; something is wrong here
2     wrong arguments, or a field that no policy may have
3     the source cannot be read or written: unreachable, no permission, refused
4     not written, because somebody has changed the document since it was read
5     not confirmed
6     a mode was not taken back; the line says the command that does it
128+n stopped by signal n: 130 Ctrl-C, 141 the reader of the output went away, 143 SIGTERM
====  ==============================================================================================
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from breaker.cli import output
from breaker.errors import BreakerError, RevisionConflict, SourceError


class Code(IntEnum):
    """The exit codes below 128."""

    DONE = 0
    NO = 1
    USAGE = 2
    SOURCE = 3
    CONFLICT = 4
    UNCONFIRMED = 5
    LEFT = 6


class Mistake(Exception):
    """Something that its user has to mend. ``prog``: the command, where it is not the one that runs."""

    def __init__(self, message: str, code: Code = Code.USAGE, *, prog: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.prog = prog


@dataclass
class Outcome:
    """How a command has ended."""

    code: int = 0
    prog: str = "breaker"


@contextmanager
def told(words: Sequence[str]) -> Iterator[Outcome]:
    """Say the errors of the block and keep their code. ``words``: the arguments, which may not be parsed yet."""
    outcome = Outcome()
    try:
        yield outcome
    except SystemExit as leaving:  # argparse leaves this way after --help
        outcome.code = leaving.code if isinstance(leaving.code, int) else 0
        try:
            output.finish()
        except output.Gone as error:
            _tell_gone(outcome, error)
    except output.Gone as error:
        _tell_gone(outcome, error)
    except (Mistake, BreakerError, OSError) as error:
        outcome.prog = getattr(error, "prog", None) or outcome.prog
        outcome.code = _code_of(error)
        _tell(outcome, in_words_of_the_command_line(str(error)), "--json" in words)


def _tell_gone(outcome: Outcome, error: output.Gone) -> None:
    outcome.code = error.code
    if error.problem:
        output.note(f"{outcome.prog}: error: {error.problem}")


def _code_of(error: Mistake | BreakerError | OSError) -> Code:
    if isinstance(error, Mistake):
        return error.code
    if isinstance(error, RevisionConflict):
        return Code.CONFLICT
    return Code.SOURCE if isinstance(error, SourceError | OSError) else Code.NO


def _tell(outcome: Outcome, message: str, as_json: bool) -> None:
    output.note(f"{outcome.prog}: error: {message}")
    if as_json:
        kind = Code(outcome.code).name.lower()
        try:
            output.emit({"error": {"code": int(outcome.code), "kind": kind, "message": message}})
            output.finish()
        except output.Gone:
            pass  # the code says it too


_WORDS = (
    (r"\buser= and password=", "--user and its password"),
    (r"\bpassword=", "the password"),
    (r"\b(user|ca|cert|key)=(?=$|[\s,;:)])", r"--\1"),
    (r"\bserver_name=", "--server-name"),
    (r"\btransport='etcd3'", "--transport etcd3"),
    (r"\bwrite https://", "write etcds://"),
    (r"\bwrite http://", "write etcd://"),
    (r"http:// or https://", "etcd:// or etcds://"),
)


def in_words_of_the_command_line(text: str) -> str:
    """A text of the package, whose remedies are Python's arguments, with the options that they are here."""
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


def code_of_signal(number: int) -> int:
    """The exit code of a command that this signal has stopped."""
    return 128 + signal.Signals(number)
