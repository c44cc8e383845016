"""Decorated functions and guarded values in other people's libraries: the real ones, by ``make test-libraries``.

They are many and large, so they have an environment of their own, and the suite passes this folder over.
"""

import os

if os.environ.get("BREAKER_LIBRARIES") != "all":
    collect_ignore_glob = ["test_*.py"]
