"""Circuit breakers for Redis: `protect` for a client of redis-py, sync or asyncio, of one server or of a cluster.

A rejected command is a `BreakerOpenConnectionError`. docs/integrations/redis.md has the tour.
"""

from __future__ import annotations

from typing import Any, TypeVar

from breaker.integrations import _base

_base.require("redis", oldest=(5, 2), integration="redis")

import redis
import redis.asyncio

from breaker.errors import BreakerOpenError
from breaker.integrations import _redis
from breaker.integrations._base import NameOf, check_provider, rejected_as
from breaker.integrations._redis import RedisCall
from breaker.integrations._redis_errors import verdict_of
from breaker.integrations._stores import Protection, is_protected, put_around
from breaker.provider import Provider

__all__ = ["BreakerOpenConnectionError", "RedisCall", "protect"]

_Client = TypeVar("_Client", bound=redis.Redis | redis.RedisCluster | redis.asyncio.Redis | redis.asyncio.RedisCluster)


class BreakerOpenConnectionError(BreakerOpenError, redis.ConnectionError):
    """A command was rejected by its breaker: nothing was sent. A `BreakerOpenError` and a `redis.ConnectionError`.

    redis-py does not try it again: it is raised where its retries have not begun.

    .. versionadded:: 0.1
    """

    # What the constructor of the library's error would set.
    error_type: Any = getattr(redis.ConnectionError(), "error_type", None)
    status_code: str | None = None


def protect(client: _Client, provider: Provider, *, name: NameOf | str | None = None) -> _Client:
    """Protect what a client sends: commands, pipelines, scripts, locks, subscriptions.

    Connection errors and time-outs are failures, and so are the answers of a server that can serve nobody: it loads its
    data, is read-only, out of memory, busy with a script. All other answers are successes: the server is there. The
    retries of the client are a part of one call.

    Args:
        client: a `redis.Redis` or `redis.RedisCluster`, or one of `redis.asyncio`. Its pool may be shared with clients
            that are not protected.
        provider: whose breakers protect its calls.
        name: makes the breaker's name of a `RedisCall`, or None to leave it unprotected; text: the name of the breaker.
            Without it the name is ``redis:`` and the host, with the port where it is not 6379; of a client of Sentinel
            ``redis:`` and the service; of a cluster that of its first node.
    Returns:
        The client.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name that no breaker can have; a client that is protected already; a pipeline or another object
            that a client has made.

    Thread safety: to be called before other threads use the client.

    .. versionadded:: 0.1
    """
    if isinstance(client, _redis.PIPELINES):
        raise TypeError("protect takes a client of Redis, got a pipeline: protect its client, before it makes one")
    if not isinstance(client, _redis.CLIENTS):
        got = f"the class {client.__name__}" if isinstance(client, type) else type(client).__name__
        raise TypeError(f"protect takes an instance of redis.Redis or RedisCluster, or one of redis.asyncio, got {got}")
    check_provider("protect", provider)
    if is_protected(client):
        raise ValueError("protect got a client that is protected already; each command would count twice")
    protection = Protection(
        "protect",
        provider,
        name,
        _redis.name_of(client),
        made_of="the call",
        one_for="all commands",
        judge=verdict_of,
        reject=_reject,
    )
    return put_around(client, _redis.derived_for(client), protection)


def _reject(rejected: BreakerOpenError, command: object) -> BreakerOpenError:
    return rejected_as(BreakerOpenConnectionError, rejected)
