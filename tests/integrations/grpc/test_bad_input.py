"""What users get wrong, and what errors answer: arguments, names, a missing or an old grpcio; and pickled errors."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import BreakerError, BreakerOpenError, Provider, State
from breaker.integrations import grpc as integration
from breaker.integrations.grpc import (
    AioBreakerOpenRpcError,
    BreakerInterceptor,
    BreakerOpenRpcError,
    BreakerServerInterceptor,
    aio_interceptors,
    guard,
)
from support.processes import run_python
from support.reading import counts
from support.rpc import FORMS, METHOD, PROTECTED, Echo, Protect, aio_channel, ask, open_channel
from support.rpc_aio import AIO_FORMS, AIO_METHOD, Guarded


def named(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    make.__name__ = name
    return make


MAKERS = [
    BreakerInterceptor,
    BreakerServerInterceptor,
    aio_interceptors,
    named("guard", lambda *args, **options: guard(open_channel("127.0.0.1:1"), *args, **options)),
]
every_maker = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


# Arguments.


@every_maker
def test_a_provider_that_is_none(make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"{make.__name__} takes a breaker.Provider, got the class Provider; pass an"):
        make(Provider)
    for wrong in (None, "provider", object()):
        with pytest.raises(TypeError, match=rf"{make.__name__} takes a breaker.Provider, got {type(wrong).__name__}"):
            make(wrong)


@every_maker
def test_an_unknown_code_is_refused_with_the_valid_ones(make: Callable[..., Any], provider: Provider) -> None:
    for option in ("failure_codes", "ignored_codes"):
        for wrong in ("UNAVAILIBLE", "unavailable", "StatusCode.UNAVAILABLE", ""):
            with pytest.raises(ValueError, match=f"{option}= of {make.__name__} has the unknown status code") as caught:
                make(provider, **{option: ["INTERNAL", wrong]})
            assert repr(wrong) in str(caught.value)
            assert all(code.name in str(caught.value) for code in grpc.StatusCode)


@every_maker
def test_codes_of_the_wrong_kind(make: Callable[..., Any], provider: Provider) -> None:
    for lone in ("UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, 14, None):
        with pytest.raises(TypeError, match=r'a collection of grpc.StatusCode or their names.*\("UNAVAILABLE",\)'):
            make(provider, failure_codes=lone)
    for wrong in (14, None, b"UNAVAILABLE", ["UNAVAILABLE"]):
        with pytest.raises(TypeError, match=r"ignored_codes= .* holds grpc.StatusCode or their names, got"):
            make(provider, ignored_codes=[wrong])


@every_maker
def test_a_code_in_both_lists_is_refused(make: Callable[..., Any], provider: Provider) -> None:
    with pytest.raises(ValueError, match="has ABORTED, UNAVAILABLE in failure_codes and in ignored_codes"):
        make(provider, failure_codes=["UNAVAILABLE", "ABORTED"], ignored_codes={"ABORTED", "UNAVAILABLE", "OK"})
    make(provider, failure_codes=["CANCELLED"])  # given: wins over the default of the other
    make(provider, ignored_codes=["UNAVAILABLE"])


@every_maker
def test_a_name_that_cannot_be_called(make: Callable[..., Any], provider: Provider) -> None:
    with pytest.raises(TypeError, match=r"for one breaker for all methods: name=lambda details: 'grpc:users'"):
        make(provider, name="grpc:users")
    with pytest.raises(TypeError, match=r"must be a callable .* got int$"):
        make(provider, name=5)


@every_maker
def test_options_are_given_by_name(make: Callable[..., Any], provider: Provider) -> None:
    with pytest.raises(TypeError):
        make(provider, lambda details: "grpc:users")
    with pytest.raises(TypeError):
        make(provider, codes=[])
    with pytest.raises(TypeError):
        make()


# Names that cannot be had: an error at the first call, which is not made.


def no_text(details: Any) -> Any:
    return b"grpc:users"


def broken(details: Any) -> str:
    raise KeyError("no such service")


NAMES = [
    (
        no_text,
        TypeError,
        r"name= of \w+ must return the name of a breaker \(text\), got bytes for /test.Echo/\w+; None leaves",
    ),
    (
        broken,
        RuntimeError,
        r"name= of \w+ raised KeyError for /test.Echo/\w+ \('no such service'\); it must return the name",
    ),
    (lambda details: "", ValueError, "name"),
    (lambda details: "default", ValueError, "default"),
    (lambda details: "x" * 256, ValueError, "255"),
]


@pytest.mark.parametrize(("name", "kind", "message"), NAMES)
def test_a_name_that_cannot_be_had_on_a_channel(
    protect: Protect, server: tuple[Echo, str], provider: Provider, name: Any, kind: type[Exception], message: str
) -> None:
    echo, address = server
    before = echo.total
    with open_channel(address) as bare:
        channel = protect(bare, provider, name=name)
        for form in FORMS:
            with pytest.raises(kind) as caught:
                FORMS[form](channel, ask())
            caught.match(message)
    assert echo.total == before
    assert list(provider.breakers) == []


@pytest.mark.parametrize(("name", "kind", "message"), NAMES)
def test_a_name_that_cannot_be_had_on_a_channel_of_aio(
    guarded: Guarded, server: tuple[Echo, str], provider: Provider, name: Any, kind: type[Exception], message: str
) -> None:
    echo, address = server
    before = echo.total

    async def main() -> None:
        async with guarded(address, provider, name=name) as channel:
            for form in AIO_FORMS:
                with pytest.raises(kind) as caught:
                    await AIO_FORMS[form](channel, ask())
                caught.match(message)

    asyncio.run(main())
    assert echo.total == before
    assert list(provider.breakers) == []


# What settles a stream: refused when it is given, or at the call, which is not made.


@every_maker
def test_a_settle_that_is_none_is_refused(make: Callable[..., Any], provider: Provider) -> None:
    for wrong in ("last", "", None, 1, ["first"]):
        with pytest.raises(ValueError, match=rf"settle= of {make.__name__} must be 'end', 'first', or a callable"):
            make(provider, settle=wrong)


SETTLES: list[tuple[Any, type[Exception], str]] = [
    (
        lambda details: "last",
        ValueError,
        r"settle= of \w+ must return 'end' or 'first', got 'last' for /test.Echo/\w+Str",
    ),
    (lambda details: None, ValueError, r"must return 'end' or 'first', got None for /test.Echo/\w+Stream"),
    (broken, RuntimeError, r"settle= of \w+ raised KeyError for /test.Echo/\w+Stream \('no such service'\)"),
]


@pytest.mark.parametrize(("settle", "kind", "message"), SETTLES)
def test_a_settle_that_gives_no_answer_on_a_channel(
    protect: Protect, server: tuple[Echo, str], provider: Provider, settle: Any, kind: type[Exception], message: str
) -> None:
    echo, address = server
    before = echo.total
    with open_channel(address) as bare:
        channel = protect(bare, provider, settle=settle)
        for form in ("unary-stream", "stream-stream"):
            with pytest.raises(kind) as caught:
                FORMS[form](channel, ask())
            caught.match(message)
            assert counts(provider.breakers[METHOD[form]]) == {}
        assert echo.total == before
        assert FORMS["unary-call"](channel, ask())  # it is not asked for calls with one response


@pytest.mark.parametrize(("settle", "kind", "message"), SETTLES)
def test_a_settle_that_gives_no_answer_on_a_channel_of_aio(
    guarded: Guarded, server: tuple[Echo, str], provider: Provider, settle: Any, kind: type[Exception], message: str
) -> None:
    async def main() -> None:
        async with guarded(server[1], provider, settle=settle) as channel:
            for form in ("unary-stream-for", "stream-stream-for"):
                with pytest.raises(kind) as caught:
                    await AIO_FORMS[form](channel, ask())
                caught.match(message)
                assert counts(provider.breakers[AIO_METHOD[form]]) == {}
            assert await AIO_FORMS["unary-await"](channel, ask())

    asyncio.run(main())


# Channels that are none.


@pytest.mark.parametrize("wrong", ["127.0.0.1:50051", None, grpc.Channel, object()])
def test_a_channel_that_is_none(provider: Provider, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"guard takes a channel of grpc or grpc\.aio, got") as caught:
        guard(wrong, provider)
    assert type(wrong).__name__ in str(caught.value)
    assert ("grpc.insecure_channel('127.0.0.1:50051')" in str(caught.value)) is isinstance(wrong, str)


# Errors.


@pytest.mark.parametrize("kind", [BreakerOpenRpcError, AioBreakerOpenRpcError])
def test_a_rejection_is_picklable_and_caught_by_every_name(kind: type[BreakerOpenRpcError]) -> None:
    error = kind("grpc:users", State.HALF_OPEN, 1.2345, "half_open", "RpcError: UNAVAILABLE: down")
    error.add_note("seen")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (twin.name, twin.state, twin.retry_after, twin.reason) == (
            "grpc:users",
            State.HALF_OPEN,
            1.2345,
            "half_open",
        )
        assert twin.last_error == "RpcError: UNAVAILABLE: down"
        assert twin.__notes__ == ["seen"]
        assert twin.code() is grpc.StatusCode.UNAVAILABLE
        assert twin.details() == str(error)
        assert tuple(twin.trailing_metadata()) == (("grpc-retry-pushback-ms", "1235"),)
    expected = {BreakerOpenRpcError, BreakerOpenError, BreakerError, grpc.RpcError, Exception}
    if kind is AioBreakerOpenRpcError:
        expected |= {grpc.aio.AioRpcError}
    else:
        expected |= {grpc.Call, grpc.Future}
    assert all(issubclass(kind, base) for base in expected)
    assert "grpc:users" in repr(error)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0.0, "0"), (0.0001, "1"), (59.94, "59940"), (3e6, str(2**31 - 1))]
)
def test_pushback_is_in_whole_milliseconds(seconds: float, milliseconds: str) -> None:
    error = BreakerOpenRpcError("x", State.OPEN, seconds)
    assert error.trailing_metadata() == (("grpc-retry-pushback-ms", milliseconds),)


def by_target(details: Any) -> str:
    return "grpc:users"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inner", PROTECTED)
def test_a_rejection_of_another_breaker_is_not_the_dependencys_failure(
    server: tuple[Echo, str], provider: Provider, protect: Protect, inner: str, form: str
) -> None:
    provider.get_breaker(METHOD[form]).force_open()
    with open_channel(server[1]) as bare:
        channel = protect(PROTECTED[inner](bare, provider), provider, name=by_target)
        with pytest.raises(BreakerOpenRpcError, match=METHOD[form]):
            FORMS[form](channel, ask())
    assert counts(provider.breakers["grpc:users"]) == {"ignored": 1}


@pytest.mark.parametrize("form", AIO_FORMS)
@pytest.mark.parametrize("outer", ["interceptors", "guard"])
@pytest.mark.parametrize("inner", ["interceptors", "guard"])
def test_a_rejection_of_another_breaker_of_aio_is_not_the_dependencys_failure(
    server: tuple[Echo, str], provider: Provider, outer: str, inner: str, form: str
) -> None:
    async def main() -> None:
        around = aio_interceptors(provider, name=by_target) if outer == "interceptors" else []
        within = aio_interceptors(provider) if inner == "interceptors" else []
        provider.get_breaker(AIO_METHOD[form]).force_open()
        async with aio_channel(server[1], interceptors=[*around, *within]) as channel:
            if inner == "guard":
                channel = guard(channel, provider)
            if outer == "guard":
                channel = guard(channel, provider, name=by_target)
            with pytest.raises((BreakerOpenRpcError, asyncio.InvalidStateError)):
                await AIO_FORMS[form](channel, ask())
        # A guarded channel is outside of the interceptors: they are not asked when it rejects.
        asked = {} if (outer, inner) == ("interceptors", "guard") else {"ignored": 1}
        assert counts(provider.get_breaker("grpc:users")) == asked

    asyncio.run(main())


# The library.


def test_a_missing_grpcio_is_named_with_what_installs_it() -> None:
    program = """
