"""Channels of `grpc` against a real server: what each status counts as, in each form of call, and rejections."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.grpc import BreakerOpenRpcError
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import COUNTED, ENDINGS, FORMS, METHOD, SS, SU, US, UU, Echo, Protect, ask, open_channel, serving

every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Echo, Any]]:
    echo = Echo()
    with serving(echo) as address, open_channel(address) as channel:
        yield echo, channel


def failing(channel: Any, form: str, request: bytes, **options: Any) -> Any:
    """A call that must fail with the server's status. Returns its error."""
    with pytest.raises(grpc.RpcError) as caught:
        FORMS[form](channel, request, **options)
    assert not isinstance(caught.value, BreakerOpenError)
    return caught.value


@every_form
@pytest.mark.parametrize("code", ENDINGS, ids=lambda code: code.name)
def test_each_status_in_each_form_counts_once(
    protect: Protect, server: tuple[Echo, Any], patient: Provider, form: str, code: grpc.StatusCode
) -> None:
    _, channel = server
    error = failing(protect(channel, patient), form, ask(code, responses=2))
    assert (error.code(), error.details()) == (code, "as asked")
    assert counts(patient.breakers[METHOD[form]]) == {COUNTED[code]: 1}


@every_form
def test_an_answer_is_a_success_and_comes_back_unchanged(
    protect: Protect, server: tuple[Echo, Any], patient: Provider, form: str
) -> None:
    echo, channel = server
    before = echo.total
    bare = FORMS[form](channel, ask(responses=3))
    guarded = FORMS[form](protect(channel, patient), ask(responses=3))
    assert guarded == bare
    assert echo.total - before == 2
    assert counts(patient.breakers[METHOD[form]]) == {"successes": 1}


@every_form
def test_a_handler_that_crashes_is_a_failure(
    protect: Protect, server: tuple[Echo, Any], patient: Provider, form: str
) -> None:
    error = failing(protect(server[1], patient), form, ask(crash=True, details="lost its database"))
    assert error.code() is grpc.StatusCode.UNKNOWN
    assert counts(patient.breakers[METHOD[form]]) == {"failures": 1}


@every_form
def test_five_failures_open_and_the_server_sees_nothing_more(
    protect: Protect, server: tuple[Echo, Any], provider_of: Callable[..., Provider], form: str
) -> None:
    echo, channel = server
    provider = provider_of(Policy(5))
    guarded = protect(channel, provider)
    for _ in range(5):
        failing(guarded, form, ask(grpc.StatusCode.UNAVAILABLE))
    breaker = provider.breakers[METHOD[form]]
    assert breaker.state is State.OPEN
    before = echo.total
    for kind in (grpc.RpcError, BreakerOpenError, BreakerOpenRpcError):
        with pytest.raises(kind):
            FORMS[form](guarded, ask())
    assert echo.total == before
    assert counts(breaker) == {"failures": 5, "rejected": 3}


@every_form
def test_a_rejection_tells_which_breaker_and_when_to_retry(
    protect: Protect, server: tuple[Echo, Any], provider: Provider, clock: ManualClock, form: str
) -> None:
    guarded = protect(server[1], provider)
    failing(guarded, form, ask(grpc.StatusCode.UNAVAILABLE, details="no route"))
    clock.advance(17.5)
    with pytest.raises(BreakerOpenRpcError) as caught:
        FORMS[form](guarded, ask())
    rejected = caught.value
    assert rejected.code() is grpc.StatusCode.UNAVAILABLE
    assert rejected.details() == (
        f"circuit breaker '{METHOD[form]}' is open, retry in 42.5 s; it opened on RpcError: UNAVAILABLE: no route"
    )
    assert (rejected.name, rejected.state, rejected.retry_after) == (METHOD[form], State.OPEN, 42.5)
    assert rejected.trailing_metadata() == (("grpc-retry-pushback-ms", "42500"),)


