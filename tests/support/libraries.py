"""Which libraries that breakers work with this interpreter can have.

The `test` extra brings them all. Interpreters for which grpcio or gevent has no wheels (free-threaded ones, and new
ones) have `test-core` alone: there, and only there, what needs one is left out, and tools/test_shipped.sh says so.
"""

import importlib.util
import re
from collections.abc import Sequence

LIBRARIES = (
    *("grpc", "gevent", "httpx", "httpx2", "requests", "aiohttp", "urllib3", "botocore", "sqlalchemy", "redis"),
    *("starlette", "fastapi", "flask", "django", "uvicorn"),
    *("boto3", "celery", "stamina", "trio", "anyio"),
)
MISSING = frozenset(library for library in LIBRARIES if importlib.util.find_spec(library) is None) | (
    # what is called otherwise than its library, or needs two
    {"metrics", "prometheus", "opentelemetry"} if importlib.util.find_spec("prometheus_client") is None else set()
)


def lacks_its_library(path: Sequence[str]) -> bool:
    """Whether a module of the package, as path below it, is an integration with a missing library."""
    return path[0] in ("integrations", "metrics") and bool(
        MISSING.intersection(part.removesuffix(".py").lstrip("_").partition("_")[0] for part in path)
    )


def mentions_a_missing_one(program: str) -> bool:
    """Whether a Python text imports a missing library, or an integration with one."""
    inside = r"\bbreaker\.(integrations|metrics)\."
    found = (rf"^(import|from) {library}\b|{inside}{library}\b" for library in MISSING)
    return any(re.search(library, program, re.MULTILINE) for library in found)
