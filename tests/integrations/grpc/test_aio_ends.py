"""How calls on channels of `grpc.aio` end otherwise, and what is passed on."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio
import pytest

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.grpc import aio_interceptors
from breaker.testing import ManualClock
from support.collector import no_collector
from support.reading import counts
from support.rpc import HANG, SS, SU, US, UU, AioEcho, Echo, aio_channel, aio_serving, ask, relayed, serving
from support.rpc_aio import AIO_FORMS, AIO_METHOD, GUARDED, Guarded, failing
from support.watching import soon

every_form = pytest.mark.parametrize("form", AIO_FORMS)


# Deadlines and cancellations.


@every_form
def test_a_deadline_that_passes_is_a_failure(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            error = await failing(channel, form, ask(delay=HANG, responses=0), timeout=0.3)
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert counts(patient.breakers[AIO_METHOD[form]]) == {"failures": 1}

    asyncio.run(main())


# Written to, a call that is over already says so in another way. With 0.0 gRPC sometimes raises CancelledError while
# it sends a stream.
@pytest.mark.parametrize(
    ("form", "timeout"),
    [(form, -3.5) for form in AIO_FORMS if not form.endswith("write")]
    + [(form, 0.0) for form in AIO_FORMS if form.startswith("unary")],
)
def test_a_deadline_that_has_passed_before_the_call_leaves_says_nothing(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str, timeout: float
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            for _ in range(5):
                error = await failing(channel, form, ask(delay=HANG, responses=0), timeout=timeout)
                assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert counts(patient.breakers[AIO_METHOD[form]]) == {"ignored": 5}

    asyncio.run(main())


@pytest.mark.parametrize("form", [form for form in AIO_FORMS if not form.endswith("write")])
def test_such_a_deadline_says_nothing_where_it_is_no_failure_either(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient, failure_codes=("UNAVAILABLE",)) as channel:
            for _ in range(5):
                await failing(channel, form, ask(delay=HANG, responses=0), timeout=-3.5)
        assert counts(patient.breakers[AIO_METHOD[form]]) == {"ignored": 5}

    asyncio.run(main())


@pytest.mark.parametrize("form", ["stream-unary-write", "stream-stream-write"])
def test_such_a_call_that_is_written_to_says_nothing(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            with pytest.raises((grpc.RpcError, asyncio.InvalidStateError, asyncio.CancelledError)):
                await AIO_FORMS[form](channel, ask(delay=HANG, responses=0), timeout=0)
            await soon(lambda: counts(patient.breakers[AIO_METHOD[form]]) == {"ignored": 1})

    asyncio.run(main())


@every_form
def test_a_closed_channel_says_nothing(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            await channel.close()
            with pytest.raises((grpc.aio.UsageError, asyncio.InvalidStateError)):
                await AIO_FORMS[form](channel, ask())
        assert counts(patient.breakers[AIO_METHOD[form]]) == {"ignored": 1}

    asyncio.run(main())


@every_form
def test_a_cancelled_task_is_ignored(guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str) -> None:
    echo, address = server

    async def main() -> None:
        async with guarded(address, patient) as channel:
            before = echo.total
            task = asyncio.ensure_future(AIO_FORMS[form](channel, ask(delay=HANG)))
            await soon(lambda: echo.total > before)
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await soon(lambda: counts(patient.breakers[AIO_METHOD[form]]) == {"ignored": 1})

    asyncio.run(main())


@every_form
def test_a_task_cancelled_before_it_began_takes_no_permit(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            task = asyncio.ensure_future(AIO_FORMS[form](channel, ask()))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert list(patient.breakers) == []
            task = asyncio.ensure_future(AIO_FORMS[form](channel, ask(delay=HANG)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises((asyncio.CancelledError, asyncio.InvalidStateError)):  # the second from write()
                await task
            await asyncio.sleep(0.05)
        assert all(set(counts(breaker)) <= {"ignored"} for breaker in patient.breakers.values())

    asyncio.run(main())


def test_a_timeout_around_the_call_is_the_callers(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await channel.unary_unary(UU)(ask(delay=HANG))
            await soon(lambda: counts(patient.breakers[UU]) == {"ignored": 1})

    asyncio.run(main())


def test_a_cancelled_stream_is_ignored_and_its_probe_gives_way(
    guarded: Guarded, server: tuple[Echo, str], provider: Provider, clock: ManualClock
) -> None:
    async def main() -> None:
        async with guarded(server[1], provider) as channel:
            await failing(channel, "unary-stream-for", ask(grpc.StatusCode.UNAVAILABLE))
            clock.advance(60)
            probe = channel.unary_stream(US)(ask(delay=HANG))
            async for _ in probe:
                break
            with pytest.raises(BreakerOpenError) as caught:
                await AIO_FORMS["unary-stream-for"](channel, ask())
            assert caught.value.state is State.HALF_OPEN
            assert probe.cancel()
            assert counts(provider.breakers[US])["ignored"] == 1
            assert len(await AIO_FORMS["unary-stream-for"](channel, ask())) == 3
        assert provider.breakers[US].state is State.CLOSED

    asyncio.run(main())


def test_a_probe_dropped_unread_behind_interceptors_is_overdue_after_its_lease(
    server: tuple[Echo, str], provider: Provider, clock: ManualClock
) -> None:
    # grpc.aio holds a stream with interceptors that nobody reads, and reports nothing.
    async def main() -> None:
        async with GUARDED["interceptors"](server[1], provider) as channel:
            await failing(channel, "unary-stream-for", ask(grpc.StatusCode.UNAVAILABLE))
            clock.advance(60)
            channel.unary_stream(US)(ask(delay=HANG))
            await soon(lambda: provider.breakers[US].state is State.HALF_OPEN)
            with pytest.raises(BreakerOpenError):
                await AIO_FORMS["unary-stream-for"](channel, ask())
            clock.advance(60)
            assert len(await AIO_FORMS["unary-stream-for"](channel, ask())) == 3
            assert provider.breakers[US].state is State.CLOSED
        assert counts(provider.breakers[US]) == {"failures": 1, "rejected": 1, "overdue": 1, "successes": 1, "late": 1}

    asyncio.run(main())


@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
def test_a_stream_of_a_guarded_channel_that_is_dropped_is_cancelled(
    provider_of: Callable[..., Provider], clock: ManualClock, kind: str, read: bool
) -> None:
    provider = provider_of(Policy(1, 2, 60.0))
    echo, method = Echo(), US if kind == "unary_stream" else SS

    async def main(address: str) -> None:
        async with GUARDED["guard"](address, provider) as channel:
            await failing(channel, f"{kind.replace('_', '-')}-for", ask(grpc.StatusCode.UNAVAILABLE))
            clock.advance(60)
            wish = ask(responses=100_000)
            stream = getattr(channel, kind)(method)(wish if kind == "unary_stream" else iter([wish]))
            if read:
                await anext(aiter(stream))
            del stream
            assert counts(provider.breakers[method]) == {"failures": 1, "successes" if read else "ignored": 1}
            assert provider.breakers[method].snapshot().half_open_in_flight == 0
            if read:
                await soon(lambda: echo.over == [True, True] or echo.over == [True])

    with no_collector(), serving(echo) as address:
        asyncio.run(main(address))


def test_a_stream_counts_at_its_end_and_not_before(guarded: Guarded, patient: Provider) -> None:
    echo = Echo()

    async def main(address: str) -> None:
        async with guarded(address, patient) as channel:
            stream = channel.unary_stream(US)(ask(responses=3, delay=HANG))
            for _ in range(3):
                await stream.read()
                assert counts(patient.breakers[US]) == {}
            echo.released.set()
            assert await stream.read() is grpc.aio.EOF
            assert counts(patient.breakers[US]) == {"successes": 1}
            assert await stream.code() is grpc.StatusCode.OK
        assert counts(patient.breakers[US]) == {"successes": 1}

    with serving(echo) as address:
        asyncio.run(main(address))


def test_a_stream_that_fails_in_the_middle_is_one_failure(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            stream = aiter(channel.stream_stream(SS)(iter([ask(grpc.StatusCode.DATA_LOSS, responses=2)])))
            assert len([await anext(stream), await anext(stream)]) == 2
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(stream)
            assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert counts(patient.breakers[SS]) == {"failures": 1}

    asyncio.run(main())


def test_what_the_caller_got_wrong_says_nothing(guarded: Guarded, server: tuple[Echo, str], patient: Provider) -> None:
    async def requests() -> AsyncIterator[bytes]:
        raise ValueError("cannot be made")
        yield b""

    async def main() -> None:
        async with guarded(server[1], patient) as channel:
            with pytest.raises(asyncio.CancelledError):
                await channel.stream_unary(SU)(requests())
            assert counts(patient.breakers[SU]) == {"ignored": 1}

    asyncio.run(main())


# Servers, and many at a time.


def test_a_server_that_is_killed_and_comes_back(provider: Provider, clock: ManualClock) -> None:
    echo = Echo()

    async def main() -> None:
        options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20)]
        with serving(Echo()) as address:
            pass
        async with aio_channel(address, options=options, interceptors=aio_interceptors(provider)) as channel:
            error = await failing(channel, "unary-await", ask())
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            with serving(echo, address):
                with pytest.raises(BreakerOpenError):
                    await AIO_FORMS["unary-await"](channel, ask())
                assert echo.total == 0
                clock.advance(60)
                await AIO_FORMS["unary-await"](channel, ask(), wait_for_ready=True, timeout=20)
                assert echo.total == 1
        assert provider.breakers[UU].state is State.CLOSED

    asyncio.run(main())


def test_two_hundred_calls_at_a_time_on_a_server_of_aio(guarded: Guarded, provider_of: Callable[..., Provider]) -> None:
    provider = provider_of(Policy(1000))
    echo = AioEcho()

    async def main() -> None:
        async with aio_serving(echo) as address, guarded(address, provider) as channel:
            forms = list(AIO_FORMS.values())
            calls = [
                forms[n % len(forms)](channel, ask(grpc.StatusCode.INTERNAL if n % 3 == 0 else None, delay=0.05))
                for n in range(200)
            ]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(result, grpc.aio.AioRpcError) for result in results) == len(range(0, 200, 3))
            assert echo.total == 200

    asyncio.run(main())
    totals = [breaker.snapshot() for breaker in provider.breakers.values()]
    assert sum(total.failures for total in totals) == len(range(0, 200, 3))
    assert sum(total.successes for total in totals) == 200 - len(range(0, 200, 3))


def test_calls_in_flight_when_it_opens_are_late(guarded: Guarded, provider_of: Callable[..., Provider]) -> None:
    provider = provider_of(Policy(5))
    echo = Echo()

    async def main(address: str) -> None:
        async with guarded(address, provider) as channel:
            wish = ask(grpc.StatusCode.UNAVAILABLE, delay=HANG)
            calls = [asyncio.ensure_future(AIO_FORMS["unary-await"](channel, wish)) for _ in range(100)]
            await soon(lambda: echo.total == 100)
            echo.released.set()
            await asyncio.gather(*calls, return_exceptions=True)
            with pytest.raises(BreakerOpenError):
                await AIO_FORMS["unary-await"](channel, ask())

    with serving(echo) as address:
        asyncio.run(main(address))
    assert counts(provider.breakers[UU]) == {"failures": 5, "late": 95, "rejected": 1}


# What is passed on.


@every_form
def test_options_of_a_call_are_passed_on_untouched(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        sent = (("key", "value"), ("blob-bin", b"\x00\xff"))
        async with guarded(server[1], patient) as channel:
            await AIO_FORMS[form](channel, ask(), metadata=sent, timeout=20, wait_for_ready=True)
        assert set(sent) <= set(server[0].metadata[-1])

    asyncio.run(main())


def test_compression_reaches_the_wire(guarded: Guarded, server: tuple[Echo, str], patient: Provider) -> None:
    async def main() -> None:
        with relayed(server[1]) as (relay, sent):
            async with guarded(relay, patient) as channel:
                await channel.unary_unary(UU)(ask(size=50_000), compression=grpc.Compression.Gzip)
                assert sent() < 10_000
                await channel.unary_unary(UU)(ask(size=50_000))
                assert sent() > 50_000

    asyncio.run(main())
