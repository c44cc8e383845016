"""How calls on channels of `grpc` end otherwise: deadlines, cancellations, abandoned streams, servers that vanish."""

import gc
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.grpc import BreakerOpenRpcError
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import FORMS, HANG, METHOD, SS, SU, US, UU, Echo, Protect, ask, open_channel, relayed, serving
from support.watching import eventually

every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def channel(echo: Echo) -> Iterator[Any]:
    with serving(echo) as address, open_channel(address) as made:
        yield made


@pytest.fixture
def guarded(protect: Protect, channel: Any, patient: Provider) -> Any:
    """A channel whose breakers count and never open."""
    return protect(channel, patient)


# Deadlines.


@every_form
def test_a_deadline_that_passes_is_a_failure(guarded: Any, patient: Provider, form: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        FORMS[form](guarded, ask(delay=HANG), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counts(patient.breakers[METHOD[form]]) == {"failures": 1}


@every_form
@pytest.mark.parametrize("timeout", [0.0, -3.5, math.nan])
def test_a_deadline_that_has_passed_before_the_call_leaves_says_nothing(
    guarded: Any, patient: Provider, form: str, timeout: float
) -> None:
    for _ in range(5):
        with pytest.raises(grpc.RpcError) as caught:
            FORMS[form](guarded, ask(delay=HANG, responses=0), timeout=timeout)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counts(patient.breakers[METHOD[form]]) == {"ignored": 5}


@every_form
@pytest.mark.parametrize("failure_codes", [(), ("UNAVAILABLE",)])
def test_such_a_deadline_says_nothing_where_it_is_no_failure_either(
    protect: Protect, channel: Any, patient: Provider, form: str, failure_codes: tuple[str, ...]
) -> None:
    guarded = protect(channel, patient, failure_codes=failure_codes)
    for _ in range(5):
        with pytest.raises(grpc.RpcError):
            FORMS[form](guarded, ask(delay=HANG, responses=0), timeout=-3.5)
    assert counts(patient.breakers[METHOD[form]]) == {"ignored": 5}


@every_form
def test_a_closed_channel_says_nothing(echo: Echo, protect: Protect, patient: Provider, form: str) -> None:
    with serving(echo) as address:
        channel = open_channel(address)
        channel.close()
        call: Callable[..., Any] = FORMS[form]
        if form.endswith("future"):  # gRPC's own of a call that was not made knows no timeout
            call = lambda channel, request: channel.stream_unary(METHOD[form]).future(iter([request])).result()  # noqa: E731
        with pytest.raises(ValueError, match="closed"):
            call(protect(channel, patient), ask())
    assert counts(patient.breakers[METHOD[form]]) == {"ignored": 1}


def test_a_future_that_is_waited_for_too_briefly_goes_on(guarded: Any, echo: Echo, patient: Provider) -> None:
    future = guarded.unary_unary(UU).future(ask(delay=HANG))
    with pytest.raises(grpc.FutureTimeoutError):
        future.result(timeout=0.01)
    assert counts(patient.breakers[UU]) == {}
    echo.released.set()
    assert b"number" in future.result(timeout=20)
    assert counts(patient.breakers[UU]) == {"successes": 1}


# Cancellations.


def test_a_call_cancelled_before_it_ends_is_ignored(guarded: Any, patient: Provider) -> None:
    for method, call in (
        (UU, guarded.unary_unary(UU).future(ask(delay=HANG))),
        (SU, guarded.stream_unary(SU).future(iter([ask(delay=HANG)]))),
        (US, guarded.unary_stream(US)(ask(delay=HANG))),
        (SS, guarded.stream_stream(SS)(iter([ask(delay=HANG)]))),
    ):
        assert call.running()
        assert call.cancel()
        assert counts(patient.breakers[method]) == {"ignored": 1}
        assert call.cancelled()
        assert call.code() is grpc.StatusCode.CANCELLED
        with pytest.raises(grpc.FutureCancelledError):
            call.result()
        assert not call.cancel()
        assert counts(patient.breakers[method]) == {"ignored": 1}


def test_a_stream_cancelled_in_the_middle_is_ignored(guarded: Any, patient: Provider) -> None:
    stream = guarded.unary_stream(US)(ask(responses=5, delay=HANG))
    next(stream)
    stream.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() is grpc.StatusCode.CANCELLED
    assert counts(patient.breakers[US]) == {"ignored": 1}


def test_a_local_cancellation_is_no_failure_even_where_the_status_is(
    protect: Protect, channel: Any, patient: Provider
) -> None:
    guarded = protect(channel, patient, failure_codes=["CANCELLED"])
    guarded.unary_unary(UU).future(ask(delay=HANG)).cancel()
    stream = guarded.unary_stream(US)(ask(delay=HANG))
    stream.cancel()
    with pytest.raises(grpc.RpcError):
        list(stream)
    assert counts(patient.breakers[UU]) == counts(patient.breakers[US]) == {"ignored": 1}


def test_a_cancelled_probe_gives_its_slot_back(
    protect: Protect, channel: Any, provider: Provider, clock: ManualClock
) -> None:
    guarded = protect(channel, provider)
    with pytest.raises(grpc.RpcError):
        FORMS["unary-stream"](guarded, ask(grpc.StatusCode.UNAVAILABLE))
    clock.advance(60)
    probe = guarded.unary_stream(US)(ask(delay=HANG))
    next(probe)
    with pytest.raises(BreakerOpenRpcError) as caught:
        FORMS["unary-stream"](guarded, ask())
    assert (caught.value.state, caught.value.reason) == (State.HALF_OPEN, "half_open")
    probe.cancel()
    assert len(FORMS["unary-stream"](guarded, ask())) == 3
    assert provider.breakers[US].state is State.CLOSED


def test_a_channel_that_is_closed_ends_its_calls_without_a_verdict(
    protect: Protect, echo: Echo, patient: Provider
) -> None:
    with serving(echo) as address:
        channel = open_channel(address)
        guarded = protect(channel, patient)
        future = guarded.unary_unary(UU).future(ask(delay=HANG))
        channel.close()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            future.result(timeout=20)
        assert counts(patient.breakers[UU]) == {"ignored": 1}


# Streams that nobody reads to their end.


def test_an_abandoned_stream_is_cancelled_without_the_collector(guarded: Any, echo: Echo, patient: Provider) -> None:
    gc.collect()
    gc.disable()
    try:
        stream = guarded.unary_stream(US)(ask(responses=100_000))
        next(stream)
        del stream
        eventually(lambda: counts(patient.breakers[US]) == {"successes": 1})
        eventually(lambda: echo.over == [True])
        unread = guarded.unary_stream(US)(ask(delay=HANG))
        del unread
        eventually(lambda: counts(patient.breakers[US]) == {"successes": 1, "ignored": 1})
    finally:
        gc.enable()


def test_a_stream_broken_out_of_has_answered(guarded: Any, echo: Echo, patient: Provider) -> None:
    for _ in guarded.stream_stream(SS)(iter([ask(responses=100_000)])):
        break
    eventually(lambda: counts(patient.breakers[SS]) == {"successes": 1})
    eventually(lambda: echo.over == [True])


def test_an_abandoned_probe_gives_its_slot_back(
    protect: Protect, channel: Any, provider: Provider, clock: ManualClock
) -> None:
    guarded = protect(channel, provider)
    with pytest.raises(grpc.RpcError):
        FORMS["stream-stream"](guarded, ask(grpc.StatusCode.UNAVAILABLE))
    clock.advance(60)
    guarded.stream_stream(SS)(iter([ask(delay=HANG)]))
    eventually(lambda: counts(provider.breakers[SS]) == {"failures": 1, "ignored": 1})
    assert provider.breakers[SS].state is State.HALF_OPEN
    assert len(FORMS["stream-stream"](guarded, ask())) == 3
    assert provider.breakers[SS].state is State.CLOSED


def test_a_probe_abandoned_after_its_first_answer_closes(
    protect: Protect, channel: Any, provider: Provider, clock: ManualClock
) -> None:
    guarded = protect(channel, provider)
    with pytest.raises(grpc.RpcError):
        FORMS["stream-stream"](guarded, ask(grpc.StatusCode.UNAVAILABLE))
    clock.advance(60)
    next(guarded.stream_stream(SS)(iter([ask(delay=HANG)])))
    eventually(lambda: counts(provider.breakers[SS]) == {"failures": 1, "successes": 1})
    assert provider.breakers[SS].state is State.CLOSED


def test_a_stream_that_ends_unread_is_settled_by_its_status(guarded: Any, patient: Provider) -> None:
    failed = guarded.unary_stream(US)(ask(grpc.StatusCode.INTERNAL, responses=0))
    eventually(lambda: counts(patient.breakers[US]) == {"failures": 1})
    assert failed.code() is grpc.StatusCode.INTERNAL


def test_a_stream_counts_at_its_end_and_not_before(guarded: Any, echo: Echo, patient: Provider) -> None:
    stream = guarded.unary_stream(US)(ask(responses=3, delay=HANG))
    for _ in range(3):
        next(stream)
        assert counts(patient.breakers[US]) == {}
    echo.released.set()
    assert list(stream) == []
    assert counts(patient.breakers[US]) == {"successes": 1}
    assert list(stream) == []
    assert counts(patient.breakers[US]) == {"successes": 1}


@pytest.mark.parametrize("option", [(), (("SingleThreadedUnaryStream", 1),)], ids=["threads", "single-threaded"])
def test_a_stream_that_fails_in_the_middle_is_one_failure(
    protect: Protect, echo: Echo, patient: Provider, option: Any
) -> None:
    with serving(echo) as address, open_channel(address, options=option) as channel:
        guarded = protect(channel, patient)
        stream = guarded.unary_stream(US)(ask(grpc.StatusCode.DATA_LOSS, responses=2))
        assert len([next(stream), next(stream)]) == 2
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert counts(patient.breakers[US]) == {"failures": 1}
        assert len(list(guarded.unary_stream(US)(ask()))) == 3
        assert counts(patient.breakers[US]) == {"failures": 1, "successes": 1}


def test_callbacks_get_the_call_that_the_caller_has(guarded: Any, echo: Echo, patient: Provider) -> None:
    heard: list[Any] = []
    rang = threading.Event()
    future = guarded.unary_unary(UU).future(ask(delay=HANG))
    future.add_done_callback(lambda call: heard.append((call, counts(patient.breakers[UU]))))
    assert future.add_callback(rang.set)
    echo.released.set()
    assert rang.wait(20)
    eventually(lambda: heard)
    assert heard == [(future, {"successes": 1})]
    assert "OK" in repr(future)
    assert future.done()
    assert future.exception() is future.traceback() is None
    assert (future.initial_metadata(), future.trailing_metadata()) == ((), ())


# Servers that vanish and come back.


@every_form
def test_a_server_that_is_not_there_opens_and_one_that_comes_back_closes(
    protect: Protect, provider: Provider, clock: ManualClock, form: str
) -> None:
    echo = Echo()
    options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20)]
    with serving(Echo()) as address, open_channel(address, options=options) as channel:
        guarded = protect(channel, provider)
        FORMS[form](guarded, ask())
        killed = address
    with open_channel(killed, options=options) as channel:
        guarded = protect(channel, provider)
        with pytest.raises(grpc.RpcError) as caught:
            FORMS[form](guarded, ask())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        breaker = provider.breakers[METHOD[form]]
        assert breaker.state is State.OPEN
        with serving(echo, killed):
            with pytest.raises(BreakerOpenError):
                FORMS[form](guarded, ask())
            assert echo.total == 0
            clock.advance(60)
            FORMS[form](guarded, ask(), wait_for_ready=True, timeout=20)
            assert echo.total == 1
            assert breaker.state is State.CLOSED


