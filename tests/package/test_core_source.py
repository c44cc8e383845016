"""What the core's source must not say, because of what Cython makes of it, and which Cython it is built with."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src/breaker"
SOURCES = [CORE / "_core.pyx", *sorted(CORE.glob("native/*.pxi"))]
OPENERS = {"(": ")", "[": "]", "{": "}"}


def comprehensions(source: str) -> Iterator[str]:
    """``"[ line"`` for each comprehension or generator expression, with the bracket that it is in."""
    # "?" and "!" are no Python; no string of these files needs them to be read as one.
    readable = re.sub("[?!$]", " ", source)
    inside: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(readable).readline):
        if token.string in OPENERS:
            inside.append(token.string)
        elif token.string in OPENERS.values():
            inside.pop()
        elif token.type == tokenize.NAME and token.string == "for" and inside:
            yield f"{inside[-1]} {token.line.strip()}"


def test_the_search_finds_comprehensions_and_no_loops() -> None:
    source = "cdef int f(x) except? -1:\n    for i in x:\n        y = [\n            z\n            for z in i]\n"
    assert list(comprehensions(source)) == ["[ for z in i]"]
    assert list(comprehensions("y = {1: (z for z in i), 2: {a for a in b}}")) == [
        "( y = {1: (z for z in i), 2: {a for a in b}}",
        "{ y = {1: (z for z in i), 2: {a for a in b}}",
    ]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_the_core_has_no_list_comprehension(file: Path) -> None:
    """Cython 3.3.0 and 3.3.1 free the item twice where there is no memory to append it.

    A generator expression too becomes a list where `list`, `tuple` or `sorted` takes it. Dictionaries and sets are
    made in another way.
    """
    found = comprehensions(file.read_text(encoding="utf-8"))
    assert [line for line in found if not line.startswith("{")] == []


def test_an_older_cython_is_refused_by_the_header_and_by_the_package() -> None:
    header = (CORE / "native/core.h").read_text(encoding="utf-8")
    (refused,) = re.findall(r"#if CYTHON_HEX_VERSION < 0x(\w\w)(\w\w)(\w\w)F0", header)
    least = ".".join(str(int(part, 16)) for part in refused)
    assert f'"Cython>={least},' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
