"""What type checkers must understand of `breaker.integrations.grpc`. Never run, like `api.py`."""

from typing import Any, assert_type

import grpc
import grpc.aio

from breaker import BreakerOpenError, Config, Provider
from breaker.integrations.grpc import (
    AioBreakerOpenRpcError,
    BreakerInterceptor,
    BreakerOpenRpcError,
    BreakerServerInterceptor,
    aio_interceptors,
)


def by_service(details: grpc.ClientCallDetails) -> str:
    return details.method.rpartition("/")[0]


def unless_health(details: grpc.ClientCallDetails) -> str | None:
    return None if details.method.startswith("/grpc.health.") else details.method


def channels(provider: Provider) -> None:
    bare = grpc.insecure_channel("target")
    codes: list[str | grpc.StatusCode] = ["NOT_FOUND", grpc.StatusCode.ABORTED]
    interceptor = BreakerInterceptor(provider, name=by_service, failure_codes=codes, ignored_codes={"CANCELLED"})
    assert_type(grpc.intercept_channel(bare, interceptor), grpc.Channel)
    made = aio_interceptors(provider, name=lambda details: "users", failure_codes=("UNAVAILABLE",))
    assert_type(made, list[grpc.aio.ClientInterceptor])
    grpc.aio.insecure_channel("target", interceptors=[*made, *aio_interceptors(provider)])
    BreakerInterceptor(provider, name=unless_health)
    BreakerInterceptor(provider, name=lambda details: None)
    BreakerInterceptor(provider, name=lambda details: 5)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    BreakerInterceptor()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    BreakerInterceptor(Provider)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    BreakerInterceptor(Config("a", "/b/"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    BreakerInterceptor(provider, by_service)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    BreakerInterceptor(provider, name="users")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    BreakerInterceptor(provider, failure_codes=[14])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    aio_interceptors(provider, codes=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    grpc.aio.insecure_channel("target", interceptors=interceptor)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def servers(provider: Provider, pool: Any) -> None:
    interceptor = BreakerServerInterceptor(provider, name=lambda details: "server:users", ignored_codes=["ABORTED"])
    grpc.server(pool, interceptors=[interceptor])
    grpc.aio.server(interceptors=[interceptor])


def takes_either(one: BreakerOpenError, other: grpc.RpcError) -> None: ...


def takes_aio(error: grpc.aio.AioRpcError) -> None: ...


def errors(call: Any) -> None:
    try:
        call()
    except BreakerOpenRpcError as rejected:
        assert_type(rejected.name, str)
        assert_type(rejected.retry_after, float)
        assert_type(rejected.code(), grpc.StatusCode)
        assert_type(rejected.details(), str)
        takes_either(rejected, rejected)
    try:
        call()
    except AioBreakerOpenRpcError as rejected_later:
        takes_either(rejected_later, rejected_later)
        takes_aio(rejected_later)
        assert_type(rejected_later.trailing_metadata(), grpc.aio.Metadata)