def test_a_server_killed_in_the_middle_of_a_stream_is_a_failure(
    protect: Protect, echo: Echo, patient: Provider
) -> None:
    with ExitStack() as server:
        address = server.enter_context(serving(echo))
        with open_channel(address) as channel:
            guarded = protect(channel, patient)
            stream = guarded.unary_stream(US)(ask(responses=1, delay=HANG))
            next(stream)
            server.close()
            with pytest.raises(grpc.RpcError) as caught:
                list(stream)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert counts(patient.breakers[US]) == {"failures": 1}


# Many at a time.


def test_two_hundred_calls_at_a_time_are_all_counted(guarded: Any, echo: Echo, patient: Provider) -> None:
    forms = list(FORMS)

    def call(number: int) -> bool:
        try:
            FORMS[forms[number % len(forms)]](guarded, ask(grpc.StatusCode.UNAVAILABLE if number % 3 == 0 else None))
        except grpc.RpcError:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(call, range(200)))
    assert echo.total == 200
    assert answers.count(False) == len(range(0, 200, 3))
    totals = [breaker.snapshot() for breaker in patient.breakers.values()]
    assert sum(total.failures for total in totals) == answers.count(False)
    assert sum(total.successes for total in totals) == answers.count(True)


def test_two_hundred_futures_in_flight_when_it_opens_are_late_and_the_server_sees_no_more(
    protect: Protect, channel: Any, echo: Echo, provider_of: Callable[..., Provider]
) -> None:
    provider = provider_of(Policy(5))
    guarded = protect(channel, provider)
    wanted = ask(grpc.StatusCode.UNAVAILABLE, delay=HANG)
    futures = [guarded.unary_unary(UU).future(wanted) for _ in range(200)]
    echo.released.set()
    assert all(future.exception().code() is grpc.StatusCode.UNAVAILABLE for future in futures)
    assert counts(provider.breakers[UU]) == {"failures": 5, "late": 195}
    with pytest.raises(BreakerOpenError):
        guarded.unary_unary(UU)(ask())
    assert echo.total == 200


