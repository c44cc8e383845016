"""Random programs whose books must balance; ``make test-storm`` runs many more of them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PROGRAMS = int(os.environ.get("STORM_PROGRAMS", "24"))
FIRST = int(os.environ.get("STORM_SEED", "0"))


def storm(seed: int) -> str | None:
    """Run one program; what it said if it did not end well."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).parent / "storm.py"), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return None if done.returncode == 0 else f"seed {seed} ended with {done.returncode}: {done.stderr[-3000:]}"


@pytest.mark.timeout(60 + 3 * PROGRAMS)
def test_the_books_of_random_programs_balance() -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [said for said in pool.map(storm, range(FIRST, FIRST + PROGRAMS)) if said is not None]
    assert not failed, "\n".join(failed[:3])
