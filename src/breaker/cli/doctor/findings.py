"""What the doctor finds: good, worth a note, or wrong."""

from __future__ import annotations

from typing import NamedTuple

OK, NOTE, WRONG = "ok", "note", "wrong"


class Finding(NamedTuple):
    """One line: about what, how it is, in words, and what to do about it (empty: nothing)."""

    topic: str
    status: str
    text: str
    remedy: str = ""
