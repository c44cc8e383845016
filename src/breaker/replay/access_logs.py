"""The log of a server or proxy as recorded calls: what it answered, when, and how long it took.

A status counts as it does in the integrations of HTTP clients: 5xx but 501, 408 and 429 are failures. A request whose
client went away is ignored. Where a log has whole seconds alone, the calls of a second are spread over it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from breaker.errors import RecordingError
from breaker.integrations._http import FAILURE_STATUSES
from breaker.policies.names import check_name
from breaker.replay.calls import OUTCOMES, Call, Recorded, nanoseconds, without_mark

_SECOND = 1_000_000_000
_LATEST = 1 << 62  # nanoseconds since 1970: the year 2116. The time between two such moments fits into the core's clock
_LONGEST = 1e15  # nanoseconds that a request may take: eleven days
_NAMELESS = "http:access-log"
_CLIENT_WENT_AWAY = 499  # nginx's own
# Possessive, and anchored at the beginning of a line: whatever a line holds is looked at a few times, not once for each
# place in it.
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_CLF = rf"^\S++ \S++ [^\[]*+\[(?P<time>[^]]++)\] {_QUOTED} (?P<status>\d{{3}}|-) \S++"
_TOOK = r"(?:.* (?:\w+=)?(?:(?P<seconds>\d+\.\d+)|(?P<microseconds>\d+)))?"


class _Form(NamedTuple):
    """One format: its lines, what they look like, whether ``time`` is the end, and what says that a client left."""

    line: re.Pattern[str]
    example: str
    time_is_end: bool = False
    left: str = ""


FORMATS: dict[str, _Form] = {
    "common": _Form(
        re.compile(_CLF + _TOOK + r"\s*$"),
        '203.0.113.7 - - [04/May/2026:09:30:00 +0000] "GET /prices HTTP/1.1" 200 512 0.043',
        time_is_end=True,
    ),
    "combined": _Form(
        re.compile(_CLF + rf" {_QUOTED} {_QUOTED}" + _TOOK + r"\s*$"),
        '203.0.113.7 - - [04/May/2026:09:30:00 +0000] "GET /prices HTTP/1.1" 200 512 "-" "curl/8.1" 0.043',
        time_is_end=True,
    ),
    "haproxy": _Form(
        re.compile(
            r"^(?:[^\[]*+\[\d++\]: )?[^\[]*+\[(?P<time>\d+/\w+/\d+:[\d:.]+)\] \S+ (?P<name>[^\s/]+)/\S+ "
            r"(?:[+-]?\d+/){4}\+?(?P<milliseconds>-?\d+) (?P<status>-?\d+) \S+ \S+ \S+ (?P<left>\S)\S* "
        ),
        "203.0.113.7:4711 [04/May/2026:09:30:00.123] front prices/one 0/0/1/40/43 200 512 - - ---- 1/1/0/0/0 0/0 "
        '"GET / HTTP/1.1"',
        left="C",
    ),
    "envoy": _Form(
        re.compile(
            rf"^\[(?P<time>[^]]+)\] {_QUOTED} (?P<status>\d+) (?P<left>\S+) (?:\S+ )??\d+ \d+ (?P<milliseconds>\d+) "
            rf'\S+ {_QUOTED} {_QUOTED} {_QUOTED} "(?P<name>(?:[^"\\]++|\\.)*+)" '
        ),
        '[2026-05-04T09:30:00.123Z] "GET /prices HTTP/2" 200 - 0 512 43 40 "-" "curl/8.1" "9a1b…" "prices:8080" '
        '"10.0.0.7:8080"',
        left="DC",
    ),
}
_GROUPS = ("time", "status", "outcome", "name", "seconds", "milliseconds", "microseconds")
_UNITS = {"seconds": 1e9, "milliseconds": 1e6, "microseconds": 1e3}


def read_access_log(
    lines: Iterable[str], form: str, *, name: str | None = None, source: str = "the log"
) -> tuple[Recorded, int]:
    """Read the log of a server or proxy.

    Args:
        lines: its lines, in the order in which they were written.
        form: one of ``FORMATS``; or ``"regex:"`` and a regular expression, searched for in each line, with the groups
            ``time`` and ``status`` or ``outcome``, and if it has them ``name`` and one of ``seconds``,
            ``milliseconds``, ``microseconds``. The formats ``common`` and ``combined`` may go on with the time that a
            request took: ``0.043`` is in seconds, as nginx's ``$request_time``, ``43000`` in microseconds, as Apache's
            ``%D``.
        name: the breaker's name for all of it; None: each line's own, and ``http:access-log`` where it has none or
            one that no breaker can have, like ``default``.
        source: what errors call it.

    Returns:
        The calls, and the number of lines that were not of this format.

    Raises:
        RecordingError: no line was of this format.
        ValueError: no such format, a regular expression that is none or lacks a group, a name no breaker can have.
    """
    chosen = _form(form)
    if name is not None:
        check_name(name)
    found: list[tuple[int, bool, Call]] = []  # its second, whether that is all there is, and the call at its end
    others, first = 0, ""
    for line in without_mark(lines):
        if not line.strip():
            continue
        match = chosen.line.search(line)
        call = None if match is None else _call(match, chosen, name)
        if call is None:
            others, first = others + 1, first or line.strip()
        else:
            found.append(call)
    if not found:
        shown = first if len(first) <= 80 else first[:77] + "…"
        raise RecordingError(source, 0, f"lines like {chosen.example}", shown or "nothing")
    calls = _spread(found)
    began = min(call.at for call in calls)
    started = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=began // 1000)
    calls = sorted((call._replace(at=call.at - began) for call in calls), key=lambda call: call.at)
    return Recorded(calls, started=started), others


def _form(form: str) -> _Form:
    if form in FORMATS:
        return FORMATS[form]
    if not form.startswith("regex:"):
        raise ValueError(f"the format must be one of {', '.join(FORMATS)} or regex:EXPRESSION, got {form!r}")
    try:
        line = re.compile(form.removeprefix("regex:"))
    except re.error as error:
        raise ValueError(f"the format's regular expression is none: {error}") from None
    groups = line.groupindex
    if "time" not in groups or not ("status" in groups or "outcome" in groups):
        raise ValueError(
            f"the format's regular expression needs the groups time, and status or outcome: {line.pattern}"
        )
    if unknown := sorted(groups.keys() - set(_GROUPS)):
        raise ValueError(f"the format's regular expression has the group {unknown[0]}; known are {', '.join(_GROUPS)}")
    return _Form(line, f"one that {line.pattern} finds")


def _call(match: re.Match[str], form: _Form, name: str | None) -> tuple[int, bool, Call] | None:
    groups = match.groupdict()
    try:
        moment, whole = _moment(groups["time"] or "")
    except ValueError:
        return None
    outcome = _outcome(groups, form)
    if outcome is None:
        return None
    took = _took(groups)
    at = moment - took if form.time_is_end and took is not None else moment
    return moment // _SECOND, whole, Call(at, name or _name(groups.get("name")), took, outcome)


def _name(own: str | None) -> str:
    try:
        check_name(own or _NAMELESS)
    except ValueError:
        return _NAMELESS
    return own or _NAMELESS


def _took(groups: dict[str, str | None]) -> int | None:
    """None where it is not said: ``-``, ``-1``, or what no request takes."""
    for unit, by in _UNITS.items():
        if said := groups.get(unit):
            try:
                took = float(said) * by
            except ValueError:
                return None
            return round(took) if 0 <= took <= _LONGEST else None
    return None


def _outcome(groups: dict[str, str | None], form: _Form) -> str | None:
    if outcome := groups.get("outcome"):
        return outcome.lower() if outcome.lower() in OUTCOMES else None
    left = groups.get("left") or ""
    if form.left and form.left in re.split(r"[,]", left):
        return "ignored"
    try:
        status = int(groups.get("status") or "")
    except ValueError:
        return "ignored"  # "-": no answer was begun
    if status == _CLIENT_WENT_AWAY:
        return "ignored"
    return "failure" if status in FAILURE_STATUSES or status <= 0 else "success"


def _moment(text: str) -> tuple[int, bool]:
    """Nanoseconds since 1970, and whether the text has whole seconds alone."""
    readers: tuple[Callable[[str], datetime], ...] = (
        datetime.fromisoformat,
        lambda given: datetime.strptime(given, "%d/%b/%Y:%H:%M:%S %z"),
        lambda given: datetime.strptime(given, "%d/%b/%Y:%H:%M:%S.%f").replace(tzinfo=UTC),
    )
    if re.fullmatch(r"\d{9,10}(\.\d+)?", text):
        return _in_time(float(text)), "." not in text
    for read in readers:
        try:
            moment = read(text)
        except ValueError:
            continue
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _in_time(moment.timestamp()), "." not in text
    raise ValueError(text)


def _in_time(seconds: float) -> int:
    moment = nanoseconds(seconds)
    if not 0 <= moment < _LATEST:
        raise ValueError(f"{seconds} s since 1970 is no time of a log")
    return moment


def _spread(found: list[tuple[int, bool, Call]]) -> list[Call]:
    """Calls of which only the second is known, one after the other within it."""
    many: dict[int, int] = {}
    for second, whole, _ in found:
        many[second] = many.get(second, 0) + whole
    placed: dict[int, int] = {}
    calls = []
    for second, whole, call in found:
        if whole:
            place = placed[second] = placed.get(second, -1) + 1
            call = call._replace(at=call.at + place * _SECOND // many[second])
        calls.append(call)
    return calls
