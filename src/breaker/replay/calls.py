"""Recorded calls as lines of JSON: the first line is of the recording, each other one of a call.

    {"recording": 1, "service": "shop", "started": "2026-05-04T09:30:00.000000+00:00", "share": 1.0}
    {"at": 0.103221, "name": "http:prices", "took": 0.012204, "outcome": "success"}
    {"at": 0.104000, "name": "http:prices", "outcome": "rejected"}
    {"lost": 12, "name": "http:prices"}

``at`` is when the call began, in seconds since the recording did; ``took`` is missing where it is not known, and ``at``
is the end then. The last kind of line counts calls that were not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from breaker.errors import RecordingError
from breaker.policies.names import check_name

OUTCOMES = ("success", "failure", "ignored", "rejected")
FORMAT = 1


class Call(NamedTuple):
    """One call of one breaker.

    Attributes:
        at: when it began, in nanoseconds since the recording did.
        name: of its breaker.
        took: how long it took, in nanoseconds; None: that is not known, and ``at`` is its end.
        outcome: ``"success"``, ``"failure"``, ``"ignored"`` or ``"rejected"``.
    """

    at: int
    name: str
    took: int | None
    outcome: str


class Recorded(NamedTuple):
    """A recording that was read.

    Attributes:
        calls: in the order of their beginnings.
        share: the share of the calls that was kept, by chance; 1: all of them.
        lost: calls that the recorder had no room for.
        started: when it began; None: that is not known.
        cut: whether its last line was cut off and is left out.
    """

    calls: list[Call]
    share: float = 1.0
    lost: int = 0
    started: datetime | None = None
    cut: bool = False


def write_head(service: str, started: datetime, share: float) -> str:
    """The first line of a recording."""
    head = {"recording": FORMAT, "service": service, "started": started.isoformat(), "share": share}
    return json.dumps(head) + "\n"


def write_call(at: int, quoted: str, took: int | None, outcome: str) -> str:
    """One line. ``quoted``: the breaker's name as JSON."""
    seconds = "" if took is None else f', "took": {took / 1e9:.9g}'
    return f'{{"at": {at / 1e9:.9f}, "name": {quoted}{seconds}, "outcome": "{outcome}"}}\n'


def write_lost(lost: int, quoted: str) -> str:
    """One line that counts calls which were not kept."""
    return f'{{"lost": {lost}, "name": {quoted}}}\n'


def read_calls(lines: Iterable[str], source: str = "the recording") -> Recorded:
    """Read what `record` wrote.

    Args:
        lines: its lines. The last one may be cut off, where the program ended as it was written.
        source: what errors call it.

    Raises:
        RecordingError: a line that is none of a recording; it names the line and what is wrong with it.
    """
    calls: list[Call] = []
    lost = 0
    head: dict[str, Any] = {}
    held: tuple[int, RecordingError] | None = None
    for number, line in _numbered(lines):
        if held is not None:
            raise held[1]
        try:
            values = _object(line, source, number)
            if "recording" in values:
                head = _head(values, source, number)
            elif "lost" in values:
                lost += int(_number(values, "lost", source, number))
            else:
                calls.append(_call(values, source, number))
        except RecordingError as error:
            if line.endswith("\n"):
                raise
            held = (number, error)  # only the last line has no end
    if held is not None and not calls:
        raise held[1]
    calls.sort(key=lambda call: call.at)
    return Recorded(calls, head.get("share", 1.0), lost, head.get("started"), held is not None)


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(without_mark(lines), 1):
        if line.strip():
            yield number, line


def without_mark(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a file without the byte order mark that some editors put before the first one."""
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix("\ufeff")


def _object(line: str, source: str, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        example = '{"at": 0.5, "name": "http:prices", "took": 0.012, "outcome": "success"}'
        raise RecordingError(source, number, f"a JSON object like {example}", _cut(line))
    return values


def _head(values: dict[str, Any], source: str, number: int) -> dict[str, Any]:
    if values["recording"] != FORMAT:
        raise RecordingError(source, number, f"a recording of format {FORMAT}", _cut(repr(values["recording"])))
    share = _number(values, "share", source, number) if "share" in values else 1.0
    if not 0 < share <= 1:
        raise RecordingError(source, number, '"share" above 0, at most 1', repr(share))
    started = None
    if "started" in values:
        try:
            started = datetime.fromisoformat(values["started"])
        except (TypeError, ValueError):
            raise RecordingError(source, number, '"started" in ISO 8601', _cut(repr(values["started"]))) from None
        started = started if started.tzinfo else started.replace(tzinfo=UTC)
    return {"share": share, "started": started}


def _call(values: dict[str, Any], source: str, number: int) -> Call:
    for key in ("at", "name", "outcome"):
        if key not in values:
            raise RecordingError(source, number, f'the key "{key}"', "none")
    name, outcome = values["name"], values["outcome"]
    try:
        check_name(name)
    except (TypeError, ValueError) as error:
        raise RecordingError(
            source, number, '"name" to be the name of a breaker', f"{_cut(repr(name))} ({error})"
        ) from None
    if outcome not in OUTCOMES:
        raise RecordingError(source, number, f'"outcome" to be one of {", ".join(OUTCOMES)}', _cut(repr(outcome)))
    took = None if values.get("took") is None else nanoseconds(_number(values, "took", source, number))
    if took is not None and took < 0:
        raise RecordingError(source, number, '"took" in seconds, 0 or more', repr(values["took"]))
    return Call(nanoseconds(_number(values, "at", source, number)), name, took, outcome)


def _number(values: dict[str, Any], key: str, source: str, number: int) -> float:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e9:  # NaN is neither
        raise RecordingError(source, number, f'"{key}" to be a number', _cut(repr(value)))
    return value


def nanoseconds(seconds: float) -> int:
    """Seconds as the core's clock counts them."""
    return round(seconds * 1e9)


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 80 else text[:77] + "…"
