"""The pictures and the table of docs/which-rule.md are what their script makes of the rules of now."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_script_makes_the_pictures_and_the_table_that_are_checked_in(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "tools/outages.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=50,
        check=True,
        env={"PYTHONUTF8": "1"},
    )
    drawn = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.glob("*.svg")}
    kept = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "docs/pictures").glob("outage-*.svg")}
    assert drawn == kept
    page = (ROOT / "docs/which-rule.md").read_text(encoding="utf-8")
    table = page.partition("<!-- outages: begin -->\n")[2].partition("<!-- outages: end -->")[0]
    assert made.stdout == table
    for name in kept:
        assert f"](pictures/{name})" in page
