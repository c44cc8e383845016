"""grpcio, or an error that says how to get it: imported before the modules that use it."""

from __future__ import annotations

OLDEST = (1, 82)  # what the tests run against; before it, calls of intercepted channels differ in what they tell
_NEEDED = f"breaker.integrations.grpc needs grpcio {OLDEST[0]}.{OLDEST[1]} or newer"
_REMEDY = "install it with: pip install 'cybreaker[grpc]'"

try:
    import grpc
except ImportError as error:
    raise ImportError(f"{_NEEDED}, which cannot be imported here ({error}); {_REMEDY}", name="grpc") from error

if tuple(int(part) for part in grpc.__version__.split(".")[:2]) < OLDEST:
    raise ImportError(f"{_NEEDED}, and {grpc.__version__} is installed; {_REMEDY}", name="grpc")
