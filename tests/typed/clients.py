"""What type checkers must understand of the integrations with HTTP clients. Never run, like `api.py`."""

from typing import assert_type

import aiohttp
import httpx
import httpx2
import requests
import urllib3

from breaker import BreakerOpenError, Config, Provider
from breaker.integrations import aiohttp as for_aiohttp
from breaker.integrations import httpx as for_httpx
from breaker.integrations import httpx2 as for_httpx2
from breaker.integrations import requests as for_requests
from breaker.integrations import urllib3 as for_urllib3


class OwnClient(httpx.Client): ...


class OwnSession(requests.Session): ...


def of_httpx(request: httpx.Request) -> str | None:
    return None if request.url.path == "/health" else request.url.host


def of_requests(request: requests.PreparedRequest) -> str:
    return str(request.url)


def of_aiohttp(request: aiohttp.ClientRequest) -> str:
    return str(request.url.host)


def of_urllib3(request: for_urllib3.PoolRequest) -> str:
    return assert_type(request.method, str) + assert_type(request.url, str)


def httpx_clients(provider: Provider) -> None:
    httpx.Client(transport=for_httpx.BreakerTransport(provider, name=of_httpx, settle="body"))
    httpx.Client(transport=for_httpx.BreakerTransport(provider, httpx.HTTPTransport(retries=1), name="http:prices"))
    httpx.AsyncClient(transport=for_httpx.AsyncBreakerTransport(provider, failure_statuses={500, 503}))
    assert_type(for_httpx.protect(httpx.Client(), provider), httpx.Client)
    assert_type(for_httpx.protect(httpx.AsyncClient(), provider), httpx.AsyncClient)
    assert_type(for_httpx.protect(OwnClient(), provider, name=None), OwnClient)
    for_httpx.protect(httpx.Client(), provider, failure_statuses=for_httpx.FAILURE_STATUSES - {429})
    for_httpx.protect(httpx2.Client(), provider)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    for_httpx.BreakerTransport(provider, settle="end")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for_httpx.BreakerTransport(Provider)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for_httpx.protect(httpx.Client(), Config("a", "/b/"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for_httpx.protect(httpx.Client(), provider, failure_statuses=["503"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    httpx2.Client(transport=for_httpx2.BreakerTransport(provider))
    httpx2.AsyncClient(transport=for_httpx2.AsyncBreakerTransport(provider))
    assert_type(for_httpx2.protect(httpx2.AsyncClient(), provider), httpx2.AsyncClient)


def others(provider: Provider) -> None:
    assert_type(for_requests.protect(OwnSession(), provider, name=of_requests), OwnSession)
    requests.Session().mount("https://", for_requests.BreakerAdapter(provider, settle="body"))
    for_requests.protect(requests, provider)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    aiohttp.ClientSession(middlewares=[for_aiohttp.breaker_middleware(provider, name=of_aiohttp)])
    for_aiohttp.breaker_middleware(provider, settle=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(for_urllib3.protect(urllib3.PoolManager(), provider, name=of_urllib3), urllib3.PoolManager)
    assert_type(for_urllib3.protect(urllib3.ProxyManager("http://proxy"), provider), urllib3.ProxyManager)
    for_urllib3.protect(urllib3.HTTPConnectionPool("a"), provider)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def errors() -> None:
    try:
        httpx.get("http://prices.example")
    except for_httpx.BreakerOpenTransportError as rejected:
        assert_type(rejected.retry_after, float)
        assert_type(rejected.request, httpx.Request)
        takes_either(rejected, rejected)
    try:
        requests.get("http://prices.example")
    except for_requests.BreakerOpenConnectionError as refused:
        takes_requests(refused)
        assert_type(refused.last_error, str | None)
    try:
        urllib3.request("GET", "http://prices.example")
    except for_urllib3.BreakerOpenHTTPError as closed:
        takes_urllib3(closed)


def takes_either(one: BreakerOpenError, other: httpx.TransportError) -> None: ...
def takes_requests(error: requests.ConnectionError) -> None: ...
def takes_urllib3(error: urllib3.exceptions.HTTPError) -> None: ...
