"""Random programs whose books must balance; ``make test-storm`` runs many more of them."""

import ast
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.tally import count

PROGRAMS = int(os.environ.get("STORM_PROGRAMS") or 24)
FIRST = int(os.environ.get("STORM_SEED") or 0)


def storm(seed: int) -> str | Counter[str]:
    """Run one program; what it did in numbers, or what it said if it did not end well."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).parent / "storm"), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        return f"seed {seed} ended with {done.returncode}: {done.stderr[-5000:]}"
    return Counter(ast.literal_eval(done.stdout))


@pytest.mark.timeout(60 + 3 * PROGRAMS)
def test_the_books_of_random_programs_balance() -> None:
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for said in pool.map(storm, range(FIRST, FIRST + PROGRAMS)):
            if isinstance(said, str):
                failed.append(said)
            else:
                count({"random programs": 1} | said)
    assert not failed, f"{len(failed)} of {PROGRAMS}:\n" + "\n".join(failed[:3])
