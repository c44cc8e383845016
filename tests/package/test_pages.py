"""The pages are true: their Python runs, their JSON is valid, their commands exist, their links lead somewhere.

All Python blocks of a file run in one process, in order, as one program whose line numbers are those of the
file. A block that cannot run here is left out by a comment just above it that says why, and which test runs it::

    <!-- not run: runs against a real etcd in tests/etcd/test_etcd_page.py -->
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import breaker
from breaker import Policy
from breaker.cli.commands import parse
from breaker.cli.trouble import Mistake
from support.libraries import MISSING, mentions_a_missing_one
from support.words import NOT_RUN, Block, blocks, literal_blocks, outside_blocks, program

ROOT = Path(__file__).parents[2]
PAGES = [page for page in sorted((ROOT / "docs").glob("**/*.md")) if page.stem not in MISSING]
EXAMPLES = [page for page in sorted(ROOT.glob("examples/*/README.md")) if page.parent.name not in MISSING]
FILES = [*sorted(ROOT.glob("*.md")), *PAGES, *EXAMPLES, ROOT / "benchmarks/README.md"]

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def blocks_of(file: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(text_of(file)) if block.language in languages]


def run_as_program(text: str, name: str, folder: Path) -> None:
    script = folder / name
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr


# -- Python --


@every_file
def test_python_blocks_run(file: Path, tmp_path: Path) -> None:
    parts = [block for block in blocks_of(file, "python", "py") if block.excluded is None]
    parts = [block for block in parts if not mentions_a_missing_one("\n".join(block.lines))]
    # docs/grpc.md as grpc.py would be what its own text imports
    run_as_program(program(parts), f"{file.stem}_page.py", tmp_path)


def docstrings() -> list[str]:
    """Those of the package: of what is written in Python from the text, of the compiled core from the objects."""
    found: list[str | None] = []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for file in sorted((ROOT / "src").rglob("*.py")):
        found += [
            ast.get_docstring(node) for node in ast.walk(ast.parse(text_of(file))) if isinstance(node, documented)
        ]
    for kind in (breaker.Breaker, breaker.Permit, breaker.BreakerOpenError, breaker.Provider):
        found += [getattr(member, "__doc__", None) for member in (kind, *vars(kind).values())]
    return [text for text in found if text]


def test_examples_in_docstrings_run(tmp_path: Path) -> None:
    texts = docstrings()
    assert any("Protects one dependency" in text for text in texts)
    for text in texts:
        assert ">>>" not in text, "an example is a literal block that is a program"
        for example in literal_blocks(text):
            if re.search(r"^(import|from) breaker\b", example, re.MULTILINE):
                run_as_program(example, "docstring.py", tmp_path)


def test_a_program_in_a_docstring_is_found() -> None:
    text = "What it does::\n\n    import breaker\n\n    breaker.Policy(\n        3)\n\nAnd on::\n\n    a\n"
    assert literal_blocks(text) == ["import breaker\n\nbreaker.Policy(\n    3)", "a"]


# -- JSON --


@every_file
def test_json_blocks_are_valid(file: Path) -> None:
    for block in blocks_of(file, "json", "jsonl"):
        if block.excluded is None:
            for document in documents(block):
                if "msg" not in document:  # no log line: then it is a policy
                    Policy.from_json(json.dumps(document))


def documents(block: Block) -> list[dict[str, object]]:
    """One document, or one on each line."""
    whole = "\n".join(block.lines)
    texts = [line for line in block.lines if line.strip()] if block.language == "jsonl" else [whole]
    return [json.loads(text) for text in texts]


@every_file
def test_policies_in_the_text_are_valid(file: Path) -> None:
    for text in re.findall(r"`(\{\"[^`]*\})`", text_of(file)):
        Policy.from_json(text)


@pytest.mark.parametrize("file", ["README.md", "docs/policies.md"])
def test_the_page_shows_the_built_in_policy(file: str) -> None:
    first = blocks_of(ROOT / file, "json")[0]
    assert Policy.from_json("\n".join(first.lines)) == Policy()


# -- commands --

TARGETS = frozenset(re.findall(r"^([a-z-]+):(?!=)", text_of(ROOT / "Makefile"), re.MULTILINE))
EXTRAS = frozenset(
    re.findall(r"^([a-z0-9-]+) = \[", text_of(ROOT / "pyproject.toml").partition("[project.optional-dep")[2], re.M)
)


@every_file
def test_make_targets_exist(file: Path) -> None:
    in_text = re.findall(r"`make ((?:[a-z-]+ ?)+)", text_of(file))
    in_blocks = [line for block in blocks_of(file, "sh") for line in block.lines if line.startswith("make ")]
    named = [word for words in in_text for word in words.split()]
    named += [word for line in in_blocks for word in line.partition("#")[0].split()[1:] if "=" not in word]
    assert set(named) <= TARGETS


@every_file
def test_shell_commands_name_what_exists(file: Path) -> None:
    for block in blocks_of(file, "sh", "bash", "shell", "console"):
        assert block.language == "sh"
        if block.excluded is None:
            for line in "\n".join(block.lines).replace("\\\n", " ").splitlines():
                check_command(line.partition(" #")[0].split(), file)


def check_command(words: list[str], file: Path) -> None:
    """Whether a line of a page says something that is there. A new kind of command needs its check here."""
    while words and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    if not words or words[0].startswith("#"):
        return
    command, arguments = Path(words[0]).name, words[1:]
    if command == "etcdctl":
        assert file.name == "etcd.md", "tests/etcd/test_etcd_page.py runs that page's commands, and no other's"
    elif command == "breaker":
        try:
            parse(shlex.split(" ".join(arguments).partition(";")[0]))
        except Mistake as error:
            raise AssertionError(str(error)) from None
    elif command in ("export", "echo"):
        pass  # what the next command is given
    elif command == "make":
        pass  # test_make_targets_exist
    elif command == "pip":
        assert set(re.findall(r"\w+", " ".join(re.findall(r"\[(.*?)\]", " ".join(arguments))))) <= EXTRAS
    elif command in ("python", "pytest", "ruff", "sh", "git", "rm"):
        if command == "python" and arguments[0] == "-m":
            assert arguments[1] in ("benchmarks.ratios", "breaker", "pip", "pytest", "venv"), arguments
        for path in arguments:
            if "/" in path and not path.startswith((".venv", "-")) and "$" not in path:
                assert (ROOT / path.partition("::")[0]).exists(), path
    else:
        raise AssertionError(f"no check for the command {command!r}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("python examples/none/main.py", "examples/none"),
        ("pip install '.[nothing]'", "nothing"),
        ("frobnicate", "no check"),
        ("etcdctl get x", "test_etcd_page"),
        ("breaker polcy list", "invalid choice"),
        ("breaker policy list --colour", "unrecognized arguments"),
    ],
)
def test_a_command_that_is_not_there_is_found(line: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_command(line.split(), ROOT / "README.md")


# -- the pages themselves --


@every_file
def test_blocks_are_left_out_only_with_a_reason(file: Path) -> None:
    text = text_of(file)
    reasons = [block.excluded for block in blocks(text) if block.excluded is not None]
    assert all(len(reason) > 5 for reason in reasons)
    for test in re.findall(r"tests/\S+\.py", " ".join(reasons)):
        assert (ROOT / test).exists(), test
    # A comment that stands above no block would be a promise about nothing.
    assert len(NOT_RUN.findall(outside_blocks(text))) == len(reasons)


@every_file
def test_blocks_are_fenced(file: Path) -> None:
    # What is indented instead is seen by no test.
    assert re.findall(r"\n\n {4}(?![-*\d])\S.*", outside_blocks(text_of(file))) == []


def links(file: Path) -> list[tuple[str, str]]:
    """Text and target of each link that does not leave the repository."""
    found = re.findall(r"\[([^\[\]]*)\]\((?!https?:|mailto:)([^)\s]+)\)", outside_blocks(text_of(file)))
    return [(str(text), str(target)) for text, target in found]


@every_file
def test_links_lead_to_files_of_the_repository(file: Path) -> None:
    for _, target in links(file):
        path, _, anchor = target.partition("#")
        leads_to = file.parent / path if path else file
        assert leads_to.is_file(), target  # no folder: a site has no page for it
        if anchor and leads_to.suffix == ".md":
            assert anchor in anchors(leads_to), target


def anchors(file: Path) -> set[str]:
    titles = re.findall(r"^#{1,3} (.+)$", outside_blocks(text_of(file)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_file
def test_a_test_that_a_page_names_is_in_the_file_that_it_links(file: Path) -> None:
    for text, target in links(file):
        if name := re.fullmatch(r"`(test_\w+)`", text):
            assert f"def {name[1]}(" in text_of(file.parent / target), text


def test_each_promise_of_the_readme_names_its_test() -> None:
    promises = re.findall(r"^\d\. \*\*(?:.+\n)+?(?=\d\.|\n)", text_of(ROOT / "README.md"), re.MULTILINE)
    assert len(promises) == 5
    for promise in promises:
        assert re.search(r"\[`test_\w+`\]\(tests/\S+\.py\)", promise), promise


@every_file
def test_lines_of_prose_are_at_most_120_long(file: Path) -> None:
    lines = outside_blocks(text_of(file)).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.lstrip().startswith("|")] == []


def test_the_readme_can_be_read_in_a_minute() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 140


def test_readme_has_the_quick_start_first() -> None:
    first = blocks_of(ROOT / "README.md", "python")[0]
    assert "with breaker.Provider(config" in "\n".join(first.lines)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {entry.rpartition("<")[2].rstrip(">") for block in tables_of_contents(index) for entry in block}
    pages = (page.relative_to(ROOT / "docs").with_suffix("") for page in (ROOT / "docs").glob("**/*.md"))
    wanted = {page.as_posix() for page in pages if "_build" not in page.parts} - {"index"}
    wanted |= {os.path.relpath(page.with_suffix(""), index.parent) for page in (*ROOT.glob("*.md"), *EXAMPLES)}
    assert wanted <= listed


def tables_of_contents(index: Path) -> list[list[str]]:
    found = re.findall(r"^```\{toctree\}\n(.*?)^```$", text_of(index), re.MULTILINE | re.DOTALL)
    return [[line for line in block.splitlines() if line and not line.startswith(":")] for block in found]


def test_a_block_keeps_its_line_number_and_its_exclusion() -> None:
    text = "\n```python\na = 1\n```\n<!-- not run: needs a server -->\n\n```py\nb\n```\n~~~json\n{}\n~~~\n"
    first, second, third = blocks(text)
    assert (first.line, first.lines, first.excluded) == (3, ["a = 1"], None)
    assert (second.line, second.lines, second.excluded) == (8, ["b"], "needs a server")
    assert (third.language, third.lines) == ("json", ["{}"])
    assert program([first, second]).splitlines()[7] == "b"
