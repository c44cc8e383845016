"""What every kind of server answers: paths, methods, headers; and that the page is one file that asks nobody else."""

import asyncio
import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Provider, status
from support.drive import NAME, fail
from support.status import SCHEMA, checked
from support.status_servers import KINDS, ask, wsgi_server

Serving = Callable[..., str]


def test_the_json_is_what_the_schema_says(kind: str, serving: Serving, provider: Provider) -> None:
    breaker = provider.get_breaker(NAME)
    fail(breaker, 2)
    url = serving(kind)
    for path in ("breakers", "breakers?lines=1", "breakers?lines=0&x=y"):
        got = ask(url, path)
        assert (got.status, got.headers["Content-Type"]) == (200, "application/json")
        (found,) = checked(got.json)["breakers"]
        assert (found["name"], found["condition"]) == (NAME, "open")
        assert ("line" in found) == (path == "breakers?lines=1")
    assert ask(url, "breakers.schema.json").json == SCHEMA


def test_nothing_is_kept_guessed_framed_or_shared(kind: str, serving: Serving) -> None:
    url = serving(kind)
    for path in ("", "breakers", "breakers.schema.json", "nowhere"):
        headers = ask(url, path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not [name for name in headers if name.lower().startswith("access-control")]
    assert ask(url).headers["X-Frame-Options"] == "DENY"


def test_the_page_is_one_file_and_its_policy_lets_nothing_else_in(kind: str, serving: Serving) -> None:
    got = ask(serving(kind))
    text = got.body.decode()
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in got.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["img-src"] == "data:"
    assert policy["require-trusted-types-for"] == "'script'"
    for closed in ("base-uri", "form-action", "frame-ancestors"):
        assert policy[closed] == "'none'"
    for element in ("style", "script"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    addresses = set(re.findall(r"""(?:https?:)?//[\w.-]+\.\w+[^\s"'`]*""", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nobody asks
    assert not re.search(r"<(link|img|script|iframe)[^>]+(src|href)=\"(?!data:)", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(| on\w+=\"| style=\"", text)


def test_head_is_get_without_the_body(kind: str, serving: Serving) -> None:
    url = serving(kind)
    for path in ("", "breakers.schema.json"):
        head, got = ask(url, path, "HEAD"), ask(url, path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(got.body))
    for path, status_code in (("breakers", 200), ("nowhere", 404), ("events", 200)):
        head = ask(url, path, "HEAD")
        assert (head.status, head.body) == (status_code, b"")


def test_another_method_is_405_with_those_that_are_allowed(kind: str, serving: Serving) -> None:
    url = serving(kind)
    paths, methods = ("", "breakers", "breakers.schema.json", "events"), ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")
    for path, method in itertools.product(paths, methods):
        got = ask(url, path, method, b"{}" if method in ("POST", "PUT", "PATCH") else None)
        assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD")
        assert "for reading" in got.json["error"]


@pytest.mark.parametrize(
    "path", ["nowhere", "breakers/", "breakers/x", "page/page.js", "../etc/passwd", "%2e%2e/x", "actions"]
)
def test_what_is_not_there_is_404(kind: str, serving: Serving, path: str) -> None:
    got = ask(serving(kind), path)
    assert (got.status, got.headers["Content-Type"]) == (404, "application/json")
    assert "/breakers" in got.json["error"]


def test_any_query_is_answered(kind: str, serving: Serving) -> None:
    url = serving(kind)
    for query in ("lines=1" * 500, "&" * 900, "lines", "lines=%ff", "=" * 50):
        assert ask(url, f"breakers?{query}").status == 200


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "below" in kind])
def test_a_mounted_page_without_its_slash_is_found(serving: Serving, kind: str) -> None:
    url = serving(kind).rstrip("/")
    got = ask(url)
    last = url.rpartition("/")[2]
    assert got.status in (307, 308)
    assert got.headers["Location"] in (f"./{last}/", f"{url}/")


async def code_of(provider: Provider, path: str, root: str = "") -> int:
    """The status of an answer to a bare scope."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope: Any = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": []}
    await status.asgi(provider)(scope, receive, send)
    code: int = sent[0]["status"]
    return code


@pytest.mark.parametrize("root", ["", "/ops", "/ops/status"])
def test_a_page_knows_its_place_however_the_server_says_it(provider: Provider, root: str) -> None:
    """Some servers and routers leave the prefix in the path of a scope, and some take it out."""

    def code(path: str) -> int:
        return asyncio.run(code_of(provider, path, root))

    assert code(f"{root}/breakers") == code("/breakers") == code(f"{root}/") == 200
    assert code(root) == (308 if root else 200)


def test_below_trio_there_is_all_but_the_streams(provider: Provider) -> None:
    trio = pytest.importorskip("trio")
    assert trio.run(code_of, provider, "/breakers") == 200
    assert trio.run(code_of, provider, "/") == 200
    assert trio.run(code_of, provider, "/events") == 503


def test_a_provider_is_what_is_shown(provider: Provider) -> None:
    makers: list[Callable[[Any], object]] = [status.asgi, status.wsgi, status.serve]
    for make in makers:
        for wrong in (Provider, None, "provider", provider.get_breaker("x")):
            with pytest.raises(TypeError, match=r"shows a breaker\.Provider, got \w+"):
                make(wrong)


def test_each_page_of_a_process_has_an_identity(provider: Provider) -> None:
    with wsgi_server(status.wsgi(provider)) as first, status.serve(provider) as second:
        identities = {ask(url, "breakers").json["process"]["id"] for url in (first, first, second.url)}
    assert len(identities) == 2


def test_a_websocket_is_refused(provider: Provider) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(status.asgi(provider)({"type": "websocket", "path": "/events"}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_source_of_the_json_is_compact_ascii(serving: Serving, provider: Provider) -> None:
    provider.get_breaker("☃ <b>")
    body = ask(serving("serve"), "breakers").body
    assert body.isascii()
    assert json.loads(body)["breakers"][0]["name"] == "☃ <b>"
