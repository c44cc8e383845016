"""Proofs by many repetitions: the suite tries some, ``make test-long`` all."""

import os

EVERYTHING = os.environ.get("BREAKER_LONG") == "everything"


def times(few: int, many: int) -> int:
    """How often to repeat it in this run."""
    return many if EVERYTHING else few
