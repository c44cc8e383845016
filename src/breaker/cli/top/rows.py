"""From the JSON of a status page to lines: what is said of a breaker, and in which order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from breaker.cli.output import clean

Json = dict[str, Any]

TITLES = ("condition", "name", "calls/s", "failed", "rejected", "since", "until", "why", "last error")
ON_THE_RIGHT = frozenset({"calls/s", "failed", "rejected", "since", "until"})


class Row(NamedTuple):
    """One breaker. Numbers are None where the page does not know them yet.

    Attributes:
        trouble: as the page says it, to sort by.
        calls: per second, with those that were rejected.
        failed: the part of these calls that failed.
        rejected: the part that was rejected.
        age: seconds in its state.
        wait: seconds until it lets a call through; None: it does, or nobody knows.
        why: the rule that has moved it, or that is closest to moving it.
    """

    name: str
    condition: str
    trouble: float
    calls: float | None
    failed: float | None
    rejected: float | None
    age: float
    wait: float | None
    why: str
    error: str

    def cells(self) -> tuple[str, ...]:
        """What its line shows, in the order of `TITLES`; nothing that a terminal would obey."""
        texts = (
            self.condition.replace("_", " "),
            self.name,
            "–" if self.calls is None else _number(self.calls),
            _part(self.failed),
            _part(self.rejected),
            age(self.age),
            "" if self.wait is None else age(self.wait),
            self.why,
            self.error,
        )
        return tuple(map(clean, texts))


_KEYS: dict[str, Callable[[Row], tuple[Any, ...]]] = {
    "trouble": lambda row: (-row.trouble, row.name),
    "name": lambda row: (row.name,),
    "calls": lambda row: (-(row.calls or 0), row.name),
    "failed": lambda row: (-(row.failed or 0), row.name),
    "rejected": lambda row: (-(row.rejected or 0), row.name),
    "since": lambda row: (row.age, row.name),
}
SORTS = tuple(_KEYS)


def rows_of(document: Json) -> list[Row]:
    """The breakers of a status page's JSON.

    Where it is none, or has what cannot be shown, this raises what Python raises of it, and nothing does later.
    """
    rows = [_row(breaker, float(document["at"])) for breaker in document["breakers"]]
    for row in rows:
        row.cells()
    at_of(document)
    summary(document, len(rows))
    return rows


def chosen(rows: Iterable[Row], *, sort: str, reverse: bool, text: str) -> list[Row]:
    """Those in whose line the text is, in order."""
    wanted = text.casefold()
    found = [row for row in rows if not wanted or any(wanted in cell.casefold() for cell in row.cells())]
    return sorted(found, key=_KEYS[sort], reverse=reverse)


def at_of(document: Json) -> str:
    """The time of day at which it was read."""
    return time.strftime("%H:%M:%S", time.localtime(document["at"]))


def summary(document: Json, shown: int) -> str:
    """One line for all of them; nothing that a terminal would obey."""
    process, source = document["process"], document["source"]
    many = len(document["breakers"])
    counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in document["summary"].items() if count)
    said = f"{document['service']} on {process['host']}, pid {process['pid']}: {many} breakers"
    said += f" ({counts})" if counts else ""
    if shown != many:
        said += f", {shown} shown"
    if source is not None and not source["connected"]:
        said += "; its source of policies is lost"
    return clean(said)


def _row(breaker: Json, at: float) -> Row:
    recent: Json | None = breaker["recent"]
    shares: Json = recent["shares"] if recent is not None and recent["calls_per_second"] > 0 else {}
    until = breaker["until"]
    return Row(
        name=breaker["name"],
        condition=breaker["condition"],
        trouble=float(breaker["trouble"]),
        calls=None if recent is None else float(recent["calls_per_second"]),
        failed=shares.get("failure"),
        rejected=shares.get("rejected"),
        age=max(0.0, at - breaker["since"]),
        wait=None if until is None else max(0.0, until - at),
        why=_why(breaker),
        error=breaker["last_error"] or "",
    )


_MEASURES = {
    "failure_rate": "failures",
    "slow_call_rate": "slow calls",
    "consecutive_failures": "failures in a row",
    "probe_successes": "probes",
    "recovery_share": "admits",
}
_PARTS = ("failure_rate", "slow_call_rate", "recovery_share")


def _why(breaker: Json) -> str:
    if breaker["mode"] != "auto" or breaker["override"] is not None:
        return "by its policy" if breaker["override"] is None else "by an operator"
    if breaker["state"] == "OPEN":
        return str(breaker["reason"] or "").replace("_", " ")
    said = {kind: one for kind, one in breaker["measures"].items() if kind in _MEASURES and one and one["value"]}
    if not said:
        return ""
    kind = max(said, key=lambda each: said[each]["value"] / said[each]["threshold"])
    value, threshold = said[kind]["value"], said[kind]["threshold"]
    if kind == "recovery_share":
        return f"{_MEASURES[kind]} {_part(value)}"
    if kind in _PARTS:
        return f"{_MEASURES[kind]} {_part(value)} of {_part(threshold)}"
    return f"{_MEASURES[kind]} {value:g} of {threshold:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _part(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def age(seconds: float) -> str:
    """A time as people say it: two units at most."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    for unit, size, below, smaller in (("m", 60, 3600, "s"), ("h", 3600, 86400, "m"), ("d", 86400, None, "h")):
        if below is None or whole < below:
            rest = whole % size // {"s": 1, "m": 60, "h": 3600}[smaller]
            return f"{whole // size}{unit}{rest:02}{smaller}"
    raise AssertionError("days have no end")
