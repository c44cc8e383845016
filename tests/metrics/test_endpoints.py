"""The applications that answer a scrape answer what prometheus_client's own answer, in each point but the length."""

import asyncio
import gzip
import io
import threading
import urllib.request
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from breaker import Provider
from breaker.metrics.prometheus import make_asgi_app, make_wsgi_app, register
from support.drive import NAME, Providers, fail
from support.scraping import FORMATS, fetch

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
FEW = "name[]=circuit_breaker_state_code&name[]=requests_total"
REQUESTS = {  # method, query, headers
    "nothing is said": ("GET", "", {}),
    "of Prometheus": ("GET", "", {"accept": PROMETHEUS, "accept-encoding": "gzip"}),
    "OpenMetrics": ("GET", "", {"accept": "application/openmetrics-text;version=1.0.0"}),
    "OpenMetrics of no version": ("GET", "", {"accept": "application/openmetrics-text"}),
    "the newer text": ("GET", "", {"accept": "text/plain;version=1.0.0;escaping=underscores"}),
    "what there is not": ("GET", "", {"accept": "application/json", "accept-encoding": "br"}),
    "some metrics": ("GET", FEW, {"accept-encoding": "deflate, GZIP;q=0.5"}),
    "some metrics of none": ("GET", "name[]=", {}),
    "a query for others": ("GET", "name=circuit_breaker_state&name%5B%5D", {}),
    "HEAD": ("HEAD", "", {}),
    "POST": ("POST", "", {}),
    "OPTIONS": ("OPTIONS", "", {}),
}
requests = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
compressed = pytest.mark.parametrize("disabled", [False, True], ids=["compressed", "not compressed"])
Answer = tuple[int, dict[str, str], bytes]
Request = tuple[str, str, dict[str, str]]


@pytest.fixture
def scraped(provider_of: Providers, registry: CollectorRegistry) -> Provider:
    Counter("requests", "Of the program.", registry=registry).inc(3)
    provider = provider_of()
    register(provider, registry)
    fail(provider.get_breaker(NAME), 2)
    return provider


def of_wsgi(app: Any, request: Request, path: str = "/metrics") -> Answer:
    method, query, headers = request
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ["wsgi.input"] = io.BytesIO()
    said: list[Any] = []
    body = b"".join(app(environ, lambda *answer: said.append(answer)))
    ((status, answered),) = said
    return seen(int(status.split()[0]), answered, body)


def of_asgi(app: Any, request: Request, below: str = "asyncio") -> Answer:
    method, query, headers = request
    scope = {"type": "http", "method": method, "path": "/metrics", "query_string": query.encode()}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    async def answer() -> None:
        await app(scope, receive, send)

    if below == "trio":
        pytest.importorskip("trio").run(answer)
    else:
        asyncio.run(answer())
    start, body = said
    answered = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return seen(start["status"], answered, body["body"])


def seen(status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
    """The length is checked and left out, for prometheus_client says none; the text is unpacked."""
    found = {name.lower(): value for name, value in headers}
    assert len(found) == len(headers)
    assert int(found.pop("content-length", len(body))) == len(body)
    return status, found, gzip.decompress(body) if found.get("content-encoding") == "gzip" else body


@pytest.mark.usefixtures("scraped")
@requests
@compressed
def test_wsgi_answers_as_prometheus_clients(registry: CollectorRegistry, request_: Request, disabled: bool) -> None:
    own, theirs = make_wsgi_app(registry, disabled), prometheus_client.make_wsgi_app(registry, disabled)
    answer = of_wsgi(own, request_)
    assert answer == of_wsgi(theirs, request_)
    assert answer[0] == 200 or request_[0] not in ("GET", "OPTIONS")
    assert of_wsgi(own, request_, "/favicon.ico") == of_wsgi(theirs, request_, "/favicon.ico")


@pytest.mark.usefixtures("scraped")
@requests
@compressed
@pytest.mark.parametrize("below", ["asyncio", "trio"])
def test_asgi_answers_as_prometheus_clients(
    registry: CollectorRegistry, request_: Request, disabled: bool, below: str
) -> None:
    answer = of_asgi(make_asgi_app(registry, disabled), request_, below)
    assert answer == of_asgi(prometheus_client.make_asgi_app(registry, disabled), request_, below)
    assert answer[0] == 200


@pytest.mark.usefixtures("scraped")
def test_what_is_no_request_is_refused_as_theirs_refuses_it(registry: CollectorRegistry) -> None:
    async def call(app: Any) -> None:
        await app({"type": "lifespan"}, None, None)

    for made in (make_asgi_app, prometheus_client.make_asgi_app):
        with pytest.raises(AssertionError):
            asyncio.run(call(made(registry)))


@pytest.mark.usefixtures("scraped")
def test_asgi_leaves_the_loop_to_others(registry: CollectorRegistry) -> None:
    threads: list[threading.Thread] = []

    class Watching:
        def collect(self) -> list[Any]:
            threads.append(threading.current_thread())
            return []

        describe = collect

    watching: Any = Watching()
    registry.register(watching)
    threads.clear()
    of_asgi(make_asgi_app(registry), REQUESTS["nothing is said"])
    (thread,) = threads
    assert thread is not threading.main_thread()


@pytest.mark.usefixtures("scraped")
def test_prometheus_clients_server_with_this_application(registry: CollectorRegistry) -> None:
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        server.set_app(make_wsgi_app(registry))
        address = f"http://127.0.0.1:{server.server_port}/metrics"
        for form in FORMATS:
            assert fetch(address, form).value("circuit_breaker_calls_total", outcome="failure") == 2
        few = fetch(address + "?name[]=circuit_breaker_state_code")
        assert {name for name, _ in few.series} == {"circuit_breaker_state_code"}
        packed = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(packed, timeout=20) as answer:
            assert answer.headers["Content-Length"]  # this application's, not theirs
            assert gzip.decompress(answer.read()).startswith(b"# HELP requests_total")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
