"""The tables of docs/metrics.md are the rows of the code."""

from collections.abc import Sequence

import pytest

from breaker.metrics._resilience4j import CALLS_SECONDS, RESILIENCE4J_ROWS
from breaker.metrics._table import BREAKER_ROWS, PROVIDER_ROWS, Row
from support.promql import ROOT

PAGE = ROOT / "docs/metrics.md"
HEAD = [
    "| Prometheus | labels, with all their values | OpenTelemetry | unit | several processes | what it is |",
    "|---|---|---|---|---|---|",
]
HEAD_OF_RESILIENCE4J = ["| series | labels, with all their values | what it is |", "|---|---|---|"]


def sample(row: Row) -> str:
    if row.name == CALLS_SECONDS:
        return row.name + "_count"
    return row.name + "_total" if row.kind == "counter" else row.name


def labels(row: Row) -> str:
    if len(row.labels) == 2:
        return "; ".join(f"`{row.labels[0]}` {one} `{row.labels[1]}` {other}" for one, other in row.series)
    return " ".join([f"`{label}`: " for label in row.labels]) + ", ".join(values[0] for values in row.series if values)


def line(row: Row) -> str:
    otel = f"`{row.otel}`" if row.otel else "–"
    merged = "sum" if row.kind == "counter" else f"`{row.merge}`"
    unit = f"`{row.otel_unit}`" if row.otel else "–"
    return f"| `{sample(row)}` | {labels(row)} | {otel} | {unit} | {merged} | {row.help} |"


def resilience4j_line(row: Row) -> str:
    return f"| `{sample(row)}` | {labels(row)} | {row.help} |"


def section(name: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(f"<!-- {name}: begin -->\n")[2].partition(f"<!-- {name}: end -->")[0].splitlines()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("breakers", [*HEAD, *map(line, BREAKER_ROWS)]),
        ("providers", [*HEAD, *map(line, PROVIDER_ROWS)]),
        ("resilience4j", [*HEAD_OF_RESILIENCE4J, *map(resilience4j_line, RESILIENCE4J_ROWS)]),
    ],
)
def test_a_table_of_the_page_is_that_of_the_code(name: str, lines: Sequence[str]) -> None:
    assert section(name) == list(lines), "\n".join(["the page should have", *lines])
