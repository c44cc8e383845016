"""How much was tried: figures that tests add up, also from processes of their own, for the end of pytest's report."""

import json
import sys
from collections import Counter
from collections.abc import Mapping

TALLY: Counter[str] = Counter()
_MARK = "tally "


def count(figures: Mapping[str, int]) -> None:
    """Add to the figures of this run."""
    TALLY.update(figures)


def report() -> None:
    """In a process of a test's own, at its end: hand the figures over, on standard output."""
    if TALLY:
        sys.stdout.write(_MARK + json.dumps(TALLY) + "\n")


def take(output: str) -> None:
    """Add what such a process reported."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            count(json.loads(line.removeprefix(_MARK)))


def summary() -> str:
    return ", ".join(f"{number:,} {what}" for what, number in sorted(TALLY.items()))
