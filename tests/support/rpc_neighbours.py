"""Interceptors of servers that work as error reporters do: they wrap each handler, its errors and its context."""

from typing import Any

import grpc
import grpc.aio

_MAKERS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def _parts(handler: Any) -> tuple[Any, Any]:
    """What the handler runs, and what makes one of the same kind around something else."""
    kind, make = _MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]

    def remake(behavior: Any) -> Any:
        return make(behavior, handler.request_deserializer, handler.response_serializer)

    return getattr(handler, kind), remake


def _passing_on(method: str) -> Any:
    return lambda self, *args, **kwargs: getattr(self._context, method)(*args, **kwargs)


# A context that passes on what gRPC's class demands, and leaves `code` and `details` as that class has them.
Context: Any = type(
    "Context",
    (grpc.ServicerContext,),
    {
        "__init__": lambda self, context: setattr(self, "_context", context),
        **{method: _passing_on(method) for method in grpc.ServicerContext.__abstractmethods__},
    },
)


class Reporter(grpc.ServerInterceptor):
    """For a server of `grpc`."""

    def __init__(self) -> None:
        self.reported: list[str] = []

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        behavior, remake = _parts(handler)

        def unary(request: Any, context: Any) -> Any:
            try:
                return behavior(request, Context(context))
            except Exception as error:
                self.reported.append(type(error).__name__)
                raise

        def stream(request: Any, context: Any) -> Any:
            try:
                yield from behavior(request, Context(context))
            except Exception as error:
                self.reported.append(type(error).__name__)
                raise

        return remake(stream if handler.response_streaming else unary)


class AioReporter(grpc.aio.ServerInterceptor):
    """For a server of `grpc.aio`."""

    def __init__(self) -> None:
        self.reported: list[str] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        behavior, remake = _parts(handler)

        async def unary(request: Any, context: Any) -> Any:
            try:
                return await behavior(request, context)
            except Exception as error:
                self.reported.append(type(error).__name__)
                raise

        async def stream(request: Any, context: Any) -> Any:
            try:
                async for response in behavior(request, context):
                    yield response
            except Exception as error:
                self.reported.append(type(error).__name__)
                raise

        return remake(stream if handler.response_streaming else unary)
