"""The documents are true: their Python runs, their JSON is valid, their links lead somewhere.

All Python blocks of a file run in one process, in order, as one program whose line numbers are those of the
file. A block that cannot run here is left out by a comment just above it that says why::

    <!-- not run: needs an etcd server -->
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from breaker import Policy
from support.libraries import MISSING, mentions_a_missing_one
from support.words import NOT_RUN, Block, blocks, program

ROOT = Path(__file__).parents[2]
PAGES = [page for page in sorted((ROOT / "docs").glob("**/*.md")) if page.stem not in MISSING]
FILES = [*sorted(ROOT.glob("*.md")), *PAGES]

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def blocks_of(file: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(file.read_text(encoding="utf-8")) if block.language in languages]


@every_file
def test_python_blocks_run(file: Path, tmp_path: Path) -> None:
    parts = [block for block in blocks_of(file, "python", "py") if block.excluded is None]
    parts = [block for block in parts if not mentions_a_missing_one("\n".join(block.lines))]
    script = tmp_path / f"{file.stem}_page.py"  # docs/grpc.md as grpc.py would be what its own text imports
    script.write_text(program(parts), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr


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
    for text in re.findall(r"`(\{\"[^`]*\})`", file.read_text(encoding="utf-8")):
        Policy.from_json(text)


@every_file
def test_blocks_are_left_out_only_with_a_reason(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    reasons = [block.excluded for block in blocks(text) if block.excluded is not None]
    assert all(len(reason) > 5 for reason in reasons)
    # A comment that stands above no block would be a promise about nothing.
    outside = re.sub(r"^( *)(```+).*?^ *\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(NOT_RUN.findall(outside)) == len(reasons)


@every_file
def test_links_lead_to_files_of_the_repository(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), target


def test_readme_shows_the_built_in_policy() -> None:
    first = blocks_of(ROOT / "README.md", "json")[0]
    assert Policy.from_json("\n".join(first.lines)) == Policy()


def test_readme_has_the_quick_start_first() -> None:
    first = blocks_of(ROOT / "README.md", "python")[0]
    assert "with breaker.Provider(config" in "\n".join(first.lines)


def test_a_block_keeps_its_line_number_and_its_exclusion() -> None:
    text = "\n```python\na = 1\n```\n<!-- not run: needs a server -->\n\n```py\nb\n```\n~~~json\n{}\n~~~\n"
    first, second, third = blocks(text)
    assert (first.line, first.lines, first.excluded) == (3, ["a = 1"], None)
    assert (second.line, second.lines, second.excluded) == (8, ["b"], "needs a server")
    assert (third.language, third.lines) == ("json", ["{}"])
    assert program([first, second]).splitlines()[7] == "b"
