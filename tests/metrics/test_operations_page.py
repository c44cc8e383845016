"""The commands of docs/operations.md say what stands there, on the calls that its Python records."""

import os
import subprocess
import sys
from pathlib import Path

from support.promql import ROOT
from support.words import blocks, program

TEXT = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_replay_says_what_the_page_shows(tmp_path: Path) -> None:
    parts = [block for block in blocks(TEXT) if block.language == "python" and block.excluded is None]
    subprocess.run([sys.executable, "-W", "error", "-c", program(parts)], cwd=tmp_path, check=True, timeout=40)
    section = TEXT.partition("## Choose numbers with replay\n")[2].partition("\n## ")[0]
    commands, shown = [block for block in blocks(section) if block.language in ("sh", "text")]
    command = tmp_path / "bin/breaker"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m breaker "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        ["sh", "-ec", "\n".join(commands.lines)],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == shown.lines
