"""The rules of docs/states.md and those who name them: every id leads to a rule, and every rule has a test."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from breaker.states import TRANSITIONS, State

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/states.md"
RULES = re.findall(r"^\*\*(S\d+)\*\* ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
ID = re.compile(r"\bS\d{1,3}\b")
CODE = re.compile(r"\b[A-Z]\d{1,3}\b")  # any capital letter with a number: an id of ours, or of a page that nobody has
DIRECTIVE = re.compile(r"# (noqa|type: ignore|pyright: ignore|fmt:).*")

TESTS = sorted(ROOT.glob("tests/**/*.py"))
PROSE = [*sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*.md"))]
SOURCES = sorted(
    file for suffix in ("py", "pyi", "pyx", "pxi", "h") for file in ROOT.glob(f"src/breaker/**/*.{suffix}")
)


@functools.cache
def remarks(file: Path) -> list[tuple[int, str]]:
    """What a file says to its reader, with line numbers: comments, docstrings and messages of assertions.

    Of a page all lines; of Cython and C too, where no name looks like a code.
    """
    text = file.read_text(encoding="utf-8")
    if file.suffix not in (".py", ".pyi"):
        return [*enumerate(text.splitlines(), 1)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found = [(token.start[0], DIRECTIVE.sub("", token.string)) for token in tokens if token.type == tokenize.COMMENT]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assert) and isinstance(node.msg, ast.Constant):
            found.append((node.msg.lineno, str(node.msg.value)))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            documented := ast.get_docstring(node, clean=False)
        ):
            found.extend(enumerate(documented.splitlines(), node.body[0].lineno))
    return found


def spans_of_tests(file: Path) -> Iterator[range]:
    """The lines of each test function of a file, its decorators included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield range(first, (node.end_lineno or first) + 1)


def test_each_id_stands_for_one_rule_and_ids_rise() -> None:
    numbers = [int(rule[1:]) for rule in RULES]
    assert len(numbers) > 80
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("files", [TESTS, SOURCES, PROSE], ids=["tests", "src", "pages"])
def test_each_code_that_is_named_is_the_id_of_a_rule(files: list[Path]) -> None:
    foreign = [
        f"{file.relative_to(ROOT)}:{line}: {code}"
        for file in files
        for line, text in remarks(file)
        for code in CODE.findall(text)
        if code not in RULES
    ]
    assert foreign == []


def test_each_rule_is_cited_by_a_test() -> None:
    cited: set[str] = set()
    for file in TESTS:
        spans = list(spans_of_tests(file))
        for line, text in remarks(file):
            if any(line in span for span in spans):
                cited.update(ID.findall(text))
    assert [rule for rule in RULES if rule not in cited] == []


def test_the_table_of_transitions_is_that_of_the_program() -> None:
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    written = [
        ((State[before], State[after]), tuple(re.findall(r"`(\w+)`", reasons)))
        for before, after, reasons in rows
        if before in State.__members__
    ]
    assert len(written) == len(TRANSITIONS)
    assert dict(written) == TRANSITIONS
