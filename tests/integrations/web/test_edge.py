"""What a client of an application sees of rejections, whatever the framework and the server."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from breaker import BreakerOpenError, Provider, State
from breaker.integrations._base import rejected_as
from breaker.testing import ManualClock
from support.drive import Boom, raiser
from support.libraries import MISSING
from support.web.answers import DOCUMENT, NAME, check_answer
from support.web.client import ask
from support.web.sites import Framework, Kind, refused

REJECTIONS = {
    "aiohttp": "BreakerOpenClientError",
    "httpx": "BreakerOpenTransportError",
    "httpx2": "BreakerOpenTransportError",
    "requests": "BreakerOpenConnectionError",
    "urllib3": "BreakerOpenHTTPError",
}


def test_a_rejection_becomes_a_problem_document(kind: Kind, provider: Provider) -> None:
    views = {"shop": lambda: provider.get_breaker(NAME).do(str), "about": lambda: "about us"}
    with kind.served(kind.built(views, provider)) as address:
        refused(provider, NAME)
        seen = ask(address, "/shop")
        check_answer(seen)
        assert b"internal.example" not in seen.raw
        assert b"secret" not in seen.raw
        assert ask(address, "/about").body == b"about us"


def test_the_name_is_said_if_it_is_asked_for(kind: Kind, provider: Provider) -> None:
    with kind.served(kind.built({"shop": raiser(refused(provider, NAME))}, provider, show_name=True)) as address:
        seen = ask(address, "/shop")
    assert seen.document == DOCUMENT | {"breaker": NAME}
    assert seen.headers["content-length"] == str(len(seen.body))
    assert b"secret" not in seen.raw


def test_a_request_for_the_head_gets_no_body(kind: Kind, provider: Provider) -> None:
    with kind.served(kind.built({"shop": raiser(refused(provider, NAME))}, provider)) as address:
        whole, head = ask(address, "/shop"), ask(address, "/shop", "HEAD")
    assert head.status == 503
    assert head.body == b""
    said = ("retry-after", "content-type", "content-length", "cache-control")
    assert {name: head.headers[name] for name in said} == {name: whole.headers[name] for name in said}


@pytest.mark.parametrize("library", [library for library in REJECTIONS if library not in MISSING])
def test_rejections_of_every_client_are_answered(kind: Kind, provider: Provider, library: str) -> None:
    module = importlib.import_module(f"breaker.integrations.{library}")
    rejection = getattr(module, REJECTIONS[library])(NAME, State.OPEN, 7.5, "open", "secret")
    with kind.served(kind.built({"shop": raiser(rejection)}, provider)) as address:
        check_answer(ask(address, "/shop"), 8)


def test_rejections_of_grpc_are_answered(kind: Kind, provider: Provider) -> None:
    errors = pytest.importorskip("breaker.integrations.grpc", exc_type=ImportError)
    rejection = errors.BreakerOpenRpcError(NAME, State.OPEN, 7.5, "open", "secret")
    with kind.served(kind.built({"shop": raiser(rejection)}, provider)) as address:
        check_answer(ask(address, "/shop"), 8)


def test_a_group_of_rejections_is_answered_with_the_longest_wait(
    kind: Kind, provider: Provider, clock: ManualClock
) -> None:
    older = refused(provider, "http:older")
    clock.advance(20)
    newer = refused(provider, "http:newer")
    nested = ExceptionGroup("all", [older, ExceptionGroup("some", [newer, older])])
    with kind.served(kind.built({"shop": raiser(nested)}, provider, show_name=True)) as address:
        seen = ask(address, "/shop")
    assert seen.headers["retry-after"] == "60"
    assert seen.document["breaker"] == "http:newer"


def test_rejections_of_a_task_group_are_answered(kind: Kind, provider: Provider) -> None:
    refused(provider, NAME)

    async def both() -> None:
        async def one() -> None:
            provider.get_breaker(NAME).acquire()

        async with asyncio.TaskGroup() as group:
            group.create_task(one())
            group.create_task(one())

    def view() -> str:
        with ThreadPoolExecutor(1) as pool:  # whose thread has no loop yet
            pool.submit(asyncio.run, both()).result()
        return "both"

    with kind.served(kind.built({"shop": view}, provider)) as address:
        check_answer(ask(address, "/shop"))


def not_ours(provider: Provider) -> dict[str, Callable[[], Any]]:
    rejection = refused(provider, NAME)

    def from_a_rejection() -> Any:
        try:
            raise rejection
        except BreakerOpenError as error:
            raise Boom("no price") from error

    def during_a_rejection() -> Any:
        try:
            raise rejection
        except BreakerOpenError:
            raise Boom("no price")  # noqa: B904 - a bug in the handling of a rejection

    return {
        "boom": raiser(Boom("no price")),
        "from": from_a_rejection,
        "during": during_a_rejection,
        "mixed": raiser(ExceptionGroup("some", [rejection, Boom("no price")])),
        "other": raiser(ExceptionGroup("some", [Boom("no price")])),
    }


def test_all_else_stays_an_error(kind: Kind, provider: Provider) -> None:
    views = not_ours(provider)
    with kind.served(kind.built(views, provider)) as address:
        for name in views:
            seen = ask(address, f"/{name}")
            assert seen.status == 500, name
            assert "retry-after" not in seen.headers, name
            assert b"internal.example" not in seen.raw, name


def test_a_response_that_has_begun_is_cut(kind: Kind, provider: Provider) -> None:
    def stream() -> Iterator[str]:
        yield "first"
        raise refused(provider, NAME)

    with kind.served(kind.built({"stream": stream, "about": lambda: "about us"}, provider)) as address:
        seen = ask(address, "/stream")
        assert seen.status == 200
        assert "retry-after" not in seen.headers
        assert b"problem" not in seen.raw
        assert b"Try again" not in seen.raw
        assert seen.body.startswith(b"first")
        assert ask(address, "/about").status == 200


def test_a_stream_that_works_comes_whole(kind: Kind, provider: Provider) -> None:
    with kind.served(kind.built({"stream": lambda: iter(["one", "", "two"])}, provider)) as address:
        seen = ask(address, "/stream")
    assert (seen.status, seen.body, seen.whole) == (200, b"onetwo", True)


def test_a_stream_that_is_rejected_before_its_first_item(kind: Kind, provider: Provider) -> None:
    def stream() -> Iterator[str]:
        raise refused(provider, NAME)
        yield "never"

    with kind.served(kind.built({"stream": stream}, provider)) as address:
        seen = ask(address, "/stream")
    assert seen.status == kind.too_late
    if kind.too_late == 503:
        check_answer(seen)
    else:
        assert b"Try again" not in seen.raw


# The application's own handlers.


def test_a_handler_of_the_application_wins(framework: Framework, provider: Provider) -> None:
    app = framework.handling({"shop": raiser(refused(provider, NAME))}, provider, BreakerOpenError)
    with framework.served(app) as address:
        seen = ask(address, "/shop")
    assert (seen.status, seen.body) == (418, b"BreakerOpenError")


class PriceError(Exception):
    """The error of a library."""


class BreakerOpenPriceError(BreakerOpenError, PriceError):
    """What its integration raises."""


def test_a_handler_of_the_library_s_error_wins(framework: Framework, provider: Provider) -> None:
    rejection = BreakerOpenPriceError(NAME, State.OPEN, 30.0, "open", None)
    with framework.served(framework.handling({"shop": raiser(rejection)}, provider, PriceError)) as address:
        seen = ask(address, "/shop")
    assert (seen.status, seen.body) == (418, b"BreakerOpenPriceError")


# What an application does beside it.


def test_health_does_not_depend_on_breakers(kind: Kind, provider: Provider) -> None:
    breaker = provider.get_breaker(NAME)
    views = {"shop": lambda: breaker.do(raiser(Boom("down"))), "health": lambda: "ok"}
    with kind.served(kind.built(views, provider)) as address:
        assert [ask(address, "/shop").status for _ in range(3)] == [500, 503, 503]
        assert breaker.state is State.OPEN
        assert ask(address, "/health").body == b"ok"


def test_no_rejection_outlives_its_request(kind: Kind, provider: Provider) -> None:
    found: list[weakref.ref[BaseException]] = []

    def view() -> Any:
        rejection = rejected_as(BreakerOpenPriceError, refused(provider, NAME))
        found.append(weakref.ref(rejection))
        raise rejection

    with kind.served(kind.built({"shop": view}, provider)) as address:
        for _ in range(3):
            check_answer(ask(address, "/shop"))
    gc.collect()
    assert [reference() for reference in found] == [None] * 3


def test_requests_at_once_get_each_their_own_answer(kind: Kind, provider: Provider) -> None:
    refused(provider, NAME)
    views = {"shop": lambda: provider.get_breaker(NAME).do(str), "about": lambda: "about us", "boom": raiser(Boom("x"))}
    paths = ["/shop", "/about", "/boom"] * 8
    with kind.served(kind.built(views, provider)) as address, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda path: ask(address, path).status, paths))
    assert statuses == [503, 200, 500] * 8


# Bad input.


@pytest.mark.parametrize(("wrong", "got"), [(Provider, "the class Provider"), (object(), "object")])
def test_a_provider_has_to_be_one(kind: Kind, wrong: Any, got: str) -> None:
    with pytest.raises(Exception, match=rf"takes a breaker\.Provider, got {got}") as caught:
        kind.built({}, wrong)
    assert isinstance(caught.value, kind.refusal)


@pytest.mark.parametrize("wrong", [None, "no", 1])
def test_whether_to_show_the_name_is_yes_or_no(kind: Kind, provider: Provider, wrong: Any) -> None:
    with pytest.raises(Exception, match=rf"must be True or False, got {type(wrong).__name__}") as caught:
        kind.built({}, provider, show_name=wrong)
    assert isinstance(caught.value, kind.refusal)
    assert "SHOW_NAME" in str(caught.value).upper()


def test_the_document_is_json_without_surprises(kind: Kind, provider: Provider) -> None:
    name = 'http:"\u00fc\u2028<script>'
    with kind.served(kind.built({"shop": raiser(refused(provider, name))}, provider, show_name=True)) as address:
        seen = ask(address, "/shop")
    assert json.loads(seen.body.decode("ascii"))["breaker"] == name
