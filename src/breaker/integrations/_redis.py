"""Clients of redis-py that ask a breaker.

redis-py has no hook around a command. All commands of a client go through `execute_command`, those of a pipeline
through `execute`, and those of a subscription through an `execute_command` of its own; its retries are below these
methods. So a rejection, which is a `redis.ConnectionError` as well, is raised where redis-py does not try again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import redis
import redis.asyncio
import redis.asyncio.client
import redis.asyncio.cluster
import redis.client
import redis.cluster

from breaker.integrations._redis_errors import failed_answer
from breaker.integrations._stores import put_around

# Of each kind the sync ones first.
CLIENTS = (redis.Redis, redis.cluster.RedisCluster, redis.asyncio.Redis, redis.asyncio.cluster.RedisCluster)
PIPELINES = (
    redis.client.Pipeline,
    redis.cluster.ClusterPipeline,
    redis.asyncio.client.Pipeline,
    redis.asyncio.cluster.ClusterPipeline,
)
_STANDARD_PORT = 6379


class RedisCall(NamedTuple):
    """What a callable ``name=`` gets of a call.

    ``command`` is in capitals: ``"GET"``; ``"PIPELINE"`` where a pipeline is executed, ``"CONNECT"`` where
    ``client.client()`` takes a connection. ``args`` are the command's arguments as the client has them; of a pipeline
    its commands, each a tuple that begins with its name, and nothing if it is a cluster's.

    .. versionadded:: 0.1
    """

    command: str
    args: tuple[Any, ...]


def _command(sent: tuple[Any, ...]) -> RedisCall:
    command = sent[0].decode("utf-8", "replace") if isinstance(sent[0], bytes) else str(sent[0])
    return RedisCall(command.upper(), sent[1:])


def _pipeline(pipeline: Any) -> RedisCall:
    is_queue = isinstance(pipeline, redis.client.Pipeline | redis.asyncio.client.Pipeline)
    return RedisCall("PIPELINE", tuple(args for args, _ in pipeline.command_stack) if is_queue else ())


def _connection(client: Any) -> RedisCall:
    return RedisCall("CONNECT", ())


def name_of(client: Any) -> str:
    """The default name of a client's breaker: ``redis:cache.example.com``, never with a password."""
    if isinstance(client, redis.cluster.RedisCluster | redis.asyncio.cluster.RedisCluster):
        # As they were given; older releases know only those that they have found.
        given = getattr(client, "startup_nodes", None) or client.nodes_manager.startup_nodes.values()
        first = min(given, key=lambda node: node.name) if not isinstance(given, list) else given[0]
        return _of_address(first.host, first.port)
    pool = client.connection_pool
    if (service := getattr(pool, "service_name", None)) is not None:  # Sentinel knows where it is
        return f"redis:{service}" if pool.is_master else f"redis:{service}/replicas"
    settings = pool.connection_kwargs
    if (path := settings.get("path")) is not None:
        return f"redis:{path}"
    return _of_address(settings.get("host", "localhost"), settings.get("port", _STANDARD_PORT))


def _of_address(host: str, port: int | str) -> str:
    if ":" in host and host[0] != "[":
        host = f"[{host}]"
    name = f"redis:{host.lower()}"
    return name if int(port) == _STANDARD_PORT else f"{name}:{port}"


# The classes. A method's `super()` is the class that the object had.

# In this context a connection takes its subscriptions up again: that belongs to the call, or to the wait for messages,
# which has made it reconnect. redis-py would try again what is rejected there.
_resubscribing: ContextVar[bool] = ContextVar("resubscribing", default=False)


def _pipeline_of(base: type[Any]) -> type[Any]:
    class Guarded(base):  # type: ignore[misc]
        _breaker_is_executing = False

        def execute(self, raise_on_error: bool = True, *args: Any, **kwargs: Any) -> Any:
            if not len(self) and not getattr(self, "watching", False):
                return super().execute(raise_on_error, *args, **kwargs)  # nothing is sent
            try:
                permit = self._breaker_protection.admit(_pipeline, self)
            except BaseException:
                self.reset()  # as after every other error: commands do not pile up in a pipeline that is used again
                raise
            if permit is None:
                return super().execute(raise_on_error, *args, **kwargs)
            self._breaker_is_executing = True
            with permit:
                try:
                    answers = super().execute(raise_on_error, *args, **kwargs)
                except BaseException as error:
                    self._breaker_protection.raised(permit, error)
                    raise
                finally:
                    self._breaker_is_executing = False
                if not raise_on_error and (failed := failed_answer(answers)) is not None:
                    permit.failure(failed)
            return answers

        def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
            run = super().immediate_execute_command
            if self._breaker_is_executing:  # scripts are loaded first
                return run(*args, **options)
            return self._breaker_protection.run(_command, args, run, *args, **options)

    return Guarded


