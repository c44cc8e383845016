"""``settle=``: streams that count at their end or with their first response, on channels of grpc."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import (
    FORMS,
    HANG,
    METHOD,
    SS,
    US,
    UU,
    Echo,
    Protect,
    ask,
    open_channel,
)
from support.rpc_streams import STREAMS, begin, every_stream


@every_stream
def test_a_first_response_is_a_success_and_nothing_after_it_counts(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        breaker = patient.get_breaker(STREAMS[form])
        stream = begin(channel, form, ask(grpc.StatusCode.DATA_LOSS, responses=2))
        assert counts(breaker) == {}
        next(stream)
        assert counts(breaker) == {"successes": 1}
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        stream = begin(channel, form, ask(delay=HANG))
        next(stream)
        stream.cancel()
        assert counts(breaker) == {"successes": 2}


@every_stream
def test_a_stream_without_a_response_counts_at_its_end(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=0)))
        assert list(begin(channel, form, ask(responses=0))) == []
        begin(channel, form, ask(delay=HANG, responses=0)).cancel()
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(delay=HANG, responses=0), timeout=0.05))
        unread = begin(channel, form, ask(grpc.StatusCode.INTERNAL, responses=0))
        assert unread.code() is grpc.StatusCode.INTERNAL
    assert counts(patient.breakers[STREAMS[form]]) == {"failures": 3, "successes": 1, "ignored": 1}


@every_stream
def test_a_response_and_the_end_that_come_together_are_a_success(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        for _ in range(100):
            with pytest.raises(grpc.RpcError):
                list(begin(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=1)))
    assert counts(patient.breakers[STREAMS[form]]) == {"successes": 100}


@every_stream
@pytest.mark.parametrize(("settle", "counted"), [("first", "successes"), ("end", "failures")])
def test_a_watch_that_ends_by_its_own_deadline(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str, settle: str, counted: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle=settle)
        with pytest.raises(grpc.RpcError) as caught:
            list(begin(channel, form, ask(delay=HANG), timeout=0.3))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counts(patient.breakers[STREAMS[form]]) == {counted: 1}


@every_stream
def test_long_watches_close_a_half_open_breaker(
    protect: Protect, server: tuple[Echo, str], provider_of: Callable[..., Provider], clock: ManualClock, form: str
) -> None:
    provider = provider_of(Policy(1, 2, 60.0))
    breaker = provider.get_breaker(STREAMS[form])
    with open_channel(server[1]) as bare:
        channel = protect(bare, provider, settle="first")
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=0)))
        clock.advance(60)
        watches = []
        for state in (State.HALF_OPEN, State.CLOSED):
            watches.append(begin(channel, form, ask(delay=HANG)))
            with pytest.raises(BreakerOpenError):  # the slot is taken until the watch has answered
                next(begin(channel, form, ask()))
            next(watches[-1])
            assert breaker.state is state
        for watch in watches:
            watch.cancel()
    assert counts(breaker) == {"failures": 1, "successes": 2, "rejected": 2}


def test_calls_with_one_response_count_at_their_end(
    protect: Protect, server: tuple[Echo, str], patient: Provider
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        for form in FORMS:
            if METHOD[form] not in (US, SS):
                assert FORMS[form](channel, ask())
                with pytest.raises(grpc.RpcError):
                    FORMS[form](channel, ask(grpc.StatusCode.INTERNAL))
    assert counts(patient.breakers[UU]) == {"successes": 3, "failures": 3}


def test_a_callable_decides_for_each_stream(protect: Protect, server: tuple[Echo, str], patient: Provider) -> None:
    seen: list[Any] = []

    def settle(details: Any) -> str:
        seen.append(details)
        return "first" if details.timeout is None else "end"

    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle=settle)
        for timeout in (None, 20):
            stream = channel.unary_stream(US)(ask(grpc.StatusCode.DATA_LOSS), timeout=timeout, metadata=(("k", "v"),))
            with pytest.raises(grpc.RpcError):
                list(stream)
        FORMS["unary-call"](channel, ask())
    assert counts(patient.breakers[US]) == {"successes": 1, "failures": 1}
    assert [(details.method, details.timeout, details.metadata) for details in seen] == [
        (US, None, (("k", "v"),)),
        (US, 20, (("k", "v"),)),
    ]