@every_form
def test_half_open_lets_one_probe_through_and_its_answer_closes(
    protect: Protect, server: tuple[Echo, Any], provider: Provider, clock: ManualClock, form: str
) -> None:
    echo, channel = server
    guarded = protect(channel, provider)
    failing(guarded, form, ask(grpc.StatusCode.INTERNAL))
    breaker = provider.breakers[METHOD[form]]
    clock.advance(60)
    failing(guarded, form, ask(grpc.StatusCode.INTERNAL))
    assert breaker.state is State.OPEN
    clock.advance(60)
    before = echo.total
    FORMS[form](guarded, ask())
    assert echo.total - before == 1
    assert breaker.state is State.CLOSED


def test_a_rejected_future_and_a_rejected_stream_are_calls_that_are_over(
    protect: Protect, server: tuple[Echo, Any], provider: Provider
) -> None:
    guarded = protect(server[1], provider)
    for method in (UU, SS):
        provider.get_breaker(method).force_open()
    for call in (guarded.unary_unary(UU).future(ask()), guarded.stream_stream(SS)(iter([ask()]))):
        heard: list[Any] = []
        call.add_done_callback(heard.append)
        assert heard == [call]
        assert call.done() is True
        assert call.running() is call.cancelled() is call.is_active() is call.cancel() is False
        assert call.add_callback(print) is False
        assert call.time_remaining() is None
        assert (call.initial_metadata(), call.debug_error_string(), call.traceback()) == ((), "", None)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert isinstance(call.exception(), BreakerOpenRpcError)
        for take in (call.result, lambda call=call: next(call), lambda call=call: list(call)):
            with pytest.raises(BreakerOpenRpcError) as caught:
                take()
            assert caught.value.reason == "operator"


def test_with_call_gives_the_call_beside_the_answer(
    protect: Protect, server: tuple[Echo, Any], patient: Provider
) -> None:
    answer, call = protect(server[1], patient).unary_unary(UU).with_call(ask())
    assert b"number" in answer
    assert call.code() is grpc.StatusCode.OK
    assert call.trailing_metadata() == ()


# Which codes count as what, and which breaker is asked.


@pytest.mark.parametrize(
    ("options", "code", "counted"),
    [
        ({"failure_codes": ["NOT_FOUND"]}, "NOT_FOUND", "failures"),
        ({"failure_codes": [grpc.StatusCode.NOT_FOUND]}, "UNAVAILABLE", "successes"),
        ({"failure_codes": []}, "INTERNAL", "successes"),
        ({"ignored_codes": ["UNAVAILABLE"]}, "UNAVAILABLE", "ignored"),
        ({"ignored_codes": {grpc.StatusCode.ABORTED}}, "CANCELLED", "successes"),
        ({"ignored_codes": ()}, "CANCELLED", "successes"),
        ({"failure_codes": ["CANCELLED"]}, "CANCELLED", "failures"),
        ({"failure_codes": ["OK"], "ignored_codes": ["ABORTED"]}, "ABORTED", "ignored"),
    ],
)
@pytest.mark.parametrize("form", ["unary-call", "unary-future", "unary-stream"])
def test_codes_are_counted_as_reported(
    protect: Protect, server: tuple[Echo, Any], patient: Provider, form: str, options: Any, code: str, counted: str
) -> None:
    failing(protect(server[1], patient, **options), form, ask(grpc.StatusCode[code]))
    assert counts(patient.breakers[METHOD[form]]) == {counted: 1}


def test_a_name_of_ones_own_joins_methods(protect: Protect, server: tuple[Echo, Any], provider: Provider) -> None:
    seen: list[Any] = []

    def name(details: Any) -> str:
        seen.append(details)
        return "grpc:user-service"

    guarded = protect(server[1], provider, name=name)
    failing(guarded, "unary-call", ask(grpc.StatusCode.UNAVAILABLE), timeout=20, metadata=(("key", "value"),))
    for form in FORMS:
        with pytest.raises(BreakerOpenError, match="grpc:user-service"):
            FORMS[form](guarded, ask())
    assert list(provider.breakers) == ["grpc:user-service"]
    assert (seen[0].method, seen[0].timeout, seen[0].metadata) == (UU, 20, (("key", "value"),))


def test_each_method_has_its_own_breaker(protect: Protect, server: tuple[Echo, Any], provider: Provider) -> None:
    guarded = protect(server[1], provider)
    failing(guarded, "unary-call", ask(grpc.StatusCode.UNAVAILABLE))
    assert len(FORMS["unary-stream"](guarded, ask())) == 3
    assert sorted(provider.breakers) == sorted({METHOD["unary-call"], METHOD["unary-stream"]})