def _async_pipeline_of(base: type[Any]) -> type[Any]:
    class Guarded(base):  # type: ignore[misc]
        _breaker_is_executing = False

        async def execute(self, raise_on_error: bool = True, *args: Any, **kwargs: Any) -> Any:
            if not len(self) and not getattr(self, "watching", False):
                return await super().execute(raise_on_error, *args, **kwargs)
            try:
                permit = self._breaker_protection.admit(_pipeline, self)
            except BaseException:
                await self.reset()
                raise
            if permit is None:
                return await super().execute(raise_on_error, *args, **kwargs)
            self._breaker_is_executing = True
            with permit:
                try:
                    answers = await super().execute(raise_on_error, *args, **kwargs)
                except BaseException as error:
                    self._breaker_protection.raised(permit, error)
                    raise
                finally:
                    self._breaker_is_executing = False
                if not raise_on_error and (failed := failed_answer(answers)) is not None:
                    permit.failure(failed)
            return answers

        async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
            run = super().immediate_execute_command
            if self._breaker_is_executing:
                return await run(*args, **options)
            return await self._breaker_protection.run_async(_command, args, run, *args, **options)

    return Guarded


def _subscription_of(base: type[Any]) -> type[Any]:
    class Guarded(base):  # type: ignore[misc]
        def execute_command(self, *args: Any) -> Any:
            if _resubscribing.get():
                return super().execute_command(*args)
            return self._breaker_protection.run(_command, args, super().execute_command, *args)

        def on_connect(self, connection: Any) -> None:
            before = _resubscribing.set(True)
            try:
                super().on_connect(connection)
            finally:
                _resubscribing.reset(before)

    return Guarded


def _async_subscription_of(base: type[Any]) -> type[Any]:
    class Guarded(base):  # type: ignore[misc]
        async def execute_command(self, *args: Any) -> Any:
            if _resubscribing.get():
                return await super().execute_command(*args)
            return await self._breaker_protection.run_async(_command, args, super().execute_command, *args)

        async def on_connect(self, connection: Any) -> None:
            before = _resubscribing.set(True)
            try:
                await super().on_connect(connection)
            finally:
                _resubscribing.reset(before)

    return Guarded


def _client_of(base: type[Any]) -> type[Any]:
    class Guarded(base):  # type: ignore[misc]
        def execute_command(self, *args: Any, **options: Any) -> Any:
            if (protection := self._breaker_protection) is None:  # made by `client`, and not yet complete
                return base.execute_command(self, *args, **options)
            permit = protection.admit(_command, args)
            if permit is None:
                return base.execute_command(self, *args, **options)
            with permit:
                try:
                    return base.execute_command(self, *args, **options)
                except BaseException as error:
                    protection.raised(permit, error)
                    raise

        def client(self) -> Any:  # it takes its connection at once
            made = self._breaker_protection.run(_connection, self, super().client)
            return put_around(made, _client_of, self._breaker_protection)

    _add_makers(Guarded, base)
    return Guarded


def _async_client_of(base: type[Any]) -> type[Any]:
    class Guarded(base):  # type: ignore[misc]
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            if (protection := self._breaker_protection) is None:
                return await base.execute_command(self, *args, **options)
            permit = protection.admit(_command, args)
            if permit is None:
                return await base.execute_command(self, *args, **options)
            with permit:
                try:
                    return await base.execute_command(self, *args, **options)
                except BaseException as error:
                    protection.raised(permit, error)
                    raise

        def client(self) -> Any:
            return put_around(super().client(), _async_client_of, self._breaker_protection)

    _add_makers(Guarded, base)
    return Guarded


def _module_of(base: type[Any]) -> type[Any]:
    """The commands of a server's module: they go through its client, their pipelines do not."""

    class Guarded(base):  # type: ignore[misc]
        pass

    Guarded.pipeline = _making("pipeline", base)
    return Guarded


_MAKERS = ("pipeline", "pubsub", "json", "ft", "ts")


def _add_makers(kind: type[Any], base: type[Any]) -> None:
    for method in _MAKERS:
        if hasattr(base, method):
            setattr(kind, method, _making(method, base))


def _making(method: str, base: type[Any]) -> Callable[..., Any]:
    """A method that makes another object, whose calls are to ask the same breaker."""

    @functools.wraps(getattr(base, method))
    def making(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = getattr(base, method)(self, *args, **kwargs)
        return put_around(made, derived_for(made), self._breaker_protection)

    return making


def derived_for(instance: object) -> Callable[[type[Any]], type[Any]]:
    """How the class is made of an object that asks a breaker."""
    for kinds, derive in _DERIVED:
        if isinstance(instance, kinds):
            return derive
    return _module_of


_DERIVED: tuple[tuple[Any, Callable[[type[Any]], type[Any]]], ...] = (
    (PIPELINES[:2], _pipeline_of),
    (PIPELINES[2:], _async_pipeline_of),
    (CLIENTS[:2], _client_of),
    (CLIENTS[2:], _async_client_of),
    (redis.client.PubSub, _subscription_of),
    (redis.asyncio.client.PubSub, _async_subscription_of),
)
