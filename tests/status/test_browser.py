"""The page in a real browser: what an operator sees and does, and what a hostile text does not do."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import Any

from breaker import Mode, Policy, Provider, State, status
from breaker.testing import ManualClock
from support.browser import Browser, needs_browser
from support.drive import Boom, Providers, cool, fail, succeed, trip
from support.status_servers import asgi_server, wsgi_server

pytestmark = needs_browser

Visit = Callable[..., Browser]
ILL = "http:ill"
UP, DOWN, TAB, ENTER, ESCAPE = "\ue013", "\ue015", "\ue004", "\ue007", "\ue00c"
HOSTILE = [
    "<img src=x onerror=\"document.title='hacked'\">",
    "</script><script>document.title='hacked'</script>",
    "'\"><svg onload=document.title='hacked'>",
    "{{7*7}}${7*7}<!--",
    "javascript:document.title='hacked'",
    "\u202eright to left",
    "a\nb\tc",
    "x" * 255,
]


def state_of(browser: Browser, name: str) -> str:
    found: str = browser.js("return rows.get(arguments[0]).element.cells[0].innerText", name)
    return found


def test_the_open_one_comes_first_with_its_reason_and_its_end(visit: Visit, provider: Provider) -> None:
    for name in ("http:fine", ILL, "http:also-fine"):
        succeed(provider.get_breaker(name))
    fail(provider.get_breaker(ILL), 2, Boom("no route to host"))
    browser = visit(status.serve(provider))
    assert browser.names() == [ILL, "http:also-fine", "http:fine"]
    first = browser.text("tr.row")
    assert "Open" in first
    assert "failures in a row · Boom: no route to host" in first
    assert re.search(r"probe in (59 s|1 min 0 s)", first)
    assert browser.text("#summary").split("\n")[:2] == ["1", "open"]
    assert browser.driver.title == "(1) svc · circuit breakers"
    assert browser.text("#count") == "3 breakers"


def test_what_happens_is_shown_without_a_reload(visit: Visit, provider: Provider, clock: ManualClock) -> None:
    breaker = provider.get_breaker(ILL)
    browser = visit(status.serve(provider))
    browser.until(lambda: browser.js("return streaming"))
    browser.js("window.same = true")
    trip(breaker)
    browser.until(lambda: "Open" in state_of(browser, ILL), 3)
    sentence = f"{ILL} open, failures in a row"
    browser.until(lambda: sentence in browser.text("#changes"))
    browser.until(lambda: sentence in browser.js("return document.getElementById('live').textContent"))
    assert browser.driver.title.startswith("(1)")
    cool(breaker, clock)
    succeed(breaker)
    browser.until(lambda: "Closed" in state_of(browser, ILL), 3)
    provider.get_breaker("http:new")
    browser.until(lambda: "http:new" in browser.names(), 3)
    provider.remove(ILL)
    browser.refresh()
    assert browser.names() == ["http:new"]
    assert browser.js("return window.same")


def test_hostile_names_and_errors_are_text(visit: Visit, provider_of: Providers) -> None:
    provider = provider_of(Policy(1))
    for text in HOSTILE:
        fail(provider.get_breaker(text), error=Boom(text * 50))
    browser = visit(status.serve(provider, actions=lambda request: True))
    browser.until(lambda: browser.js("return streaming"))
    shown = browser.js("return [...document.querySelectorAll('.name')].map((e) => e.textContent)")
    assert sorted(shown) == sorted(HOSTILE)
    for name in HOSTILE:
        provider.get_breaker(name).force_open()
    browser.js("for (const name of document.querySelectorAll('.name')) name.click()")
    browser.until(lambda: len(browser.all("#changes li")) >= len(HOSTILE))
    browser.js("document.querySelector('.buttons button').click()")
    browser.js("document.getElementById('confirm-no').click()")
    assert browser.js("return document.querySelectorAll('script, img, iframe, svg[onload]').length") == 1
    assert browser.driver.title == f"({len(HOSTILE)}) svc · circuit breakers"
    assert browser.js("return document.documentElement.scrollWidth") <= 1280


def test_the_policy_of_the_page_lets_no_markup_and_no_script_in(visit: Visit, provider: Provider) -> None:
    browser = visit(status.serve(provider))
    attempts = [
        "document.body.innerHTML = '<b>x</b>'",
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)",
        "const i = document.createElement('img'); i.src = 'http://192.0.2.1/x'; document.body.append(i)",
        "document.querySelector('h1').setAttribute('onclick', 'window.ran = 1'); document.querySelector('h1').click()",
    ]
    for attempt in attempts:
        browser.js(f"try {{ {attempt} }} catch {{}}")
    assert browser.js("return window.ran === undefined && document.querySelector('#breakers') !== null")
    complaints = browser.until(lambda: browser.complaints())
    assert [line for line in complaints if "Content Security Policy" not in line and "Trusted" not in line] == []
    assert "192.0.2.1" in browser.asked_hosts()  # which was not let out
    browser.refresh()


def test_the_filter_and_the_conditions_narrow_it_down(visit: Visit, provider: Provider) -> None:
    for number in range(12):
        provider.get_breaker(f"http:tenant-{number}")
    fail(provider.get_breaker("http:tenant-3"), 2, Boom("certificate has expired"))
    provider.get_breaker("grpc:stock").disable()
    browser = visit(status.serve(provider))
    browser.keys("/")
    assert browser.js("return document.activeElement.id") == "filter"
    browser.keys("tenant-1")
    assert sorted(browser.names()) == ["http:tenant-1", "http:tenant-10", "http:tenant-11"]
    assert browser.text("#count") == "3 of 13"
    assert browser.driver.current_url.endswith("#q=tenant-1")
    browser.keys(ESCAPE)
    assert len(browser.names()) == 13
    browser.one("#filter").send_keys("CERTIFICATE tenant")
    assert browser.names() == ["http:tenant-3"]
    browser.one("#filter").send_keys(" nobody")
    assert browser.names() == []
    assert "No breaker matches" in browser.text("#nothing")
    browser.keys(ESCAPE)
    browser.one("#summary [data-condition=disabled]").click()
    assert browser.names() == ["grpc:stock"]
    assert browser.one("#summary [data-condition=disabled]").get_attribute("aria-pressed") == "true"
    browser.driver.refresh()  # the address has the view
    browser.until(lambda: browser.names() == ["grpc:stock"])


def test_columns_sort(visit: Visit, provider: Provider) -> None:
    for name in ("b", "c", "a"):
        provider.get_breaker(name)
    trip(provider.get_breaker("c"))
    fail(provider.get_breaker("b"))
    browser = visit(status.serve(provider))
    assert browser.names() == ["c", "b", "a"]
    for column, order in (("name", ["a", "b", "c"]), ("name", ["c", "b", "a"]), ("pressure", ["b", "c", "a"])):
        browser.one(f"[data-sort={column}] button").click()
        assert browser.names() == order
    sorted_by = browser.all("[aria-sort]")
    assert [(head.get_attribute("data-sort"), head.get_attribute("aria-sort")) for head in sorted_by] == [
        ("pressure", "descending")
    ]


def test_all_of_it_goes_by_keyboard(visit: Visit, provider: Provider) -> None:
    for name in ("a", "b", "c"):
        provider.get_breaker(name)
    browser = visit(status.serve(provider))
    browser.keys(TAB)
    assert browser.focused() == "To the table"
    assert browser.js("return document.activeElement.getBoundingClientRect().left >= 0")
    browser.keys("/", DOWN, DOWN)
    assert browser.focused() == "b"
    outline = browser.js("const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth")
    assert outline == "solid2px"
    browser.keys(ENTER)
    assert browser.js("return document.activeElement.getAttribute('aria-expanded')") == "true"
    assert "failureThreshold" in browser.text("tr.details")
    trip(provider.get_breaker("b"))
    browser.until(lambda: browser.names()[0] == "b")
    assert browser.focused() == "b"  # it has moved, and has the focus still
    assert browser.js("return document.querySelector('tr.row').nextSibling.className") == "details"
    browser.keys(DOWN, UP, UP)
    assert browser.focused() == "b"


def test_a_program_that_goes_away_is_said_and_its_return_too(visit: Visit, provider: Provider) -> None:
    provider.get_breaker("a")
    server = status.serve(provider)
    browser = visit(server)
    address = server.url.split("/")[2]
    server.close()
    browser.js("soon()")
    browser.until(lambda: "No news from the program" in browser.text("#trouble"))
    assert browser.one("#trouble").get_attribute("role") == "alert"
    with closing(status.serve(provider, address)):
        browser.until(lambda: not browser.one("#trouble").is_displayed())
        browser.leave()
    assert any("ERR_CONNECTION_REFUSED" in line for line in browser.complaints())


def test_an_operator_acts_and_is_asked_before(visit: Visit, provider: Provider) -> None:
    breaker = provider.get_breaker(ILL)
    allowed: list[status.Request] = []

    def authorise(request: status.Request) -> bool:
        return bool(allowed) and request.headers["sec-fetch-site"] == "same-origin"

    browser = visit(status.serve(provider, actions=authorise))

    def press(label: str, confirm: bool = True) -> None:
        find = "[...document.querySelectorAll('.buttons button')].find((b) => b.textContent === arguments[0])"
        browser.js(f"{find}.click()", label)
        assert browser.text("#confirm-title") == f"{label}: {ILL}"
        assert browser.focused() == "Leave it"
        browser.one("#confirm-yes" if confirm else "#confirm-no").click()
        assert not browser.one("#confirm").is_displayed()

    browser.js("document.querySelector('.name').click()")
    press("Force open", confirm=False)
    assert breaker.mode is Mode.AUTO
    press("Force open")
    browser.until(lambda: "was refused: this is not allowed to you" in browser.text("#changes"))
    assert breaker.mode is Mode.AUTO
    allowed.append(status.Request("", "", {}, None))
    press("Force open")
    browser.until(lambda: "Forced open" in state_of(browser, ILL))
    assert breaker.mode is Mode.FORCED_OPEN
    press("Clear override")
    browser.until(lambda: "Closed" in state_of(browser, ILL))
    trip(breaker)
    press("Reset")
    browser.until(lambda: breaker.state is State.CLOSED)
    assert [line for line in browser.complaints() if "403" not in line] == []


def test_a_page_for_reading_has_no_buttons(visit: Visit, provider: Provider) -> None:
    provider.get_breaker("a")
    browser = visit(status.serve(provider))
    browser.js("document.querySelector('.name').click()")
    assert "failureThreshold" in browser.text("tr.details")
    assert browser.all("tr.details .buttons") == []


def test_a_server_without_streams_is_asked_again_and_again(visit: Visit, provider: Provider) -> None:
    breaker = provider.get_breaker(ILL)
    browser = visit(wsgi_server(status.wsgi(provider), many=False))
    trip(breaker)
    browser.until(lambda: "Open" in state_of(browser, ILL), 6)
    browser.until(lambda: f"{ILL} open: Boom: down" in browser.text("#changes"))
    assert [line for line in browser.complaints() if "503" not in line] == []


def test_answers_of_several_processes_are_kept_apart(visit: Visit, provider: Provider, provider_of: Providers) -> None:
    other = provider_of(Policy(2))
    other.get_breaker("of-the-second")
    provider.get_breaker("of-the-first")
    pages = [status.asgi(provider), status.asgi(other)]
    asked: list[str] = []

    async def either(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/breakers":
            asked.append(scope["path"])
        await pages[len(asked) % 2](scope, receive, send)

    browser = visit(asgi_server(either))
    first = browser.names()
    assert len(first) == 1
    browser.js("ask()")
    browser.until(lambda: browser.js("return processes.size") == 2)
    assert browser.names() == first
    assert browser.one("#processes").is_displayed()
    browser.js("const s = document.getElementById('process'); s.selectedIndex = s.value === s.options[0].value ? 1 : 0;"
               "s.dispatchEvent(new Event('change'))")  # fmt: skip
    browser.until(lambda: len(browser.names()) == 1 and browser.names() != first, 8)
