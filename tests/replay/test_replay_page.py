"""docs/replay.md is true: its calls are recorded, its commands say what stands there, its picture is what they draw."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.words import blocks, program

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/replay.md").read_text(encoding="utf-8")
_END = "---- end of a block ----"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's Python has run, with a command `breaker` beside it."""
    folder = tmp_path_factory.mktemp("page")
    command = folder / "bin" / "breaker"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m breaker "$@"\n')
    command.chmod(0o755)
    parts = [block for block in blocks(TEXT) if block.language == "python" and block.excluded is None]
    subprocess.run([sys.executable, "-W", "error", "-c", program(parts)], cwd=folder, check=True, timeout=40)
    return folder


def shell(folder: Path, script: str) -> str:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_say_what_the_page_shows(folder: Path) -> None:
    parts = [block for block in blocks(TEXT) if block.language in ("sh", "text")]
    commands, expected = parts[::2], parts[1::2]
    printed = shell(folder, f"\necho '{_END}'\n".join("\n".join(block.lines) for block in commands)).split(f"{_END}\n")
    for block, said in zip(expected, printed, strict=True):
        pattern = ".*?".join(re.escape(part) for part in "\n".join([*block.lines, ""]).split("…"))
        assert re.fullmatch(pattern, said, re.DOTALL), said


def test_the_picture_is_what_the_page_draws(folder: Path) -> None:
    """Of the same policies, by the same matplotlib it is the same; by another one, the same words."""
    for document, file in re.findall(r"^echo '(.*?)' >(\w+\.json)$", TEXT, re.MULTILINE):
        (folder / file).write_text(document)
    shell(folder, "breaker replay calls.jsonl --policy streak.json --policy rate.json --plot drawn.svg")
    kept = (ROOT / "docs/pictures/replay.svg").read_text(encoding="utf-8")
    assert re.findall(r"<text[^>]*>(.*?)</text>", kept) == re.findall(
        r"<text[^>]*>(.*?)</text>", (folder / "drawn.svg").read_text(encoding="utf-8")
    )
