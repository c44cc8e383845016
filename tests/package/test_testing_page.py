"""The tests that docs/testing.md shows run as tests, in a pytest of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.words import blocks, program

PAGE = Path(__file__).parents[2] / "docs/testing.md"


def test_the_examples_pass_under_pytest(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (tmp_path / "test_page.py").write_text(
        program([block for block in blocks(text) if block.language == "python"]), encoding="utf-8"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = len(re.findall(r"^def test_", text, flags=re.MULTILINE))
    assert f"{shown} passed" in done.stdout
    assert shown >= 4
