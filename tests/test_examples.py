"""Each example runs by itself, as its README says, and prints what is expected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"

BASIC = """\
healthy:    7 in stock
failing:    stock unknown (too slow)
failing:    stock unknown (too slow)
failing:    stock unknown (too slow)
the state:  OPEN
open:       stock unknown (next try in 30 s, cause: TimeoutError: no answer within 2 s)
requests while open: 0
probe:      7 in stock
the state:  CLOSED
not found:  no such item: unicorn
the state:  CLOSED
do:         7
decorator:  7 - How many pears there are.
acquire:    0 failures in a row
coroutine:  7
"""


def test_basic(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / "basic" / "main.py")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
    )
    assert done.stderr == ""
    assert done.stdout == BASIC
    assert done.returncode == 0


def test_every_example_has_a_readme_of_about_ten_lines() -> None:
    for readme in EXAMPLES.glob("*/README.md"):
        lines = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert 1 < len(lines) <= 20, readme
