"""Circuit breakers for gRPC: one line where a channel or a server is made protects every call of it.

Clients: `guard` for channels of `grpc` and of `grpc.aio`; among other interceptors `BreakerInterceptor` and
`aio_interceptors`. Servers of both: `BreakerServerInterceptor`. A rejected call is a `BreakerOpenRpcError`.
docs/grpc.md has the tour.

Here ``import grpc`` means grpcio's package, as everywhere: imports are absolute.
"""

from __future__ import annotations

from breaker.integrations import _base

# Before it, calls of intercepted channels differ in what they report.
_base.require("grpcio", oldest=(1, 82), integration="grpc", module="grpc")

from breaker.integrations.grpc.aio import aio_interceptors
from breaker.integrations.grpc.client import BreakerInterceptor
from breaker.integrations.grpc.errors import AioBreakerOpenRpcError, BreakerOpenRpcError
from breaker.integrations.grpc.guarding import guard
from breaker.integrations.grpc.protection import FAILURE_CODES, IGNORED_CODES
from breaker.integrations.grpc.server import BreakerServerInterceptor

__all__ = [
    "FAILURE_CODES",
    "IGNORED_CODES",
    "AioBreakerOpenRpcError",
    "BreakerInterceptor",
    "BreakerOpenRpcError",
    "BreakerServerInterceptor",
    "aio_interceptors",
    "guard",
]
