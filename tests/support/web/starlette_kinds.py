"""Starlette and FastAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from breaker import Provider
from breaker.integrations import fastapi, starlette
from support.web.servers import shared_uvicorn
from support.web.sites import Framework, Views


def with_views(app: Any, views: Views) -> Any:
    async def view(request: Request) -> Response:
        given = views[request.path_params["name"]]()
        if isinstance(given, str):
            return PlainTextResponse(given)

        async def parts() -> AsyncIterator[str]:
            for part in given:
                yield part

        return StreamingResponse(parts())

    app.add_route("/{name}", view, ["GET"])
    return app


async def teapot(request: Request, error: Exception) -> Response:
    return PlainTextResponse(type(error).__name__, 418)


def starlette_built(views: Views, provider: Provider, **options: Any) -> Any:
    return starlette.install(with_views(Starlette(), views), provider, **options)


def fastapi_built(views: Views, provider: Provider, **options: Any) -> Any:
    return fastapi.install(with_views(FastAPI(), views), provider, **options)


def handling(made: type[Any], install: Any) -> Any:
    def build(views: Views, provider: Provider, kind: type[Exception]) -> Any:
        app = install(with_views(made(), views), provider)
        app.add_exception_handler(kind, teapot)
        return app

    return build


STARLETTE = Framework(
    "starlette", starlette_built, shared_uvicorn, handling=handling(Starlette, starlette.install), too_late=200
)
FASTAPI = Framework("fastapi", fastapi_built, shared_uvicorn, handling=handling(FastAPI, fastapi.install), too_late=200)
