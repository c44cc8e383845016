"""``POST actions``: off by default, and then for who may, from this page, and in words that are understood."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Mode, Provider, State, status
from support.drive import NAME, trip
from support.status_servers import Got, ask

Serving = Callable[..., str]
FORCE = {"name": NAME, "action": "override", "mode": "forced_open"}


def yes(request: status.Request) -> bool:
    return True


def token_of(url: str) -> str:
    token: str = ask(url, "breakers").json["actions"]["token"]
    return token


def post(url: str, asked: Any = FORCE, **headers: str) -> Got:
    """As the page does it, unless headers say otherwise."""
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    given = {"Content-Type": "application/json", "X-Breaker-Token": ""} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    if not given["X-Breaker-Token"]:
        given["X-Breaker-Token"] = token_of(url)
    return ask(url, "actions", "POST", body, **given)


def test_an_operator_overrides_and_resets(kind: str, serving: Serving, provider: Provider) -> None:
    # S91, S99
    url = serving(kind, yes)
    breaker = provider.get_breaker(NAME)
    for mode in Mode:
        got = post(url, {"name": NAME, "action": "override", "mode": mode.value})
        assert (got.status, breaker.mode) == (200, mode)
        assert got.json == {"name": NAME, "state": "CLOSED", "mode": mode.value, "override": mode.value}
    got = post(url, {"name": NAME, "action": "override", "mode": None})
    assert (got.status, got.json["override"], breaker.mode) == (200, None, Mode.AUTO)
    trip(breaker)
    got = post(url, {"name": NAME, "action": "reset"})
    assert (got.status, got.json["state"], breaker.state) == (200, "CLOSED", State.CLOSED)


def test_without_actions_there_are_none(kind: str, serving: Serving, provider: Provider) -> None:
    url = serving(kind)
    breaker = provider.get_breaker(NAME)
    assert ask(url, "breakers").json["actions"] is None
    assert post(url, X_Breaker_Token="x").status == 404
    assert breaker.mode is Mode.AUTO


def test_who_may_is_asked_with_the_request(kind: str, serving: Serving, provider: Provider) -> None:
    asked: list[status.Request] = []

    def authorise(request: status.Request) -> bool:
        asked.append(request)
        return request.headers.get("authorization") == "Bearer right"

    url = serving(kind, authorise)
    breaker = provider.get_breaker(NAME)
    assert post(url, Authorization="Bearer wrong").status == 403
    assert breaker.mode is Mode.AUTO
    assert post(url, Authorization="Bearer right").status == 200
    assert breaker.mode is Mode.FORCED_OPEN
    first = asked[0]
    assert (first.method, first.path, first.client) == ("POST", "/actions", "127.0.0.1")
    assert (first.action, first.name, first.mode) == ("override", NAME, "forced_open")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["host"].startswith("127.0.0.1:")


@pytest.mark.parametrize("answer", [False, None, 1, "yes", [True]], ids=repr)
def test_only_true_allows(serving: Serving, provider: Provider, answer: object) -> None:
    url = serving("serve", lambda request: answer)
    breaker = provider.get_breaker(NAME)
    got = post(url)
    assert (got.status, got.json["error"]) == (403, "this is not allowed to you")
    assert breaker.mode is Mode.AUTO


def test_an_answer_that_is_awaited_by_nobody_does_not_allow(serving: Serving, provider: Provider) -> None:
    async def later() -> bool:
        return True

    made = []

    def authorise(request: status.Request) -> object:
        made.append(later())
        return made[-1]

    breaker = provider.get_breaker(NAME)
    assert post(serving("serve", authorise)).status == 403
    assert breaker.mode is Mode.AUTO
    made[0].close()


def test_one_that_fails_does_not_allow_and_is_logged(
    kind: str, serving: Serving, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    def authorise(request: status.Request) -> bool:
        raise LookupError("no directory of operators")

    url = serving(kind, authorise)
    breaker = provider.get_breaker(NAME)
    got = post(url)
    assert (got.status, breaker.mode) == (500, Mode.AUTO)
    assert "no directory" not in got.body.decode()
    assert "no directory of operators" in caplog.text


@pytest.mark.parametrize("wrong", ["admin", 5, True, object()])
def test_actions_are_asked_by_a_call(provider: Provider, wrong: Any) -> None:
    for make in (status.asgi, status.wsgi, status.serve):
        with pytest.raises(TypeError, match="actions is called with each request and returns True or False"):
            make(provider, actions=wrong)


def test_a_coroutine_function_would_never_be_asked(provider: Provider) -> None:
    # S181
    async def authorise(request: status.Request) -> bool:
        return True

    for make in (status.asgi, status.wsgi, status.serve):
        with pytest.raises(TypeError, match="actions"):
            make(provider, actions=authorise)


FOREIGN = [
    {"X_Breaker_Token": "wrong"},
    {"X_Breaker_Token": "ünïcode"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "not a url"},
    {"Origin": "http://["},
]


def test_a_request_that_another_site_made_is_refused(kind: str, serving: Serving, provider: Provider) -> None:
    asked: list[object] = []
    url = serving(kind, asked.append)
    breaker = provider.get_breaker(NAME)
    for headers in FOREIGN:
        sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        assert (headers, post(url, **sent).status) == (headers, 403)
    assert (asked, breaker.mode) == ([], Mode.AUTO)


def test_a_request_of_the_page_itself_passes(kind: str, serving: Serving, provider: Provider) -> None:
    url = serving(kind, yes)
    provider.get_breaker(NAME)
    origin = url[: url.index("/", 8)]
    assert post(url, Origin=origin).status == 200
    assert post(url, Sec_Fetch_Site="same-origin", Origin=origin).status == 200
    # behind a proxy that changes the Host: what the browser says of the site decides
    assert post(url, Sec_Fetch_Site="same-origin", Origin="https://ops.example").status == 200
    assert post(url, Content_Type="application/json; charset=utf-8").status == 200


def test_what_a_form_can_send_is_refused(kind: str, serving: Serving, provider: Provider) -> None:
    url = serving(kind, yes)
    breaker = provider.get_breaker(NAME)
    for sent in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert (post(url, Content_Type=sent).status, breaker.mode) == (415, Mode.AUTO)


MISTAKES = [
    (b"", "the body is empty"),
    (b"{", "the body is no JSON"),
    (b"\xff\xfe", "the body is no JSON"),
    (b"[" * 4000, "the body is no JSON"),
    (b"5", "the body names no breaker"),
    (b"null", "the body names no breaker"),
    (b'{"action": "reset"}', "the body names no breaker"),
    (b'{"name": 5, "action": "reset"}', "the body names no breaker"),
    (b'{"name": "x"}', "action is neither override nor reset"),
    (b'{"name": "x", "action": ["reset"]}', "action is neither override nor reset"),
    (b'{"name": "x", "action": "remove"}', "action is neither override nor reset"),
    (b'{"name": "x", "action": "override"}', "override takes exactly action, mode, name"),
    (b'{"name": "x", "action": "reset", "mode": null}', "reset takes exactly action, name"),
    (b'{"name": "x", "action": "override", "mode": "open"}', "mode is null or one of auto, forced_open"),
    (b'{"name": "x", "action": "override", "mode": ["auto"]}', "mode is null or one of auto, forced_open"),
]


def test_what_is_not_understood_says_how_to_write_it(kind: str, serving: Serving) -> None:
    url = serving(kind, yes)
    for body, problem in MISTAKES:
        got = post(url, body)
        assert (body, got.status) == (body, 400)
        assert problem in got.json["error"]
        assert '"action": "override"' in got.json["error"]


def test_a_body_that_is_too_large_is_refused(kind: str, serving: Serving, provider: Provider) -> None:
    url = serving(kind, yes)
    provider.get_breaker(NAME)
    fits = json.dumps(FORCE).encode()
    assert post(url, fits + b" " * (4096 - len(fits))).status == 200
    got = post(url, fits + b" " * (4097 - len(fits)))
    assert (got.status, got.json["error"]) == (413, "a body has at most 4096 bytes")


def test_a_breaker_that_is_not_there_is_not_made(kind: str, serving: Serving, provider: Provider) -> None:
    url = serving(kind, yes)
    for name in ("nobody", "", "default", "<script>"):
        assert post(url, {"name": name, "action": "reset"}).status == 404
    assert len(provider.breakers) == 0


def test_the_path_takes_post_alone(kind: str, serving: Serving) -> None:
    url = serving(kind, yes)
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        got = ask(url, "actions", method)
        assert (got.status, got.headers["Allow"]) == (405, "POST")


def test_names_need_no_escaping(serving: Serving, provider: Provider) -> None:
    url = serving("serve", yes)
    for name in ("/pkg.Svc/Get", "a%2Fb", '"><script>', "☃"):
        breaker = provider.get_breaker(name)
        assert post(url, {"name": name, "action": "override", "mode": "disabled"}).status == 200
        assert breaker.mode is Mode.DISABLED
