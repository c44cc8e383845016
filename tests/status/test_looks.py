"""How the page looks and sounds, in a real browser: roles, contrast, widths, many rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from breaker import Policy, Provider, status
from breaker.testing import ManualClock
from support.browser import Browser, needs_browser
from support.drive import Boom, Providers, cool, fail, succeed, trip

pytestmark = needs_browser

Visit = Callable[..., Browser]

# Text whose contrast with what is behind it is less than 4.5 to 1, as WCAG reckons.
TOO_FAINT = """
const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = numbers(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
  }
  return [255, 255, 255];
};
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
  if (!text || !e.checkVisibility() || e.closest("script, style, noscript, option")) continue;
  const [a, b] = [numbers(getComputedStyle(e).color), behind(e)].map(luminance).sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) found.push([e.className || e.tagName, text, (a + 0.05) / (b + 0.05)]);
}
return found;
"""
OUTSIDE = """
const visible = [...document.querySelectorAll("main *")].filter((e) => e.checkVisibility());
const places = visible.filter((e) => !e.closest("svg, .hidden")).map((e) => [e, e.getBoundingClientRect()]);
return places.filter(([, at]) => at.right > innerWidth + 1 || at.left < -1).map(([e]) => e.className || e.tagName);
"""


def every_condition(provider: Provider, clock: ManualClock) -> None:
    names = ["open", "forced", "half", "recovering", "would", "strained", "disabled", "shadow", "closed"]
    made: dict[str, Any] = {name: provider.get_breaker(name) for name in names}
    for name in ("half", "recovering"):
        trip(made[name])
        cool(made[name], clock)
    made["half"].acquire()
    succeed(made["recovering"])
    trip(made["open"])
    made["forced"].force_open()
    for name in ("would", "shadow"):
        made[name].shadow()
    fail(made["would"], 2)
    fail(made["strained"])
    made["disabled"].disable()


@pytest.mark.parametrize(("width", "rows"), [(1280, 2), (320, 1)])
def test_it_is_a_table_to_those_who_do_not_see_it(visit: Visit, provider: Provider, width: int, rows: int) -> None:
    trip(provider.get_breaker("a"))
    browser = visit(status.serve(provider))
    browser.size(width, 900)
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    seen = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")]
    assert ("table", "Circuit breakers") in seen
    assert sum(role == "row" for role, _ in seen) == rows  # on a narrow screen without that of the headings
    assert sum(role in ("cell", "gridcell") for role, _ in seen) == 6
    assert ("heading", "svc") in seen
    assert ("searchbox", "Filter by name, error or policy") in seen
    assert ("button", "a") in seen
    assert any(role == "button" and name.split() == ["1", "open"] for role, name in seen)
    assert browser.one("#live").get_attribute("aria-live") == "polite"
    assert browser.one("html").get_attribute("lang") == "en"


def test_no_condition_is_told_by_its_colour_alone(visit: Visit, provider_of: Providers, clock: ManualClock) -> None:
    provider = provider_of(Policy(2, 1, 60, recovery_time=100))
    every_condition(provider, clock)
    browser = visit(status.serve(provider))
    told = browser.js(
        "return [...document.querySelectorAll('.state')].map((e) => [e.innerText, e.querySelector('use').href.baseVal])"
    )
    assert len(told) == len({word for word, _ in told}) == len({shape for _, shape in told}) == 9
    for _, shape in told:
        assert browser.js("return document.querySelector(arguments[0]) !== null", shape)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_can_be_read(visit: Visit, provider_of: Providers, clock: ManualClock, dark: bool) -> None:
    provider = provider_of(Policy(2, 1, 60, recovery_time=100))
    every_condition(provider, clock)
    browser = visit(status.serve(provider, actions=lambda request: True))
    browser.size(1280, 900, dark=dark)
    assert browser.js("return new Set(shown.breakers.map((b) => b.condition)).size") == 9
    browser.js("for (const name of document.querySelectorAll('.name')) name.click()")
    browser.until(lambda: browser.js(TOO_FAINT) == [], 5)  # once the colours have changed over


def test_who_wants_no_motion_gets_none(visit: Visit, provider: Provider) -> None:
    provider.get_breaker("a")
    browser = visit(status.serve(provider))
    script = "return getComputedStyle(document.querySelector('tr.row')).transitionDuration"
    assert browser.js(script) != "0s"
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert browser.js(script) == "0s"


@pytest.mark.parametrize("width", [320, 480, 769, 1000, 1280, 1900])
def test_nothing_is_cut_off_at_any_width(visit: Visit, provider: Provider, clock: ManualClock, width: int) -> None:
    every_condition(provider, clock)
    provider.get_breaker("http:" + "very-long-name-" * 12)
    fail(provider.get_breaker("grpc:/a.b.C/D"), 2, Boom("x" * 400))
    browser = visit(status.serve(provider, actions=lambda request: True))
    browser.size(width, 800)
    browser.js("for (const name of [...document.querySelectorAll('.name')].slice(0, 3)) name.click()")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.js(OUTSIDE) == []


def test_five_hundred_breakers_are_shown_and_searched(visit: Visit, provider: Provider) -> None:
    for number in range(500):
        provider.get_breaker(f"http:tenant-{number:03}")
    trip(provider.get_breaker("http:tenant-321"))
    browser = visit(status.serve(provider))
    assert browser.names()[0] == "http:tenant-321"
    assert browser.js("return body.rows.length") == 500
    browser.refresh()
    browser.one("#filter").send_keys("tenant-32")
    assert len(browser.names()) == 10
