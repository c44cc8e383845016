"""`guard`: a channel that exists, of either kind, whose calls go through breakers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

import grpc
import grpc.aio

from breaker.integrations._base import NameOf
from breaker.integrations.grpc.aio_channel import GuardedAioChannel
from breaker.integrations.grpc.channel import GuardedChannel
from breaker.integrations.grpc.protection import FAILURE_CODES, IGNORED_CODES, Code, Protection, Settle
from breaker.provider import Provider


@overload
def guard(
    channel: grpc.aio.Channel,
    provider: Provider,
    *,
    name: NameOf | None = None,
    failure_codes: Iterable[Code] = ...,
    ignored_codes: Iterable[Code] = ...,
    settle: Settle = "end",
) -> grpc.aio.Channel: ...


@overload
def guard(
    channel: grpc.Channel,
    provider: Provider,
    *,
    name: NameOf | None = None,
    failure_codes: Iterable[Code] = ...,
    ignored_codes: Iterable[Code] = ...,
    settle: Settle = "end",
) -> grpc.Channel: ...


def guard(
    channel: Any,
    provider: Provider,
    *,
    name: NameOf | None = None,
    failure_codes: Iterable[Code] = FAILURE_CODES,
    ignored_codes: Iterable[Code] = IGNORED_CODES,
    settle: Settle = "end",
) -> Any:
    """A channel whose calls go through breakers: ``channel = guard(grpc.insecure_channel(target), provider)``.

    It calls the channel's own callables, where an interceptor goes through gRPC's machinery: calls end the same way and
    cost less. Interceptors that the channel has already are inside: the breaker is asked first.

    Args:
        channel: of `grpc` or of `grpc.aio`. It stays its owner's: closing the guarded one closes it.
        provider: whose breakers protect the calls.
        name: as for `BreakerInterceptor`.
        failure_codes: `grpc.StatusCode` or their names. Codes in neither list are successes.
        ignored_codes: the same for calls that do not count. A list that is given wins over the other's default.
        settle: as for `BreakerInterceptor`.

    Returns:
        A channel of the same kind, for stubs, interceptors and whatever else takes a channel.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown code, or one in both lists; a ``settle`` that is none.

    Thread safety: that of the channel.

    .. versionadded:: 0.1
    """
    if not isinstance(channel, grpc.Channel | grpc.aio.Channel):
        hint = f"; guard(grpc.insecure_channel({channel!r}), provider)" if isinstance(channel, str) else ""
        raise TypeError(f"guard takes a channel of grpc or grpc.aio, got {type(channel).__name__}{hint}")
    protection = Protection("guard", provider, name, failure_codes, ignored_codes, settle)
    if isinstance(channel, grpc.aio.Channel):
        return GuardedAioChannel(channel, protection)
    return GuardedChannel(channel, protection)
