"""Requests that web applications answer in this process, without a server: with and without `install`.

``bare`` is the application without it, the floor; ``installed`` has it, and is rejected by nothing; ``rejected`` has it
and answers 503. What a server and the network take comes on top of all of them.
"""

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import breaker
from benchmarks.measure import Loop
from benchmarks.subjects import CLOSED, provider
from breaker.integrations import asgi, fastapi, flask, starlette, wsgi

KINDS = ("bare", "installed", "rejected")
MIDDLEWARE = "breaker.integrations.django.BreakerMiddleware"
Guard = Callable[[], object]
Loops = dict[str, Loop]

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost")],
    "scheme": "http",
    "http_version": "1.1",
    "server": ("localhost", 80),
}
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost",
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(),
    "wsgi.errors": io.StringIO(),
}

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF=(), LOGGING_CONFIG=None)
    django.setup()


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def _asgi_loop(app: Any, kind: str, runner: asyncio.Runner) -> Loop:
    wanted = 503 if kind == "rejected" else 200

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == wanted

    async def many(n: int) -> None:
        for _ in range(n):
            await app(dict(SCOPE), _receive, send)

    return Loop(lambda n: runner.run(many(n)), kind)


def _wsgi_loop(app: Any, kind: str) -> Loop:
    wanted = "503" if kind == "rejected" else "200"

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        assert status[:3] == wanted

    def run(n: int) -> None:
        for _ in range(n):
            body = app(dict(ENVIRON), start_response)
            for _ in body:
                pass
            if hasattr(body, "close"):
                body.close()

    return Loop(run, kind)


def _plain_asgi(guard: Guard) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        guard()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def _plain_wsgi(guard: Guard) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        guard()
        start_response("200 OK", [])
        return [b"ok"]

    return app


def _starlette(guard: Guard) -> Starlette:
    async def endpoint(request: Request) -> PlainTextResponse:
        guard()
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/", endpoint)])


def _fastapi(guard: Guard) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def endpoint() -> str:
        guard()
        return "ok"

    return app


def _flask(guard: Guard) -> Flask:
    app = Flask("bench")

    @app.route("/")
    def view() -> str:
        guard()
        return "ok"

    return app


def _django(guard: Guard, owner: breaker.Provider, installed: bool) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        guard()
        return HttpResponse(b"ok")

    class Handler(WSGIHandler):  # type: ignore[misc]
        urls = (path("", view),)

        def get_response(self, request: Any) -> Any:
            request.urlconf = self.urls
            return super().get_response(request)

    with override_settings(MIDDLEWARE=[MIDDLEWARE] * installed, BREAKER_PROVIDER=owner):
        return Handler()


def _made(make: Callable[[Guard], Any], install: Callable[..., Any]) -> Callable[..., Any]:
    def build(guard: Guard, owner: breaker.Provider, installed: bool) -> Any:
        return install(make(guard), owner) if installed else make(guard)

    return build


@contextmanager
def _subjects(build: Callable[..., Any], is_asgi: bool) -> Iterator[Loops]:
    with provider(CLOSED) as owner, asyncio.Runner() as runner:
        opened = owner.get_breaker("http:bench")
        opened.force_open()
        loops: Loops = {}
        for kind in KINDS:
            app = build(opened.acquire if kind == "rejected" else int, owner, kind != "bare")
            loops[kind] = _asgi_loop(app, kind, runner) if is_asgi else _wsgi_loop(app, kind)
        yield loops


APPLICATIONS: dict[str, Callable[[], Any]] = {
    "asgi": lambda: _subjects(_made(_plain_asgi, asgi.install), True),
    "wsgi": lambda: _subjects(_made(_plain_wsgi, wsgi.install), False),
    "starlette": lambda: _subjects(_made(_starlette, starlette.install), True),
    "fastapi": lambda: _subjects(_made(_fastapi, fastapi.install), True),
    "flask": lambda: _subjects(_made(_flask, flask.install), False),
    "django": lambda: _subjects(_django, False),
}
