"""Which libraries that breakers work with this interpreter can have.

The `test` extra brings them all. Free-threaded interpreters have `test-core` alone, for grpcio has no wheels for them
and gevent takes turns: there, and only there, what needs one is left out.
"""

import importlib.util
from collections.abc import Sequence

LIBRARIES = ("grpc", "gevent")
MISSING = frozenset(library for library in LIBRARIES if importlib.util.find_spec(library) is None)


def lacks_its_library(path: Sequence[str]) -> bool:
    """Whether a module of the package, as path below it, is an integration with a missing library."""
    return path[0] == "integrations" and bool(MISSING.intersection(part.removesuffix(".py") for part in path))


def mentions_a_missing_one(program: str) -> bool:
    """Whether a Python text imports an integration with a missing library."""
    return any(f"breaker.integrations.{library}" in program for library in MISSING)
