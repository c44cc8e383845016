"""WSGI without a framework: generators, ``write``, ``exc_info``, ``close``, files, and servers that are strict."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from breaker import BreakerOpenError, Provider
from breaker.integrations import wsgi
from support.drive import Boom
from support.web.client import Seen, ask
from support.web.servers import wsgiref_server
from support.web.sites import refused

NAME = "http:internal.example"
PLAIN = [("Content-Type", "text/plain")]


def served(app: WSGIApplication, provider: Provider, method: str = "GET") -> Seen:
    """What a client sees. The validator on both sides says what is against PEP 3333."""
    with wsgiref_server(validator(wsgi.install(validator(app), provider))) as address:
        return ask(address, "/", method)


def check_answer(seen: Seen) -> None:
    assert seen.status == 503
    assert seen.headers["retry-after"] == "60"
    assert seen.whole
    assert seen.document["status"] == 503


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_raised_before_the_response_was_started(provider: Provider, method: str) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise refused(provider, NAME)

    seen = served(app, provider, method)
    assert (seen.status, seen.headers["retry-after"], bool(seen.body)) == (503, "60", method == "GET")


def test_raised_after_the_response_was_started_but_nothing_went_out(provider: Provider) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "7"), ("X-Own", "1")])
        raise refused(provider, NAME)

    seen = served(app, provider)
    check_answer(seen)
    assert "x-own" not in seen.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_raised_while_iterating_before_the_first_bytes(provider: Provider, method: str) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Parts(error=refused(provider, NAME))

    seen = served(app, provider, method)
    assert seen.status == 503
    assert seen.headers["content-type"] == "application/problem+json"
    assert bool(seen.body) == (method == "GET")


def test_a_generator_that_has_not_started_its_response(provider: Provider) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/":
            raise refused(provider, NAME)
        start_response("200 OK", PLAIN)
        yield b"never"

    with wsgiref_server(wsgi.install(app, provider)) as address:
        check_answer(ask(address, "/"))


def test_raised_after_the_first_bytes(provider: Provider) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
        yield b"first"
        raise refused(provider, NAME)

    seen = served(app, provider)
    assert (seen.status, seen.body, seen.whole) == (200, b"first", False)


def test_raised_after_write(provider: Provider) -> None:
    raised: list[BaseException] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "10")])(b"first")
        raise refused(provider, NAME)

    def outside(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return wsgi.install(app, provider)(environ, start_response)
        except BaseException as error:
            raised.append(error)
            raise

    with wsgiref_server(outside) as address:
        seen = ask(address, "/")
    assert (seen.status, seen.body, seen.whole) == (200, b"first", False)
    assert [type(error) for error in raised] == [BreakerOpenError]


class Parts:
    """A response that counts how it is treated."""

    def __init__(self, *parts: bytes, error: Exception | None = None) -> None:
        self.parts = parts
        self.error = error
        self.iterated = self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        self.iterated += 1
        yield from self.parts
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_response_is_closed_once_however_it_ends(provider: Provider, begun: bool, fails: bool) -> None:
    parts = Parts(*[b"first"] * begun, error=refused(provider, NAME) if fails else None)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return parts

    with wsgiref_server(wsgi.install(app, provider)) as address:
        assert ask(address, "/").status == (503 if fails and not begun else 200)
    assert (parts.iterated, parts.closed) == (1, 1)


def test_a_response_that_nobody_reads_is_closed(provider: Provider) -> None:
    parts = Parts(b"first", error=refused(provider, NAME))
    body = call(wsgi.install(lambda environ, start_response: parts, provider))[1]
    body.close()
    assert (parts.iterated, parts.closed) == (0, 1)


def test_a_response_without_close_is_fine(provider: Provider) -> None:
    body = call(wsgi.install(lambda environ, start_response: iter([b"one", b"two"]), provider))[1]
    assert list(body) == [b"one", b"two"]
    body.close()


def call(app: WSGIApplication, **environ: Any) -> tuple[list[Any], Any]:
    """What an application started and what it returned, without a server."""
    setup_testing_defaults(environ)
    started: list[Any] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        started.append((status, dict(headers), exc_info))
        return lambda data: None

    return started, app(environ, start_response)


def test_parts_without_bytes_begin_nothing(provider: Provider) -> None:
    # For a server that keeps the head back until there are bytes, as PEP 3333 has it; others raise the error.
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Parts(b"", b"", error=refused(provider, NAME))

    started, body = call(wsgi.install(app, provider))
    *empty, document = list(body)
    assert empty == [b"", b""]
    assert [status for status, _, _ in started] == ["200 OK", "503 Service Unavailable"]
    assert started[1][1]["Content-Length"] == str(len(document))


def test_after_the_first_bytes_no_server_is_asked(provider: Provider) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Parts(b"first", b"", error=refused(provider, NAME))

    started, body = call(wsgi.install(app, provider))
    parts = iter(body)
    assert [next(parts), next(parts)] == [b"first", b""]
    with pytest.raises(BreakerOpenError):
        next(parts)
    assert [status for status, _, _ in started] == ["200 OK"]


def test_the_server_gets_the_error_with_the_replacement(provider: Provider) -> None:
    error = refused(provider, NAME)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    ((status, headers, exc_info),), body = call(wsgi.install(app, provider))
    assert status == "503 Service Unavailable"
    assert exc_info[:2] == (BreakerOpenError, error)
    assert headers["Content-Length"] == str(len(b"".join(body)))


def test_what_runs_no_code_is_handed_over_as_it_is(provider: Provider) -> None:
    file = FileWrapper(io.BytesIO(b"file"))
    whole: Any
    for whole in ([b"list"], (b"tuple",), file):
        _, got = call(wsgi.install(lambda environ, start_response, whole=whole: whole, provider))  # type: ignore[misc]
        assert (got is whole) == (whole is not file)
        _, got = call(
            wsgi.install(lambda environ, start_response, whole=whole: whole, provider),  # type: ignore[misc]
            **{"wsgi.file_wrapper": FileWrapper},
        )
        assert got is whole


@pytest.mark.parametrize("lazily", [False, True])
def test_other_errors_go_on(provider: Provider, lazily: bool) -> None:
    error = Boom("down")

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not lazily:
            raise error
        return Parts(error=error)

    with pytest.raises(Boom) as caught:
        list(call(wsgi.install(app, provider))[1])
    assert caught.value is error


# What is refused.


def test_twice_is_once_too_often(provider: Provider) -> None:
    app = wsgi.install(lambda environ, start_response: [], provider)
    with pytest.raises(ValueError, match="an application that has it already"):
        wsgi.install(app, provider)


async def asgi_application(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "got"), [(None, "NoneType"), ([], "list"), (asgi_application, r"asgi_application\(scope: .*")]
)
def test_what_is_no_application_is_refused(provider: Provider, wrong: Any, got: str) -> None:
    wanted = r"install takes a WSGI application, called with \(environ, start_response\); got "
    with pytest.raises(TypeError, match=wanted + got):
        wsgi.install(wrong, provider)


def test_an_application_that_answers_its_errors_itself_is_refused(provider: Provider) -> None:
    flask = pytest.importorskip("flask", exc_type=ImportError)
    django = pytest.importorskip("support.web.django_kinds", exc_type=ImportError)
    app = flask.Flask("shop")
    for application in (app, app.wsgi_app, flask.Flask):
        with pytest.raises(TypeError, match=r"Flask answers its errors itself.*integrations\.flask\.install"):
            wsgi.install(application, provider)
    with pytest.raises(TypeError, match=r"WSGIHandler answers .*integrations\.django\.BreakerMiddleware"):
        wsgi.install(django.WSGIHandler(), provider)
