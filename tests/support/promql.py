"""What a PromQL query names: metrics, and the labels that it asks of them. Enough of the grammar for our own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "docs/dashboards/grafana.json"
ALERTS = ROOT / "docs/dashboards/alerts.yml"
OF_PROMETHEUS = {"job", "instance"}  # labels that it adds itself

_SELECTOR = re.compile(r"\b((?:circuit_breaker|resilience4j_circuitbreaker)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Selector:
    """``metric{label=~"values"}``."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(query: str) -> list[Selector]:
    return [Selector(name, tuple(_MATCHER.findall(inside))) for name, inside in _SELECTOR.findall(query)]


def grouped_by(query: str) -> set[str]:
    """The labels in ``by (…)``, ``on (…)`` and their like."""
    return {label.strip() for _, labels in _GROUPING.findall(query) for label in labels.split(",") if label.strip()}


@dataclass(frozen=True)
class Query:
    """A query with where it stands, and the labels that are taken from its result."""

    where: str
    text: str
    shown: frozenset[str]

    def concrete(self) -> str:
        """With values in the place of a dashboard's variables."""
        text = re.sub(r"\$(service|name)\b", ".*", self.text)
        return text.replace("$__rate_interval", "1m")


def of_the_dashboard() -> Iterator[Query]:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            shown = frozenset(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]))
            yield Query(f"{panel['title']} {target['refId']}", target["expr"], shown)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            inside = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert inside is not None, variable
            yield Query(f"variable {variable['name']}", inside[1], frozenset({inside[2]}))


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def of_the_alerts() -> Iterator[Query]:
    for rule in rules():
        shown = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
        yield Query(rule["alert"], rule["expr"], frozenset(shown))


def trouble(query: Query, series: dict[str, dict[str, set[str]]]) -> list[str]:
    """What a query names that is not there. ``series``: sample name → label → its values."""
    found: list[str] = []
    labels = set(OF_PROMETHEUS)
    named = selectors(query.text)
    if not named:
        found.append("it names no metric of ours")
    for selector in named:
        having = series.get(selector.metric)
        if having is None:
            found.append(f"no series {selector.metric}")
            continue
        labels |= having.keys()
        for label, operator, value in selector.matchers:
            if label not in having:
                found.append(f"{selector.metric} has no label {label}")
            elif "$" not in value and operator in ("=", "!="):
                found += [] if value in having[label] else [f"{selector.metric} has no {label}={value}"]
            elif "$" not in value:
                found += [f"{selector.metric} has no {label}={each}" for each in set(value.split("|")) - having[label]]
    return found + [f"no label {label}" for label in (grouped_by(query.text) | query.shown) - labels]
