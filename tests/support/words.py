"""The fenced blocks of a page, and the program that its Python blocks are."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

NOT_RUN = re.compile(r"<!-- not run: *(.*?) *-->")
_FENCE = re.compile(r"^( *)(```+|~~~+) *(\w*)")


@dataclass(frozen=True)
class Block:
    """A fenced block: the number of its first line (from 1), its language, its lines, why it is left out."""

    line: int
    language: str
    lines: list[str]
    excluded: str | None


def blocks(text: str) -> list[Block]:
    found = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        at += 1
        if fence is None:
            continue
        indent, mark, language = fence.groups()
        end = next((n for n in range(at, len(lines)) if lines[n].strip() == mark), len(lines))
        assert end < len(lines), f"the block at line {at} has no end"
        above = next((line for line in reversed(lines[: at - 1]) if line.strip()), "")
        reason = NOT_RUN.search(above)
        body = [line.removeprefix(indent) for line in lines[at:end]]
        found.append(Block(at + 1, language, body, reason[1] if reason else None))
        at = end + 1
    return found


def program(parts: list[Block]) -> str:
    """The blocks as one program, each at the line where it stands in its file."""
    lines: list[str] = []
    for part in parts:
        lines += [""] * (part.line - 1 - len(lines)) + part.lines
    return "\n".join(lines) + "\n"


def outside_blocks(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)(```+|~~~+).*?^ *\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)


def literal_blocks(docstring: str) -> list[str]:
    """The indented texts of a docstring that follow a line which ends with two colons."""
    found = re.findall(r"::\n\n((?: {4,}.*\n|\n)+)", docstring + "\n")
    return [textwrap.dedent(text).strip("\n") for text in found]