def test_half_open_admits_one_of_fifty(
    protect: Protect, channel: Any, echo: Echo, provider: Provider, clock: ManualClock
) -> None:
    guarded = protect(channel, provider)
    with pytest.raises(grpc.RpcError):
        guarded.unary_unary(UU)(ask(grpc.StatusCode.UNAVAILABLE))
    clock.advance(60)
    futures = [guarded.unary_unary(UU).future(ask(delay=HANG)) for _ in range(50)]
    refused = [future for future in futures if isinstance(future, BreakerOpenRpcError)]
    assert len(refused) == 49
    assert {(call.state, call.reason) for call in refused} == {(State.HALF_OPEN, "half_open")}
    (probe,) = set(futures) - set(refused)
    echo.released.set()
    assert b"number" in probe.result(timeout=20)
    assert echo.total == 2
    assert provider.breakers[UU].state is State.CLOSED


# What is passed on.


@every_form
def test_options_of_a_call_are_passed_on_untouched(guarded: Any, echo: Echo, patient: Provider, form: str) -> None:
    sent = (("key", "value"), ("blob-bin", b"\x00\xff"))
    FORMS[form](guarded, ask(), metadata=sent, timeout=20, wait_for_ready=True, compression=grpc.Compression.Gzip)
    received = echo.metadata[-1]
    assert set(sent) <= set(received)
    assert ("grpc-internal-encoding-request", "gzip") not in sent
    assert counts(patient.breakers[METHOD[form]]) == {"successes": 1}


def test_compression_reaches_the_wire(protect: Protect, echo: Echo, patient: Provider) -> None:
    with serving(echo) as address, relayed(address) as (relay, sent), open_channel(relay) as channel:
        guarded = protect(channel, patient)
        guarded.unary_unary(UU)(ask(size=50_000), compression=grpc.Compression.Gzip)
        assert sent() < 10_000
        guarded.unary_unary(UU)(ask(size=50_000))
        assert sent() > 50_000