# Statuses that are not the dependency's doing.


@pytest.mark.parametrize("form", ["unary-call", "unary-future", "unary-stream", "stream-unary-call", "stream-stream"])
def test_a_request_too_large_for_the_server_is_its_answer(protect: Protect, patient: Provider, form: str) -> None:
    echo = Echo()
    with (
        serving(echo, options=[("grpc.max_receive_message_length", 1000)]) as address,
        open_channel(address) as channel,
    ):
        error = failing(protect(channel, patient), form, ask(size=2000))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "message larger than max" in error.details()
    assert counts(patient.breakers[METHOD[form]]) == {"successes": 1}


def test_a_request_too_large_to_be_sent_says_nothing_and_an_answer_too_large_is_one(
    protect: Protect, patient: Provider
) -> None:
    echo = Echo()
    limits = [("grpc.max_send_message_length", 5000), ("grpc.max_receive_message_length", 1000)]
    with serving(echo) as address, open_channel(address, options=limits) as channel:
        guarded = protect(channel, patient)
        error = failing(guarded, "unary-call", ask(size=6000))
        assert error.details().startswith("CLIENT: Sent message larger than max (6")
        assert counts(patient.breakers[UU]) == {"ignored": 1}
        error = failing(guarded, "unary-call", ask(size=2000))
        assert "CLIENT: Received message larger than max" in error.details()
        assert counts(patient.breakers[UU]) == {"ignored": 1, "successes": 1}


def test_what_the_caller_got_wrong_says_nothing(protect: Protect, server: tuple[Echo, Any], patient: Provider) -> None:
    echo, channel = server
    guarded = protect(channel, patient)
    before = echo.total

    def broken(request: Any) -> bytes:
        raise ValueError("cannot be serialized")

    def requests() -> Iterator[bytes]:
        raise ValueError("cannot be made")
        yield b""

    with pytest.raises(grpc.RpcError, match="Exception serializing request!"):
        guarded.unary_unary(UU, request_serializer=broken)(ask())
    with pytest.raises(grpc.RpcError, match="Exception serializing request!"):
        guarded.unary_unary(UU, request_serializer=broken).future(ask()).result()
    with pytest.raises(grpc.RpcError, match="Invalid metadata"):
        guarded.unary_unary(UU)(ask(), metadata=(("Not A Key", "value"),))
    assert echo.total == before
    assert counts(patient.breakers[UU]) == {"ignored": 3}
    with pytest.raises(grpc.RpcError, match="Exception iterating requests!"):
        list(guarded.stream_stream(SS)(requests()))
    assert counts(patient.breakers[SS]) == {"ignored": 1}


def test_a_resource_that_is_exhausted_in_truth_is_a_failure(
    protect: Protect, server: tuple[Echo, Any], patient: Provider
) -> None:
    failing(protect(server[1], patient), "unary-call", ask(grpc.StatusCode.RESOURCE_EXHAUSTED, details="quota"))
    assert counts(patient.breakers[UU]) == {"failures": 1}


@pytest.mark.parametrize("kind", ["unary_stream", "stream_unary", "stream_stream"])
def test_a_stream_is_never_slow(
    protect: Protect, server: tuple[Echo, Any], provider_of: Callable[..., Provider], clock: ManualClock, kind: str
) -> None:
    # S206: how long it takes is the doing of those who write and read it
    _, channel = server
    policy = Policy(None, slow_call_rate_threshold=1.0, slow_call_duration=1.0, minimum_calls=1)
    provider = provider_of(policy)
    method = {"unary_stream": US, "stream_unary": SU, "stream_stream": SS}[kind]

    def requests() -> Iterator[bytes]:
        clock.advance(5)
        yield ask()

    call = getattr(protect(channel, provider), kind)(method)
    answer = call(ask(responses=3) if kind == "unary_stream" else requests())
    clock.advance(5)
    if kind != "stream_unary":
        assert list(answer)
    snapshot = provider.breakers[method].snapshot()
    assert (snapshot.state, snapshot.window_calls, snapshot.window_slow_calls) == (State.CLOSED, 1, 0)
