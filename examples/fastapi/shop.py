"""The shop: a FastAPI application whose only dependency is the stock.

What a page can do without falls back to the last count that was known. What cannot do without lets the rejection go,
and `install` makes it a 503 that says when to come back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse

import breaker
from breaker.integrations.fastapi import install
from breaker.integrations.httpx import AsyncBreakerTransport

try:  # metrics, where their library is there
    from prometheus_client import CollectorRegistry, generate_latest

    from breaker.metrics import prometheus
except ImportError:
    prometheus = None

STOCK = "http:stock"


class Stock:
    """The client of the stock: it knows what an answer means, and remembers what was the last one."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.known: dict[str, int] = {}

    async def count(self, item: str) -> int:
        """How many there are. A rejection is a `httpx.TransportError` and a `breaker.BreakerOpenError`."""
        response = await self._client.get(f"/items/{item}", timeout=2.0)
        if response.status_code == 404:
            raise HTTPException(404)  # an answer, which the breaker has counted as a success
        response.raise_for_status()
        self.known[item] = int(response.text)
        return self.known[item]


def the_stock(request: Request) -> Stock:
    """The dependency of the endpoints."""
    stock: Stock = request.app.state.stock
    return stock


StockClient = Annotated[Stock, Depends(the_stock)]


def create_app(provider: breaker.Provider, stock_url: str) -> FastAPI:
    """The application; whoever made the provider closes it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        transport = AsyncBreakerTransport(provider, name=STOCK)
        async with httpx.AsyncClient(transport=transport, base_url=stock_url) as client:
            app.state.stock = Stock(client)
            yield

    app = FastAPI(lifespan=lifespan)
    install(app, provider)

    @app.get("/items/{item}")
    async def page(item: str, stock: StockClient) -> dict[str, Any]:
        """Can do without: an old count is better than no page."""
        try:
            return {"item": item, "count": await stock.count(item)}
        except httpx.HTTPError:  # the service failed, or was not asked
            return {"item": item, "count": stock.known.get(item), "old": True}

    @app.post("/orders/{item}")
    async def order(item: str, stock: StockClient) -> str:
        """Cannot do without: nothing is sold that may not be there."""
        try:
            count = await stock.count(item)
        except httpx.HTTPStatusError:
            raise HTTPException(502) from None
        if not count:
            raise HTTPException(409, "sold out")
        return "ordered"

    @app.get("/health")
    async def health() -> str:
        """Of this program alone: no breaker is asked, or an outage of the stock would take the shop down too."""
        return "ok"

    if prometheus is not None:
        registry = CollectorRegistry()
        prometheus.register(provider, registry=registry)

        @app.get("/metrics", response_class=PlainTextResponse)
        def metrics() -> bytes:
            return generate_latest(registry)

    return app
