"""docs/command-line.md is true: its commands run in order, and say what stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from breaker.cli.trouble import Code
from support.places import InFiles
from support.words import blocks

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
TEXT = PAGE.read_text(encoding="utf-8")
_END = "---- end of a block ----"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """What each block of commands is said to print, and what it prints."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "policies").mkdir()
    command = folder / "bin" / "breaker"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m breaker "$@"\n')
    command.chmod(0o755)
    parts = [block for block in blocks(TEXT) if block.language in ("sh", "text")]
    commands, expected = parts[::2], parts[1::2]
    assert {block.language for block in commands} == {"sh"}
    assert {block.language for block in expected} == {"text"}
    script = f"\necho '{_END}'\n".join("\n".join(block.lines) for block in commands)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BREAKER_")}
    done = subprocess.run(
        ["sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        timeout=50,
        check=False,
    )
    printed = done.stdout.split(f"{_END}\n")
    assert len(printed) == len(expected), done.stdout
    return [("\n".join(block.lines) + "\n", text) for block, text in zip(expected, printed, strict=True)]


def test_commands_say_what_the_page_shows(said: list[tuple[str, str]]) -> None:
    assert len(said) > 7
    for expected, printed in said:
        pattern = ".*?".join(re.escape(part) for part in expected.split("…"))
        assert re.fullmatch(pattern, printed, re.DOTALL), f"the page has\n{expected}\nprinted was\n{printed}"


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    rows = dict(re.findall(r"^\| (\d) \| (?:`(\w+)`)? *\|", TEXT, re.MULTILINE))
    assert rows == {str(int(code)): "" if code is Code.DONE else code.name.lower() for code in Code}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("policy list", ["policy", "list"]),
        ("policy get", ["policy", "get", "a"]),
        ("policy set", ["policy", "set", "b", "mode=auto", "--yes"]),
        ("policy delete", ["policy", "delete", "a", "--yes"]),
        ("policy diff", ["policy", "diff", "a"]),
        ("policy validate", ["policy", "validate"]),
        ("force-open", ["force-open", "a", "--for", "20ms"]),
        ("auto", ["auto", "a"]),
        ("doctor", ["doctor"]),
    ],
)
def test_the_table_of_shapes_names_the_keys_that_are_printed(files: InFiles, command: str, words: list[str]) -> None:
    files.write("a", '{"failureThreshold": "5"}' if command == "policy validate" else '{"failureThreshold": 3}')
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| `") and f"`{command}`" in line.split("|")[1]]
    named = set(re.findall(r"`(\w+)`", row.split("|", 2)[2]))
    keys: set[str] = set()
    for line in files.run(*words, "--json").lines:
        keys |= set(line)
        for inner in ("documents", "files", "findings", "effective"):
            found = line.get(inner)
            keys |= set(found[0]) if isinstance(found, list) and found else set()
            keys |= set(found) if command == "policy get" and isinstance(found, dict) else set()
        for each in line.get("files", []):
            keys |= {key for problem in each["problems"] for key in problem}
    assert keys <= named
    assert len(keys) > 1
