"""Documents in files that are named on the command line."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence

from breaker.cli.trouble import Mistake
from breaker.policies.documents import MAX_DOCUMENT_BYTES
from breaker.policies.names import SUFFIX
from breaker.sources.base import Document, Unreadable
from breaker.sources.document_files import read_file

STANDARD_INPUT = "-"


def read_document_file(file: str) -> bytes:
    """The text of a document; ``-`` reads standard input. Raises `Mistake`."""
    found = read_one(file)
    if isinstance(found, Unreadable):
        raise Mistake(f"{file}: {found.reason}")
    return found


def read_one(file: str) -> bytes | Unreadable:
    """The text in a file that is expected to be there; ``-`` reads standard input."""
    if file == STANDARD_INPUT:
        if sys.stdin is None:
            return Unreadable("there is no standard input")
        return sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1)
    found: Document | None = read_file(file)
    if found is None:
        return Unreadable("there is no such file")
    assert not isinstance(found, str)
    return found


def is_file(word: str) -> bool:
    """Whether a word of the command line means a file, where it may mean a breaker too."""
    return word == STANDARD_INPUT or word.endswith(SUFFIX) or os.path.isfile(word)


def expand(words: Sequence[str]) -> list[str]:
    """The files that files, patterns and directories stand for, each once. Raises `Mistake` where there is none."""
    found: dict[str, None] = {}
    for word in words:
        if os.path.isdir(word):
            files = sorted(glob.glob(os.path.join(glob.escape(word), "**", "*" + SUFFIX), recursive=True))
            if not files:
                raise Mistake(f"{word}: no file in this directory ends in {SUFFIX}")
        elif not os.path.lexists(word) and glob.has_magic(word):
            files = sorted(file for file in glob.glob(word, recursive=True) if not os.path.isdir(file))
            if not files:
                raise Mistake(f"{word}: no file matches")
        else:
            files = [word]
        found.update(dict.fromkeys(files))
    return list(found)