import sys
sys.modules["grpc"] = None
try:
    import breaker.integrations.grpc
except ImportError as error:
    print(error)
    print(error.name)
"""
    message, name = run_python(program).splitlines()
    assert message.startswith("breaker.integrations.grpc needs grpcio 1.82 or newer, which cannot be imported here")
    assert message.endswith("install it with the extra grpc, or with: pip install 'grpcio>=1.82'")
    assert name == "grpc"


@pytest.mark.parametrize("version", ["1.81.9", "1.9.0", "0.15.0", "1.81.0rc1"])
def test_an_old_grpcio_is_refused(version: str) -> None:
    program = f"""
import grpc
grpc.__version__ = {version!r}
try:
    import breaker.integrations.grpc
except ImportError as error:
    print(error)
"""
    assert run_python(program).strip() == (
        f"breaker.integrations.grpc needs grpcio 1.82 or newer, and {version} is installed; "
        "install it with the extra grpc, or with: pip install 'grpcio>=1.82'"
    )


@pytest.mark.parametrize("version", ["1.82.0", "1.82.0rc1", "1.100.0", "2.0.0.dev0"])
def test_a_new_grpcio_is_not(version: str) -> None:
    assert run_python(f"import grpc; grpc.__version__ = {version!r}; import breaker.integrations.grpc") == ""


def test_importing_the_integrations_brings_no_library() -> None:
    assert run_python("import sys, breaker.integrations; print('grpc' in sys.modules)").strip() == "False"


def test_public_names_are_sorted_there_and_documented() -> None:
    assert integration.__all__ == sorted(
        integration.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    for name in integration.__all__:
        if not name.isupper():
            assert inspect.getdoc(getattr(integration, name))
