"""The dashboard and the alerts: each query names series that are scraped, and each alert leads to what to do."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from breaker import Provider
from breaker.metrics._table import BREAKER_ROWS, PROVIDER_ROWS
from breaker.metrics.prometheus import register
from breaker.sources import MemorySource
from support.drive import NAME
from support.promql import ALERTS, DASHBOARD, ROOT, Query, of_the_alerts, of_the_dashboard, rules, selectors, trouble
from support.scraping import parsed

QUERIES = [*of_the_dashboard(), *of_the_alerts()]
Series = dict[str, dict[str, set[str]]]
PROMTOOL = Path("/usr/bin/promtool")
with_promtool = pytest.mark.skipif(not PROMTOOL.exists(), reason="Debian's promtool: tools/debian_servers.sh brings it")


@pytest.fixture
def series(provider_of: Callable[..., Provider]) -> Series:
    """What a scrape has: sample name → label → its values."""
    registry = CollectorRegistry()
    provider = provider_of(policy_source=MemorySource())
    register(provider, registry, resilience4j=True)
    provider.get_breaker(NAME)
    found: Series = {}
    for name, labels in parsed(generate_latest(registry).decode()).series:
        for label, value in labels:
            found.setdefault(name, {}).setdefault(label, set()).add(value)
    return found


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_a_query_names_what_is_scraped(series: Series, query: Query) -> None:
    assert trouble(query, series) == []


@pytest.mark.parametrize(
    ("text", "shown", "said"),
    [
        ("sum(circuit_breaker_call_total)", (), "no series circuit_breaker_call_total"),
        ('circuit_breaker_calls_total{result="success"}', (), "circuit_breaker_calls_total has no label result"),
        ('circuit_breaker_calls_total{outcome="ok"}', (), "circuit_breaker_calls_total has no outcome=ok"),
        ('circuit_breaker_state{state=~"open|half-open"}', (), "circuit_breaker_state has no state=half-open"),
        ("sum by (service, breaker) (circuit_breaker_state_code)", (), "no label breaker"),
        ("circuit_breaker_state_code", ("breaker",), "no label breaker"),
        ("up", (), "it names no metric of ours"),
    ],
)
def test_a_query_that_is_wrong_is_found(series: Series, text: str, shown: tuple[str, ...], said: str) -> None:
    assert trouble(Query("here", text, frozenset(shown)), series) == [said]


def test_the_dashboard_shows_all_there_is() -> None:
    # state_code stands for state in the timeline, and source_up is the provider's
    named = {selector.metric.removesuffix("_total") for query in QUERIES for selector in selectors(query.text)}
    assert {row.name for row in (*BREAKER_ROWS, *PROVIDER_ROWS)} <= named


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert dashboard["title"] == "Circuit breakers"
    panels: list[dict[str, Any]] = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or (panel["description"] and panel["targets"])
        assert panel.get("datasource", {}).get("uid", "${datasource}") == "${datasource}"
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "panels lie over each other"
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text(encoding="utf-8")))
    assert used - {"__rate_interval", "__all"} <= variables
    assert variables == {"datasource", "service", "name"}


def headings(page: Path) -> set[str]:
    titles = re.findall(r"^#{2,3} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_its_section(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in headings(ROOT / "docs" / page)
    assert rule["alert"] in (ROOT / "docs" / page).read_text(encoding="utf-8"), "and the section names the alert"
    assert rule["labels"]["severity"] in ("page", "ticket", "info")


# With Debian's promtool.


def promtool(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [str(PROMTOOL), *arguments], capture_output=True, text=True, timeout=50, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@with_promtool
def test_the_alerts_are_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", ALERTS.name, folder=ALERTS.parent)


@with_promtool
def test_the_alerts_come_when_they_should() -> None:
    promtool("test", "rules", "alerts_test.yml", folder=ALERTS.parent)


def test_each_alert_has_a_test_that_raises_it() -> None:
    document = yaml.safe_load((ALERTS.parent / "alerts_test.yml").read_text(encoding="utf-8"))
    raised = {
        each["alertname"] for test in document["tests"] for each in test["alert_rule_test"] if each.get("exp_alerts")
    }
    assert raised == {rule["alert"] for rule in rules()} - {"CircuitBreakerNamesGrow"}  # below, with a thousand series


@with_promtool
@pytest.mark.parametrize("count", [1000, 1001])
def test_a_thousand_names_are_too_many(tmp_path: Path, count: int) -> None:
    (tmp_path / "alerts.yml").write_text(ALERTS.read_text(encoding="utf-8"), encoding="utf-8")
    expected = {
        "exp_labels": {"severity": "ticket", "service": "shop"},
        "exp_annotations": {
            "summary": f"shop has {count} names of breakers: there is an identifier in them",
            "runbook_url": "operations.md#the-number-of-breakers-grows",
        },
    }
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f'circuit_breaker_state_code{{service="shop", name="user {n}"}}', "values": "0x20"}
            for n in range(count)
        ],
        "alert_rule_test": [
            {
                "alertname": "CircuitBreakerNamesGrow",
                "eval_time": "20m",
                "exp_alerts": [expected] if count > 1000 else [],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": [test]}), encoding="utf-8")
    promtool("test", "rules", file.name, folder=tmp_path)


@with_promtool
def test_the_queries_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    records = [
        {"record": f"dashboard:query:{number}", "expr": query.concrete()}
        for number, query in enumerate(of_the_dashboard())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}), encoding="utf-8")
    assert f"{len(records)} rules found" in promtool("check", "rules", file.name, folder=tmp_path)
