"""What commands print: text and JSON on standard output, notes and questions on standard error.

Names and documents come from others: what is shown of them holds no control characters, so that none reaches a
terminal. Lines are kept until the command ends or flushes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, TextIO


class Gone(Exception):
    """Standard output takes no more. ``problem`` is empty where its reader went away, which needs no word."""

    def __init__(self, code: int, problem: str = "") -> None:
        super().__init__(code, problem)
        self.code = code
        self.problem = problem


def prepare() -> None:
    """Let no character fail that the streams cannot encode, and no answer that they cannot decode."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def say(line: str = "") -> None:
    """One line of the answer. Raises `Gone`."""
    if sys.stdout is None:
        raise Gone(128 + signal.SIGPIPE)
    try:
        sys.stdout.write(line + "\n")
    except OSError as error:
        raise gone(error) from None


def emit(value: object) -> None:
    """One line of JSON, in ASCII. Raises `Gone`."""
    say(json.dumps(value))


def finish() -> None:
    """Bring out what was said. Raises `Gone`."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        raise gone(error) from None


def note(line: str) -> None:
    """One line beside the answer: an error, a hint. Never fails."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # AttributeError: there is no standard error
        sys.stderr.write(clean(line) + "\n")
        sys.stderr.flush()


def ask(question: str) -> None:
    """A question on standard error, which leaves the answer's place on its line. Never fails."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(question)
        sys.stderr.flush()


def gone(error: OSError) -> Gone:
    """What to raise where standard output cannot be written."""
    with contextlib.suppress(OSError, ValueError):  # the interpreter's last flush goes nowhere instead of failing again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    if isinstance(error, BrokenPipeError):
        return Gone(128 + signal.SIGPIPE)
    return Gone(1, f"cannot write to standard output: {error.strerror}")


def clean(text: str) -> str:
    """Text of others on one line, without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shown(value: Any) -> str:
    """A value of a document as its line shows it: JSON, texts without quotes."""
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


# -- colours --

_CODES = {"good": "32", "bad": "31", "changed": "33", "faint": "2", "strong": "1"}


def coloured(stream: TextIO | None) -> bool:
    """Whether it is a terminal that may be given colours: https://no-color.org, TERM=dumb."""
    return (
        stream is not None and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def styled(text: str, style: str) -> str:
    """Text for standard output in a colour, where that has any."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if coloured(sys.stdout) else text


def say_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns, by ``rich`` on a terminal where that is installed. Raises `Gone`."""
    if coloured(sys.stdout) and _say_with_rich(titles, rows):
        return
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for cells in (titles, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _say_with_rich(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: names are no markup
    console = Console(file=sys.stdout)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        say(line.rstrip())
    return True
