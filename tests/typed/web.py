"""What type checkers must understand of `install`: an application keeps its class. Never run, as `api.py`."""

from collections.abc import Iterable
from typing import Any, assert_type
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from breaker import Provider
from breaker.integrations import asgi, fastapi, flask, starlette, wsgi


class Shop(FastAPI): ...


async def application(scope: Scope, receive: Receive, send: Send) -> None: ...


def wsgi_application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return []


def frameworks(provider: Provider) -> None:
    assert_type(starlette.install(Starlette(), provider), Starlette)
    assert_type(starlette.install(Shop(), provider), Shop)
    assert_type(fastapi.install(Shop(), provider, show_name=True), Shop)
    assert_type(flask.install(Flask("shop"), provider), Flask)
    fastapi.install(Starlette(), provider)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    flask.install(Flask("shop"), Provider)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def interfaces(provider: Provider) -> None:
    served: ASGIApp = asgi.install(application, provider)
    again: WSGIApplication = wsgi.install(wsgi_application, provider)
    kept: list[Any] = [served, again]
    assert kept
    asgi.install(wsgi_application, provider)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wsgi.install(application, provider)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
